"""What is reported of a champion is true, and a solid one keeps its title: the benchmark in small."""

from __future__ import annotations

import math

import pytest

from germline.bench.champion import Outcome, measure, summary, table


@pytest.fixture(scope="module")
def rows() -> list[tuple[float, int, float, float, float]]:
    """Eight short searches at each of three noises."""
    return [(r.noise, r.reported, r.covered, r.error, r.wrong) for r in measure(8, 1_500, processes=1)]


def test_intervals_hold_the_truth_and_means_are_not_too_good(
    rows: list[tuple[float, int, float, float, float]],
) -> None:
    reported = sum(row[1] for row in rows)
    assert reported >= 20
    assert sum(round(row[1] * row[2]) for row in rows) >= 0.9 * reported
    assert abs(sum(row[1] * row[3] for row in rows) / reported) < 0.2


def test_a_solid_champion_keeps_its_title(rows: list[tuple[float, int, float, float, float]]) -> None:
    assert all(row[4] <= 0.05 for row in rows)


def test_a_summary_counts_what_was_reported_and_what_was_lost() -> None:
    outcomes = [
        Outcome(0.5, True, -1.0, (1.0, -0.05)),
        Outcome(-0.1, False, -3.0, (-0.2, 2.0)),
        Outcome(math.nan, None, -2.0, ()),
    ]
    row = summary(1.0, outcomes)
    assert (row.runs, row.reported, row.covered) == (3, 2, 0.5)
    assert row.error == pytest.approx(0.2)
    assert (row.true_fitness, row.changes, row.wrong, row.worse) == (-2.0, 4, 0.25, 0.5)
    assert "| 1.0 | 50 % of 2 | +0.200 | -2.00 | 4 | 25.0 % | 50.0 % |" in table([row])
