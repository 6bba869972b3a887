"""Whether short games breed first, in small."""

from pathlib import Path

import numpy as np
import pytest

from germline.bench.asynchrony import FOUNDERS, Record, Search, measure

RECORD = Path(__file__).parents[3] / "benchmarks/search/frostbite-motion-1-start.npz"


@pytest.mark.parametrize("rule", ["plain", "running"])
def test_where_workers_outnumber_the_founders_the_short_lived_breed_first(rule: str) -> None:
    assert measure(rule, "flat", "frostbite", workers=500, frames=6e6, seed=1) > 0.6


def test_where_the_founders_are_waited_for_neither_half_is_favoured() -> None:
    shares = [measure("barrier", "flat", "frostbite", 500, 12e6, seed) for seed in range(6)]
    assert 0.35 < float(np.mean(shares)) < 0.6


def test_nobody_breeds_before_the_founders_are_back_if_they_are_waited_for() -> None:
    search = Search("barrier", "growing", 4_543, np.random.default_rng(0))
    search.run(500, 200_000)
    assert search.founders_back < FOUNDERS
    assert search.children == 0


def test_a_record_gives_its_founders_and_what_gentle_children_kept_of_their_parents(tmp_path: Path) -> None:
    file = tmp_path / "record.npz"
    np.savez(
        file,
        parent=np.array([-1, -1, 0, 1, 0]),
        power=np.array([0, 0, 0.0003, 0.0003, 0.02]),
        frames=np.array([[1_000], [3_000], [1_500], [9_000], [9_000]]),
        returns=np.array([[50.0], [0.0], [40.0], [9.0], [9.0]]),
    )
    record = Record.of(file)
    assert record.founders.tolist() == [[1_000, 50], [3_000, 0]]
    assert record.steps.tolist() == [[1.5, 0.8]]
    assert record.short_share == 0.5


def test_on_recorded_lengths_a_barrier_takes_the_lead_of_short_games_away() -> None:
    record = Record.of(RECORD)

    def share(rule: str) -> float:
        shares = [measure(rule, "luck", "frostbite", 500, 2e6, seed, record) for seed in range(4)]
        return float(np.mean(shares))

    assert share("plain") > share("barrier") + 0.1
