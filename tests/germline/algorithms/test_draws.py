"""Dice: an ask's ticket is the only state, and every word is used as evenly as it can be."""

from __future__ import annotations

import hashlib
import struct
from statistics import NormalDist

import pytest

from germline.algorithms.draws import Dice, below, normal, unit

LAST = 2**64 - 1


def block(seed: int, ticket: int, number: int) -> tuple[int, ...]:
    """Eight words as the dice are defined, for ever: journals were written with them."""
    message = struct.pack("<QQI", seed, ticket, number)
    return struct.unpack("<8Q", hashlib.blake2b(message, person=b"germline-ask-1").digest())


def test_the_words_of_an_ask_are_these_for_ever() -> None:
    first, second, third = (block(7, 9, number) for number in range(3))
    dice = Dice(7, 9)
    assert (dice.seed, dice.parent, dice.power) == first[:3]
    for episodes in (0, 1, 4, 5, 12, 20):
        assert dice.episode_seeds(episodes) == (*first[4:], *second, *third)[:episodes]


def test_an_index_is_below_its_bound_and_each_is_as_likely() -> None:
    assert [below(word, 5) for word in (0, LAST)] == [0, 4]
    assert [below((2 * k + 1) * 2**63 // 10, 5) for k in range(10)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert below(LAST, 1) == 0


def test_a_unit_lies_strictly_between_nought_and_one() -> None:
    assert unit(0) == 2.0**-53
    assert unit(LAST) == 1 - 2.0**-53
    assert unit(2**63) == pytest.approx(0.5, abs=2.0**-52)


def test_a_normal_value_is_the_quantile_of_its_word() -> None:
    assert normal(2**62) == pytest.approx(NormalDist().inv_cdf(0.25))
    assert normal(0) == -normal(LAST)
