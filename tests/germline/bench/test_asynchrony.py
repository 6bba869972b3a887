"""Whether short games breed first, in small."""

import numpy as np
import pytest

from germline.bench.asynchrony import FOUNDERS, Search, measure


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
