"""Distances between behaviours are exact whole numbers, whoever comes and goes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.algorithms.neighbours import FARTHEST, UNIT, Archive, Behaviours, nearest_mean
from germline.behaviour import pack, unpack

ROWS = st.lists(st.integers(0, 65_535), min_size=3, max_size=3)


def packed(*numbers: int) -> bytes:
    return pack(np.array(numbers, np.uint16))


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | ROWS), max_size=40), ROWS)
def test_squares_are_those_of_whole_numbers_after_any_comings_and_goings(
    steps: list[tuple[int, list[int] | None]], point: list[int]
) -> None:
    behaviours, here = Behaviours(3), dict[int, list[int]]()
    for individual, row in steps:
        if row is None:
            behaviours.remove(individual)
            here.pop(individual, None)
        else:
            behaviours.add(individual, packed(*row))
            here[individual] = row
    exact = sorted(sum((a - b) ** 2 for a, b in zip(row, point, strict=True)) for row in here.values())
    assert sorted(behaviours.squares(unpack(packed(*point))).tolist()) == exact
    assert (len(behaviours), 3 in behaviours) == (len(here), 3 in here)


def test_the_largest_distances_are_exact() -> None:
    behaviours = Behaviours(512)
    behaviours.add(1, b"\x00" * 1024)
    assert behaviours.squares(np.full(512, 65_535, np.uint16)).tolist() == [512 * 65_535**2]


def test_the_mean_over_the_nearest_is_in_whole_1024ths() -> None:
    squares = np.array([100.0, 9.0, 16.0, 4.0])
    assert nearest_mean(squares, 2) == (5 * UNIT + 1) // 2
    assert nearest_mean(squares, 9) == (19 * UNIT + 2) // 4
    assert nearest_mean(np.zeros(0), 3) == FARTHEST


def test_nobody_is_its_own_neighbour() -> None:
    behaviours = Behaviours(1)
    behaviours.add(1, packed(5))
    behaviours.add(2, packed(7))
    assert behaviours.squares(unpack(packed(5)), without=1).tolist() == [4.0]


def test_rivals_are_all_others_that_are_at_least_as_fit() -> None:
    behaviours = Behaviours(1)
    for individual, (number, fitness) in enumerate([(0, 1.0), (3, 1.0), (5, 2.0), (9, 0.5)]):
        behaviours.add(individual, packed(number), fitness)
    assert behaviours.rivals(0).tolist() == [9.0, 25.0]
    behaviours.revise(3, 3.0)
    assert behaviours.rivals(0).tolist() == [9.0, 25.0, 81.0]
    assert behaviours.rivals(3).tolist() == []


def test_a_behaviour_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="behaviour has 2 bytes; allowed: 2 for each of its 3 numbers"):
        Behaviours(3).add(1, b"ab")


def test_the_oldest_leaves_a_full_archive_and_a_known_one_stays_as_it_is() -> None:
    archive = Archive(1, capacity=2)
    for individual, number in ((1, 10), (2, 20), (1, 99), (3, 30)):
        archive.add(individual, packed(number))
    assert list(archive) == [(2, packed(20)), (3, packed(30))]
    archive.remove(2)
    archive.remove(7)
    assert len(archive) == len(archive.behaviours) == 1
