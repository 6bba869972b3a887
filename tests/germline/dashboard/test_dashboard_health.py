"""Health: what holds a fleet up, from what a master says; and the page, of a master with real metrics."""

import dataclasses
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Browser

from germline.client import Experiment, QuarantinedWorker, Worker
from germline.dashboard.health import Seen, bottleneck, checks
from germline.dashboard.metrics import Metrics, MetricsReader
from germline.spec import loads
from master.config import MasterConfig
from master.server import Master
from tests.germline.dashboard.house import fetch, hand_worker, shown, visiting

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SPEC = loads('name = "a"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n[algorithm.ga]\n')
RUNNING = Experiment(
    number=1, name="a", spec=SPEC, state="running", created=NOW, evaluations=1_000, episodes=1_000,
    frames=4_000, steps=4_000, running_s=10.0, frames_per_second=1.0, evaluations_per_second=1.0,
    fitness_quantiles=(), best_fitness=None, champion=None, population=0, lineage_depth=0, leased=0,
    workers=1, leases_lost=0, epochs=0, centre_digest="", workers_wanted=4,
)  # fmt: skip


STAGES = (0.05, 0.25, 0.6, 0.1, 0.0)


def fleet(count: int, busy: float = 0.97, speed: float = 100.0) -> list[Worker]:
    return [Worker(f"w{place}", "cpu", 8, 8, 10, busy, speed, NOW) for place in range(count)]


@pytest.mark.parametrize(
    ("experiments", "workers", "metrics", "sentence"),
    [
        ([], [], None, "Nothing is running"),
        ([RUNNING], [], None, "No worker is connected.* can use 4"),
        ([RUNNING], fleet(2), None, "Workers: 2 workers, busy 97 % .* can use 4. More of them"),
        (
            [RUNNING],
            [dataclasses.replace(each, stage_shares=STAGES) for each in fleet(2)],
            None,
            "Workers: .* Playing the task takes 60%",
        ),
        ([RUNNING], fleet(4), None, "The machines themselves: .* more workers do not"),
        ([RUNNING], fleet(9, busy=0.2), None, "The search: 9 workers, busy only 20 %"),
        ([RUNNING], fleet(2, busy=0.2), None, "Workers wait"),
        ([RUNNING], fleet(2, busy=0.7), None, "Nothing stands out"),
        (
            [RUNNING],
            fleet(2, busy=0.2),
            "germline_loop_late_most_seconds 0.9\n",
            "The master: .* late by 0.90 s",
        ),
        ([RUNNING], fleet(2), "germline_store_failing 1\n", "The store takes nothing in"),
    ],
)
def test_what_everything_waits_for_is_a_sentence(
    experiments: list[Experiment], workers: list[Worker], metrics: str | None, sentence: str
) -> None:
    seen = Seen(experiments, workers, [], Metrics.parse(metrics) if metrics else None)
    assert re.match(sentence, bottleneck(seen)), bottleneck(seen)


def states(seen: Seen) -> dict[str, str]:
    return {check.name: check.state for check in checks(seen)}


def test_a_fleet_that_is_well_has_nothing_to_look_at() -> None:
    assert set(states(Seen([RUNNING], fleet(3), [], None)).values()) == {"good"}


def test_trouble_of_each_kind_is_seen_where_it_is() -> None:
    bad = dataclasses.replace(RUNNING, trouble="too many fail", failed=3, leases_lost=900)
    slow = [*fleet(3), Worker("snail", "cpu", 8, 8, 10, 0.9, 2.0, NOW)]
    found = states(Seen([bad], slow, [QuarantinedWorker("liar", "it differed", NOW)], None))
    assert found == {
        "Experiments": "bad",
        "Quarantine": "bad",
        "Workers": "look",
        "Leases": "look",
        "Evaluations": "look",
        "Checks": "good",
    }


@pytest.mark.browser
async def test_the_page_reads_a_real_masters_metrics(tmp_path: Path, browser: Browser) -> None:
    config = MasterConfig(listen="localhost:0", metrics_port=0, store_folder=tmp_path / "store")
    async with Master.serving(config) as master, hand_worker(master.address):
        reader = MetricsReader(f"http://{master.metrics_address}")
        async with (
            shown(master.address, metrics=reader) as dashboard,
            visiting(browser, dashboard.address) as visit,
        ):
            await visit.open("/health")
            await visit.sees("What the master counts")
            await visit.sees("Nothing is running, so nothing is waited for.")
            await visit.sees("It takes in what is told.")
            await visit.text()
            visit.check()


async def test_metrics_that_cannot_be_read_say_why(master: Master) -> None:
    async with shown(master.address, metrics=MetricsReader("http://127.0.0.1:1")) as dashboard:
        told = (await fetch(dashboard.address, "/api/health")).told
    assert told["numbers"] is None
    assert "http://127.0.0.1:1/metrics cannot be read" in told["note"]


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="--metrics is"):
        MetricsReader("file:///etc/passwd")
