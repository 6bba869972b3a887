"""What became of each score stands in a file: that it counts, or why not."""

import json
import logging
import math
from contextlib import closing
from pathlib import Path

import pytest

from worker.connection.leases import Batch
from worker.connection.results_log import ResultsLog
from worker.playing.engine import Played
from worker.playing.lease_work import ExperimentKey, LeaseKey
from worker.tasks.base import SetupError


def score(ticket: int, *returns: float) -> Played[LeaseKey]:
    return Played(LeaseKey(ExperimentKey(1, 0xABC), ticket, 4097), returns, 40, 10, 0.5)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_score_has_a_line_with_what_became_of_it(tmp_path: Path) -> None:
    kept, refused = score(1, 0.1 + 0.2, -3.0), score(2, 5.0)
    with closing(ResultsLog(tmp_path / "results")) as log:
        log.write(Batch(1, (kept, refused)), {refused.key: "already_told"})
    always = {"experiment": 1, "identity": "0000000000000abc", "attempt": 4097, "frames": 40, "steps": 10}
    assert lines(tmp_path / "results") == [
        always | {"ticket": 1, "returns": [0.1 + 0.2, -3.0], "failure": "", "verdict": "counted"},
        always | {"ticket": 2, "returns": [5.0], "failure": "", "verdict": "already_told"},
    ]


def test_workers_that_share_a_file_or_come_later_write_behind_each_other(tmp_path: Path) -> None:
    path = tmp_path / "results"
    with closing(ResultsLog(path)) as one, closing(ResultsLog(path)) as other:
        for ticket in range(4):
            (one, other)[ticket % 2].write(Batch(1, (score(ticket, 1.0),)), {})
    with closing(ResultsLog(path)) as later:
        later.write(Batch(1, (score(4, 1.0),)), {})
    assert [line["ticket"] for line in lines(tmp_path / "results")] == [0, 1, 2, 3, 4]


def test_a_return_that_is_missing_is_null(tmp_path: Path) -> None:
    with closing(ResultsLog(tmp_path / "results")) as log:
        log.write(Batch(1, (score(1, math.nan, 2.0),)), {})
    assert [line["returns"] for line in lines(tmp_path / "results")] == [[None, 2.0]]


def test_a_file_that_cannot_be_opened_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"results_log is '.*missing/results', which cannot be written to"):
        ResultsLog(tmp_path / "missing" / "results")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="wants a device that is always full")
def test_a_full_disk_costs_the_log_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    log = ResultsLog(Path("/dev/full"))
    with caplog.at_level(logging.ERROR):
        for ticket in range(3):
            log.write(Batch(1, (score(ticket, 1.0),)), {})
    assert len(caplog.records) == 1
    assert "nothing more is written to results_log /dev/full" in caplog.text
