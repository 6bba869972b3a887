"""What CloudWatch reads in a real master's log."""

import asyncio
import json
import logging
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily

from germline.logs import JsonLines
from germline.spec import loads
from master import embedded_metrics
from master.config import MasterConfig
from master.server import Master

SPEC = """
name = "one"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 20
parents = 4
candidates = 0
"""


class Log(logging.StreamHandler[StringIO]):
    """A log of JSON lines, as a log driver takes it from a master."""

    def __init__(self) -> None:
        super().__init__(StringIO())
        self.setFormatter(JsonLines())
        self.told = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        self.told.set()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def metric(line: dict[str, Any], name: str) -> float:
    """A metric as the format defines it: the envelope names it, the line holds it. Raises if it does not."""
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "germline"
    assert [[line[key] for key in keys] for keys in directive["Dimensions"]] == [["a-fleet"]]
    (named,) = (each for each in directive["Metrics"] if each["Name"] == name)
    assert named["Unit"] == "Count"
    return float(line[name])


async def test_a_real_master_writes_the_workers_that_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_metrics, "EVERY_S", 0.01)
    monkeypatch.setattr(embedded_metrics.logger, "level", logging.INFO)
    monkeypatch.setattr(embedded_metrics.logger, "handlers", [log := Log()])
    config = MasterConfig(
        listen="localhost:0", metrics_port=-1, worker_slots=8, store_folder=tmp_path,
        metrics_emf="a-fleet", log_format="json",
    )  # fmt: skip
    async with Master.serving(config) as master, asyncio.timeout(60):
        await log.told.wait()
        assert metric(log.lines[-1], "germline_workers_wanted") == 0
        experiment = master.registry.create(loads(SPEC))
        while metric(log.lines[-1], "germline_workers_wanted") != 5:  # 2 windows of 20, 8 slots a worker
            log.told.clear()
            await log.told.wait()
        assert metric(log.lines[-1], "germline_workers") == 0
        experiment.stop()
        while metric(log.lines[-1], "germline_workers_wanted"):
            log.told.clear()
            await log.told.wait()


def test_a_line_has_its_time_in_milliseconds_and_nothing_that_nobody_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded_metrics.logger, "level", logging.INFO)
    monkeypatch.setattr(embedded_metrics.logger, "handlers", [log := Log()])
    gauges = [GaugeMetricFamily(name, "", value=2.0) for name in ("germline_workers", "germline_credit")]
    embedded_metrics.write("a-fleet", gauges, now=1.5)
    (line,) = log.lines
    assert metric(line, "germline_workers") == 2
    assert line["_aws"]["Timestamp"] == 1500
    assert "germline_credit" not in line
