"""Metrics of docs and deploy/ are those of a real master and worker, and Prometheus answers what is asked."""

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from germline.client import Client
from germline.ports import free_port
from germline.spec import loads

ROOT = Path(__file__).parents[2]
OBSERVE = ROOT / "deploy" / "observe"
PATIENCE_S = 90.0
TASK = """
import time
import numpy as np

def measure(weights, seed):
    time.sleep(0.003)
    return -float(np.square(weights).sum())
"""
HEAD = """
[task.function]
path = "slow:measure"
dimension = 4
[policy]
name = "vector"
[stop]
evaluations = 10000000
"""
SEARCH = 'name = "search"\n' + HEAD + "[algorithm.ga]\nwindow = 20\nparents = 4\npower = 0.1\n"
CLIMB = 'name = "climb"\n' + HEAD + (
    "[algorithm.eggroll]\npairs = 8\nslice_pairs = 1\nsigma = 0.1\nlearning_rate = 0.1\n"
    "validation_epochs = 1\nvalidation_episodes = 2\n"
)  # fmt: skip


class Series(NamedTuple):
    """A metric: its name, its kind, and what its labels are called."""

    name: str
    kind: str
    labels: frozenset[str]


class Served(NamedTuple):
    """Where a master and a worker serve their metrics."""

    master: str
    worker: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A master and a worker at work on a search and an evolution strategy, until both show everything."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "slow.py").write_text(TASK)
    with contextlib.ExitStack() as stack:
        master, log = start(stack, folder, "master", "--listen", "127.0.0.1:0", "--metrics-port", "0",
                            "--heartbeat-s", "0.5", "--store-folder", "store")  # fmt: skip
        address, metrics = found(log, r"serving on (\S+), metrics on (\S+)", master)
        worker, log = start(stack, folder, "worker", "--master", address, "--metrics-port", "0",
                            "--device", "cpu", "--allow-code", "slow")  # fmt: skip
        (own,) = found(log, r"metrics on (\S+)", worker)
        here = Served(f"http://{metrics}/metrics", f"http://{own}/metrics")
        with Client(address) as client:
            client.create(loads(SEARCH))
            client.create(loads(CLIMB))
        wait_until(lambda: not missing(here), lambda: f"no samples yet of {missing(here)}")
        yield here


def start(
    stack: contextlib.ExitStack, folder: Path, module: str, *flags: str
) -> tuple[subprocess.Popen[bytes], Path]:
    log = folder / f"{module}.log"
    with log.open("wb") as written:
        process = subprocess.Popen([sys.executable, "-m", module, *flags], cwd=folder, stderr=written)
    stack.callback(process.wait, PATIENCE_S)
    stack.callback(process.terminate)
    return process, log


