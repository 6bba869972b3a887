"""From zero and to zero: what a real master wants, as Prometheus's engine and the scalers' rules count it.

The loops of KEDA and of Kubernetes' autoscaler run nowhere here; their arithmetic does, on the numbers of
the rendered manifests: ceil(value / target), active above the activation value, between least and most.
"""

import asyncio
import json
import math
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from germline.client import Client
from germline.ports import free_port
from germline.spec import loads
from master.config import MasterConfig
from master.server import Master

Document = dict[str, Any]
Render = Callable[..., list[Document]]

DEPLOY = Path(__file__).parents[2] / "deploy"
PATIENCE_S = 60.0
SLOTS = 32
SPEC = """
name = "{name}"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 1000
parents = 10
[stop]
evaluations = {evaluations}
"""


@dataclass(frozen=True)
class Scaler:
    """The numbers of an autoscaler, and where it reads."""

    metric: str
    target: float
    activation: float
    least: int
    most: int

    def replicas(self, value: float) -> int:
        """Kubernetes: ceil(value / target) between least and most. KEDA: least where it is not active."""
        if self.least == 0 and value <= self.activation:
            return 0
        return min(max(math.ceil(value / self.target), self.least, 1), self.most)

    @property
    def query(self) -> str:
        """The same in PromQL, of as many masters as there are: those that wait want nobody."""
        value = f"max({self.metric})"
        active = f"clamp(ceil({value} / {self.target:g}), {max(self.least, 1)}, {self.most})"
        return f"({active} and {value} > {self.activation:g}) or {value} * 0 + {self.least}"


@pytest.fixture(scope="module")
def keda(render: Render) -> Scaler:
    (scaled,) = (each["spec"] for each in render("spot-cpu") if each["kind"] == "ScaledObject")
    (trigger,) = scaled["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("metrics-api", "AverageValue")
    known = trigger["metadata"]
    return Scaler(
        known["valueLocation"], float(known["targetValue"]), float(known["activationTargetValue"]),
        scaled["minReplicaCount"], scaled["maxReplicaCount"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def hpa(render: Render) -> Scaler:
    documents = render("", ("hpa",))
    (spec,) = (each["spec"] for each in documents if each["kind"] == "HorizontalPodAutoscaler")
    (metric,) = (each["external"] for each in spec["metrics"])
    target = float(metric["target"]["averageValue"])
    return Scaler(metric["metric"]["name"], target, 0, spec["minReplicas"], spec["maxReplicas"])


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    config = MasterConfig(
        listen="localhost:0", metrics_port=0, store_folder=tmp_path / "store", worker_slots=SLOTS
    )
    async with Master.serving(config) as serving:
        yield serving


@pytest.fixture
def prometheus(master: Master, tmp_path: Path, tool: Callable[[str], str]) -> Iterator[str]:
    """A Prometheus with our own configuration, but for the master's address and the pace; its address."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not here: pip install 'germline[deploy]'")
    table = yaml.safe_load((DEPLOY / "observe" / "prometheus.yml").read_text())
    table["global"] = {"scrape_interval": "500ms", "scrape_timeout": "400ms"}
    table["rule_files"] = [str(DEPLOY / "observe" / "rules.yml")]
    table["scrape_configs"][0]["static_configs"] = [{"targets": [master.metrics_address]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(table))
    address = f"127.0.0.1:{free_port()}"
    where = (f"--storage.tsdb.path={tmp_path / 'series'}", f"--web.listen-address={address}")
    server = subprocess.Popen(
        [tool("prometheus"), f"--config.file={tmp_path / 'prometheus.yml'}", *where, "--log.level=error"]
    )
    try:
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def fetch(url: str) -> str:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own servers
        return str(answer.read(), "utf-8")


def ask(prometheus: str, query: str) -> float | None:
    """An instant query's one number; None while nothing was scraped yet."""
    with suppress(OSError):
        words = urllib.parse.urlencode({"query": query})
        found = json.loads(fetch(f"{prometheus}/api/v1/query?{words}"))["data"]["result"]
        return float(found[0]["value"][1]) if found else None
    return None


async def until(prometheus: str, query: str, number: float) -> None:
    """Return once the engine says so."""
    found: float | None = None
    for _ in range(int(PATIENCE_S / 0.1)):
        found = await asyncio.to_thread(ask, prometheus, query)
        if found == number:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{query} is {found}, not {number}, after {PATIENCE_S:g} s")


async def as_keda_reads(master: Master, scaler: Scaler) -> float:
    """The value at the trigger's place of the master's metrics, as the metrics-api scaler takes it."""
    text = await asyncio.to_thread(fetch, f"http://{master.metrics_address}/metrics")
    (value,) = re.findall(rf"^{scaler.metric} (\S+)$", text, flags=re.MULTILINE)
    return float(value)


async def test_a_fleet_goes_from_zero_to_what_is_wanted_and_back(
    master: Master, prometheus: str, keda: Scaler, hpa: Scaler
) -> None:
    """No worker is ever there: work that nobody does is what has to bring the first one."""
    sizes = {0: (0, 1), 1: (1, 1), 10 * SLOTS: (10, 10), 10 * SLOTS + 1: (11, 11), 5_000: (20, 20)}
    with Client(master.address) as client:
        for evaluations, (by_keda, by_hpa) in sizes.items():
            name = f"e{evaluations}"
            if evaluations:
                spec = loads(SPEC.format(name=name, evaluations=evaluations))
                await asyncio.to_thread(client.create, spec)
            await until(prometheus, keda.query, by_keda)
            await until(prometheus, hpa.query, by_hpa)
            assert keda.replicas(await as_keda_reads(master, keda)) == by_keda
            assert hpa.replicas(await as_keda_reads(master, hpa)) == by_hpa
            if evaluations:
                await asyncio.to_thread(client.stop, name)
        await until(prometheus, keda.query, 0)
        await until(prometheus, hpa.query, hpa.least)


async def test_experiments_want_workers_together_and_paused_ones_none(
    master: Master, prometheus: str, keda: Scaler
) -> None:
    with Client(master.address) as client:
        for name in ("one", "two"):
            await asyncio.to_thread(client.create, loads(SPEC.format(name=name, evaluations=3 * SLOTS)))
        await until(prometheus, keda.query, 6)
        await asyncio.to_thread(client.pause, "one")
        await until(prometheus, keda.query, 3)
        await asyncio.to_thread(client.resume, "one")
        await until(prometheus, keda.query, 6)


async def test_a_master_that_nobody_reaches_is_no_zero(master: Master, prometheus: str, keda: Scaler) -> None:
    """Nothing may be read as zero, or the fleet would be sent away while its master restarts."""
    await until(prometheus, "up", 1)
    assert await asyncio.to_thread(ask, prometheus, "max(germline_workers_wanted_misspelt)") is None
    assert await asyncio.to_thread(ask, prometheus, keda.query.replace("wanted", "asked")) is None


def test_the_fleet_is_kept_while_the_master_is_silent(render: Render) -> None:
    (scaled,) = (each["spec"] for each in render("spot-cpu") if each["kind"] == "ScaledObject")
    assert scaled["fallback"]["replicas"] >= 1
