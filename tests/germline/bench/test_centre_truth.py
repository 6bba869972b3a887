"""What is reported of an evolution strategy's best centre is true: the benchmark in small."""

from __future__ import annotations

from dataclasses import replace

from germline.bench.centre import SETTINGS, measure
from germline.bench.champion import Row


def over_all(rows: list[Row]) -> tuple[float, float]:
    """Share of the intervals that hold the truth, and the mean of reported less true, over all noises."""
    runs = sum(row.reported for row in rows)
    covered = sum(row.reported * row.covered for row in rows) / runs
    return covered, sum(row.reported * row.error for row in rows) / runs


def test_intervals_hold_the_truth_and_means_are_not_too_good() -> None:
    covered, error = over_all(measure(20, 40, processes=1))
    assert covered >= 0.9
    assert abs(error) < 0.1


def test_a_centre_that_is_measured_once_reads_too_good() -> None:
    covered, error = over_all(measure(20, 40, processes=1, settings=replace(SETTINGS, reported_episodes=0)))
    assert covered < 0.8
    assert error > 0.3
