"""Intervals cover what they promise, and equal published tables."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.statistics import (
    bootstrap_interval,
    half_width,
    interquartile_mean,
    mean_interval,
    share_interval,
    t_probability,
    t_quantile,
)

finite = st.floats(-1e6, 1e6)


# Printed in every table of the t distribution, to the last digit that they print.
PRINTED = {
    0.975: {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 29: 2.045, 30: 2.042, 120: 1.980},
    0.95: {1: 6.314, 2: 2.920, 5: 2.015, 10: 1.812, 30: 1.697, 120: 1.658},
    0.995: {1: 63.657, 2: 9.925, 5: 4.032, 10: 3.169, 30: 2.750, 120: 2.617},
}


@pytest.mark.parametrize(
    ("probability", "freedom", "quantile"),
    [(p, freedom, value) for p, column in PRINTED.items() for freedom, value in column.items()],
)
def test_quantiles_of_students_t_equal_the_printed_table(
    probability: float, freedom: int, quantile: float
) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(quantile, abs=5.001e-4)
    assert t_quantile(1 - probability, freedom) == pytest.approx(-quantile, abs=5.001e-4)


@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.999])
def test_quantiles_of_one_and_two_degrees_are_those_of_their_formulas(probability: float) -> None:
    assert t_quantile(probability, 1) == pytest.approx(math.tan(math.pi * (probability - 0.5)), rel=1e-12)
    side = 2 * probability - 1
    assert t_quantile(probability, 2) == pytest.approx(side * math.sqrt(2 / (1 - side**2)), rel=1e-12)


@pytest.mark.parametrize("freedom", [200, 201, 500, 5_000])
@pytest.mark.parametrize("probability", [0.5, 0.9, 0.975, 0.999])
def test_quantiles_of_many_degrees_solve_the_exact_distribution(probability: float, freedom: int) -> None:
    assert t_probability(t_quantile(probability, freedom), freedom) == pytest.approx(probability, abs=1e-10)


def test_quantiles_of_a_million_degrees_take_no_time_and_a_single_value_has_no_half_width() -> None:
    assert t_quantile(0.975, 10**6) == pytest.approx(1.959966, abs=1e-6)
    assert half_width(0.5, 10) == pytest.approx(0.5 * 2.262157, rel=1e-6)
    assert math.isnan(half_width(0.5, 1))


@pytest.mark.parametrize(
    ("probability", "freedom", "says"),
    [(0.0, 3, "probability is 0.0"), (1.0, 3, "probability is 1.0"), (0.9, 0, "freedom is 0")],
)
def test_a_quantile_that_is_none_is_refused(probability: float, freedom: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        t_quantile(probability, freedom)


def test_students_t_of_many_degrees_is_the_normal_distribution() -> None:
    assert t_quantile(0.975, 10_000) == pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-3)


def test_the_mean_interval_of_a_small_sample_is_the_one_worked_by_hand() -> None:
    interval = mean_interval([1.0, 2.0, 3.0, 4.0])
    half = 3.182 * math.sqrt(5 / 3) / 2
    assert interval.estimate == 2.5
    assert interval.low == pytest.approx(2.5 - half, abs=1e-3)
    assert interval.high == pytest.approx(2.5 + half, abs=1e-3)


def test_one_score_says_nothing_of_its_spread() -> None:
    interval = mean_interval([7.0])
    assert interval.estimate == 7.0
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_nineteen_in_twenty_mean_intervals_hold_the_true_mean() -> None:
    random = np.random.default_rng(1)
    intervals = [mean_interval(random.normal(3.0, 2.0, 8).tolist()) for _ in range(1_000)]
    covered = sum(interval.low <= 3.0 <= interval.high for interval in intervals)
    assert 925 <= covered <= 975


def test_about_nineteen_in_twenty_bootstrap_intervals_hold_the_true_middle() -> None:
    random = np.random.default_rng(2)
    intervals = [bootstrap_interval(random.normal(3.0, 2.0, 40).tolist()) for _ in range(100)]
    covered = sum(interval.low <= 3.0 <= interval.high for interval in intervals)
    assert 85 <= covered <= 100


def test_the_bootstrap_gives_the_same_interval_for_the_same_seed() -> None:
    scores = [1.0, 5.0, 2.0, 8.0, 3.0]
    assert bootstrap_interval(scores, seed=4) == bootstrap_interval(scores, seed=4)


def test_the_interquartile_mean_ignores_outliers() -> None:
    assert interquartile_mean([-1e9, 1.0, 2.0, 1e9]) == 1.5


def test_the_interquartile_mean_counts_edges_in_part() -> None:
    assert interquartile_mean([1.0, 2.0, 3.0]) == pytest.approx((0.25 * 1 + 1 * 2 + 0.25 * 3) / 1.5)
    assert interquartile_mean([5.0]) == 5.0


@given(st.lists(finite, min_size=1, max_size=30))
def test_estimates_lie_within_the_scores(scores: list[float]) -> None:
    slack = 1e-6
    for estimate in (interquartile_mean(scores), mean_interval(scores).estimate):
        assert min(scores) - slack <= estimate <= max(scores) + slack


@given(st.lists(finite, min_size=1, max_size=30))
def test_the_order_of_scores_does_not_matter_to_the_interquartile_mean(scores: list[float]) -> None:
    assert interquartile_mean(scores) == interquartile_mean(sorted(scores, reverse=True))


@pytest.mark.parametrize(
    ("scores", "confidence", "says"),
    [
        ([], 0.95, "at least one"),
        ([1.0, float("nan")], 0.95, "finite"),
        ([1.0, float("inf")], 0.95, "finite"),
        ([1.0, 2.0], 1.0, "confidence is 1.0"),
    ],
)
def test_senseless_scores_are_refused(scores: list[float], confidence: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        mean_interval(scores, confidence)


def test_scores_whose_squares_are_no_floats_have_intervals() -> None:
    scores = [-1e200, -1.5e200, -2e200, -1.1e200, -1.4e200]
    small = [score / 2.0**700 for score in scores]
    for interval in (mean_interval, bootstrap_interval):
        assert list(interval(scores)) == [value * 2.0**700 for value in interval(small)]
    assert mean_interval([1.7e308, -1.7e308]).high == math.inf


def test_the_interval_of_a_share_is_wilsons() -> None:
    """7 of 10: 0.397 to 0.892, as in Agresti and Coull 1998."""
    share = share_interval(7, 10)
    assert [round(value, 3) for value in share] == [0.7, 0.397, 0.892]
    assert share_interval(0, 10).low == 0
    assert share_interval(0, 10).high == pytest.approx(0.2775, abs=1e-4)
    assert share_interval(10, 10).high == 1


def test_more_successes_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="successes is 3 of 2 trials"):
        share_interval(3, 2)
