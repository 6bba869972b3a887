"""Behaviour: what was done becomes whole numbers, the same ones everywhere."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.behaviour import LEVELS, MOST_DIMENSIONS, Measure, Range, mean, pack, quantise, unpack

PLACE = Range([Measure("x", -1.0, 1.0), Measure("y", 0.0, 255.0)])


def test_a_number_becomes_its_share_of_its_own_range() -> None:
    assert PLACE.quantise([-1.0, 0.0]).tolist() == [0, 0]
    assert PLACE.quantise([1.0, 255.0]).tolist() == [LEVELS - 1, LEVELS - 1]
    assert PLACE.quantise([0.0, 3.0]).tolist() == [32_768, 3 * 257]


def test_what_is_outside_of_its_range_counts_as_its_end() -> None:
    assert PLACE.quantise([-9.0, math.inf]).tolist() == [0, LEVELS - 1]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_whole_numbers_stand_for_what_was_told_within_half_a_step(shares: list[float]) -> None:
    told = np.array([2 * shares[0] - 1, 255 * shares[1]])
    found = PLACE.values(PLACE.quantise(told))
    assert (np.abs(found - told) <= np.array([2.0, 255.0]) / (LEVELS - 1) * 0.5000001).all()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([1.0], "behaviour has 1 numbers; allowed: 2"),
        ([1.0, math.nan], "behaviour 'y' is NaN; allowed: a number"),
    ],
)
def test_what_is_no_behaviour_is_refused_by_name(values: list[float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        PLACE.quantise(values)


def test_a_range_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="behaviour 'x' is from 1 to 1; allowed: finite, low below high"):
        Range([Measure("x", 1, 1)])
    with pytest.raises(ValueError, match=f"has 513 numbers; allowed: 1 to {MOST_DIMENSIONS}"):
        Range([Measure("x", 0, 1)] * 513)


def test_bytes_are_two_a_number_the_lower_first() -> None:
    packed = quantise([0.0, 1.0, 3 / (LEVELS - 1)], 0.0, 1.0)
    assert packed == b"\x00\x00\xff\xff\x03\x00"
    assert pack(unpack(packed)) == packed
    with pytest.raises(ValueError, match="behaviour has 3 bytes; allowed: 2 for each number"):
        unpack(b"abc")


def test_the_mean_of_several_episodes_is_rounded_half_up() -> None:
    first, second, third = (
        np.array(numbers, np.uint16) for numbers in ([0, 65_535], [1, 65_535], [1, 65_534])
    )
    assert mean([first, second]).tolist() == [1, 65_535]
    assert mean([first, second, third]).tolist() == [1, 65_535]
    assert mean([first]).tolist() == [0, 65_535]
