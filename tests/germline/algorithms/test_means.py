"""Means that stay finite as long as the numbers are."""

import math
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.algorithms.means import mean_of, mean_with, standard_error

FINITE = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=9)
ORDINARY = st.lists(st.floats(-1e100, 1e100).filter(lambda x: x == 0 or abs(x) > 1e-100), min_size=2)


@given(FINITE)
def test_a_mean_of_finite_numbers_lies_between_them(values: list[float]) -> None:
    assert min(values) <= mean_of(values) <= max(values) or math.isclose(mean_of(values), values[0])
    assert math.isfinite(standard_error(values))


@given(ORDINARY)
def test_means_of_ordinary_numbers_have_the_bits_of_the_plain_formulas(values: list[float]) -> None:
    mean = math.fsum(values) / len(values)
    assert mean_of(values) == mean
    plain = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    assert standard_error(values) == math.sqrt(plain / len(values))
    first, *others = values
    assert mean_with(first, 1, others) == first + (sum(others) - len(others) * first) / len(values)


@pytest.mark.parametrize("values", [(1.7e308, 1.7e308), (-1.7e308, 1.7e308, 1.6e308), (1e308, -1e308)])
def test_the_largest_numbers_have_a_mean(values: tuple[float, ...]) -> None:
    assert mean_of(values) == pytest.approx(fmean(value / 8 for value in values) * 8, rel=1e-12)
    whole = mean_with(values[0], 1, values[1:])
    assert whole == pytest.approx(mean_of(values), rel=1e-12, abs=1e293)


def test_a_single_number_says_nothing_of_its_error() -> None:
    assert standard_error((3.0,)) == math.inf