def found(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> tuple[str, ...]:
    """What a service says at its start."""

    def said() -> bool:
        assert process.poll() is None, log.read_text()
        return re.search(pattern, log.read_text()) is not None

    wait_until(said, log.read_text)
    match = re.search(pattern, log.read_text())
    assert match is not None
    return match.groups()


def wait_until(what: Callable[[], bool], why_not: Callable[[], str]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < give_up, why_not()
        time.sleep(0.1)


def fetch(url: str) -> str:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own servers
        return str(answer.read(), "utf-8")


def missing(served: Served) -> set[str]:
    """Metrics that have no sample yet."""
    return {family.name for url in served for family in families(url) if not family.samples}


def families(url: str) -> Iterator[Metric]:
    """What is served, without the moments at which counters began."""
    every = text_string_to_metric_families(fetch(url))
    return (family for family in every if not family.name.endswith("_created"))


def exported(url: str) -> set[Series]:
    return {
        Series(family.name, family.type, frozenset().union(*(s.labels for s in family.samples)) - {"le"})
        for family in families(url)
    }


def documented() -> list[set[Series]]:
    """The tables of the page: of the master, and of the worker."""
    _, master, worker = re.split(
        r"^## (?:Master|Worker)$", (ROOT / "docs/metrics.md").read_text(), flags=re.M
    )
    row = re.compile(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*) \|", flags=re.M)
    return [
        {
            Series(name, kind, frozenset(filter(None, labels.split(", "))))
            for name, kind, labels in row.findall(part)
        }
        for part in (master, worker)
    ]


def test_the_page_lists_every_metric_with_its_kind_and_labels(served: Served) -> None:
    assert [exported(served.master), exported(served.worker)] == documented()


def names_in(text: str) -> set[str]:
    return set(re.findall(r"germline_(?!on_ray)[a-z_]+[a-z]", text))


def test_only_metrics_that_exist_are_named(served: Served) -> None:
    there = names_in(fetch(served.master)) | names_in(fetch(served.worker))
    there |= {
        f"{series.name}_total" for table in documented() for series in table if series.kind == "counter"
    }
    deploy = ROOT / "deploy"
    files = [*deploy.rglob("*.y*ml"), *deploy.rglob("*.json"), *deploy.rglob("*.md")]
    for file in [*files, ROOT / "README.md"]:
        assert names_in(file.read_text()) - there == set(), file


def test_the_board_shows_every_metric(served: Served) -> None:
    shown = names_in((OBSERVE / "grafana" / "germline.json").read_text())
    named = {re.sub(r"_(total|bucket)$", "", name) for name in shown}
    assert {series.name for table in documented() for series in table} - named == set()


def board() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((OBSERVE / "grafana" / "germline.json").read_text())
    return read


def test_the_board_names_no_data_source_and_gives_every_panel_a_unit() -> None:
    assert [each["type"] for each in board()["templating"]["list"]] == ["datasource", "query"]
    for panel in board()["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
        assert panel["type"] == "row" or panel["fieldConfig"]["defaults"]["unit"]
    assert len({panel["id"] for panel in board()["panels"]}) == len(board()["panels"])


@pytest.fixture(scope="module")
def prometheus(
    served: Served, tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], str]
) -> Iterator[str]:
    """Debian's Prometheus, which scrapes both; its address."""
    folder = tmp_path_factory.mktemp("prometheus")
    program, port = tool("prometheus"), free_port()
    jobs = [
        {"job_name": name, "static_configs": [{"targets": [urllib.parse.urlparse(url).netloc]}]}
        for name, url in (("germline", served.master), ("germline-workers", served.worker))
    ]
    table = {"global": {"scrape_interval": "500ms", "scrape_timeout": "400ms"}, "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(json.dumps(table))  # JSON is YAML
    address = f"127.0.0.1:{port}"
    command = [program, f"--config.file={folder / 'prometheus.yml'}", "--log.level=error"]
    where = [f"--storage.tsdb.path={folder / 'series'}", f"--web.listen-address={address}"]
    with subprocess.Popen([*command, *where]) as server:
        yield f"http://{address}"
        server.terminate()


def ask(prometheus: str, query: str) -> list[Any]:
    """The series that an expression has now; none while Prometheus is not up."""
    words = urllib.parse.urlencode({"query": query})
    with contextlib.suppress(ConnectionError, urllib.error.URLError):
        answer = json.loads(fetch(f"{prometheus}/api/v1/query?{words}"))
        assert answer["status"] == "success", answer
        result: list[Any] = answer["data"]["result"]
        return result
    return []


def asked() -> list[str]:
    """Every expression of the board, as Grafana sends it."""
    filled = {"$__rate_interval": "30s", "$experiment": ".*"}
    expressions = []
    for panel in board()["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in filled.items():
                expression = expression.replace(name, value)
            expressions.append(expression)
    return expressions


def test_prometheus_has_a_series_for_every_expression_of_the_board(prometheus: str) -> None:
    waiting = asked()
    assert len(waiting) > 30

    def answered() -> bool:
        waiting[:] = [each for each in waiting if not ask(prometheus, each)]
        return not waiting

    wait_until(answered, lambda: f"no series for {waiting}")


def test_prometheus_knows_everything_that_an_alert_looks_at_and_none_is_up_here(prometheus: str) -> None:
    expressions = re.findall(r"^ +expr: (.+)$", (OBSERVE / "rules.yml").read_text(), flags=re.M)
    assert len(expressions) > 5
    for expression in expressions:
        for name in names_in(expression):
            wait_until(lambda: bool(ask(prometheus, name)), lambda: f"no series {name}")  # noqa: B023
        if "busy" not in expression:  # which says something after half an hour
            assert ask(prometheus, expression) == []
