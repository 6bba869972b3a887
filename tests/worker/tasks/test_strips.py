"""Strips say where things are on a picture, in whole numbers, and leave the game as it is."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from worker.tasks.atari import AtariTask
from worker.tasks.base import SetupError
from worker.tasks.strips import STANDS_OUT, UNIT, Strips

LANE = np.array([0])
CUTS = [12, 42, 72]


def picture(*things: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A dark picture with a wall at its top, and a bright dot at each (row, column)."""
    shown = np.full((84, 84), 40, np.uint8)
    shown[5] = 220
    for row, column in things:
        shown[row, column] = 200
    return shown


def seen(strips: Strips, *pictures: npt.NDArray[np.uint8]) -> list[float]:
    out = np.zeros(strips.numbers, np.float32)
    strips.start(pictures[0], out)
    for later in pictures[1:]:
        strips.step(later, out)
    return [number * UNIT for number in out.tolist()]


def test_each_strip_says_at_which_row_its_thing_is_and_a_wall_is_none() -> None:
    strips = Strips(CUTS, 84, 84)
    assert seen(strips, picture((20, 3), (50, 80))) == [-22, 0, 0, 8, 0, 0, 0, 0]


def test_two_things_in_a_strip_are_seen_between_them() -> None:
    assert seen(Strips([42], 84, 84), picture((20, 3), (30, 9)))[0] == 25 - 42


def test_beside_each_row_stands_how_far_it_moved_in_the_last_step() -> None:
    strips = Strips(CUTS, 84, 84)
    assert seen(strips, picture((20, 3)), picture((26, 3)))[4] == 6
    assert seen(strips, picture((20, 3)), picture((26, 3)), picture((26, 3)))[4] == 0


@given(arrays(np.uint8, (84, 84)), st.sampled_from([CUTS, [1], [83], list(range(1, 84))]))
def test_the_numbers_are_whole_small_and_those_of_the_definition(
    shown: npt.NDArray[np.uint8], cuts: list[int]
) -> None:
    strips = Strips(cuts, 84, 84)
    edges = [0, *cuts, 84]
    expected = []
    for a, b in itertools.pairwise(edges):
        total = weighted = 0
        for row in range(84):
            mean = sum(shown[row].tolist()) // 84
            apart = [abs(v - mean) for v in shown[row, a:b].tolist()]
            mass = sum(v for v in apart if v >= STANDS_OUT)
            total, weighted = total + mass, weighted + mass * (row - 42)
        expected.append(weighted // max(total, 1))
    assert seen(strips, shown)[: strips.numbers // 2] == expected


def test_the_game_is_the_same_whatever_a_policy_sees_of_it() -> None:
    tasks = (AtariTask(game="pong", max_frames=2_000), AtariTask(game="pong", max_frames=2_000, strips=CUTS))
    games = []
    for lanes in (task.make_lanes(1) for task in tasks):
        lanes.begin(LANE, [7])
        played = []
        for step in range(200):
            lanes.send(LANE, np.array([step * 7 % 6]))
            stepped = lanes.receive()
            played.append((*(column[0].item() for column in stepped[:3]), lanes.memory(0).tobytes()))
        games.append(played)
    assert games[0] == games[1]


def test_an_episode_s_numbers_do_not_depend_on_what_the_lane_played_before() -> None:
    lanes = AtariTask(game="pong", strips=CUTS).make_lanes(2)

    def first_numbers(lane: int, seed: int) -> bytes:
        where, shown = np.array([lane]), b""
        lanes.begin(where, [seed])
        for _ in range(30):
            shown += lanes.observations[lane].tobytes()
            lanes.send(where, np.array([3]))
            lanes.receive()
        return shown

    alone = first_numbers(0, 5)
    first_numbers(0, 6)
    assert first_numbers(0, 5) == alone == first_numbers(1, 5)


@pytest.mark.parametrize("cuts", [[42, 12], [12, 12], [84], [0]])
def test_cuts_that_have_no_place_are_refused_by_name(cuts: list[int]) -> None:
    with pytest.raises(SetupError, match=r"task\.atari\.strips is .*ascending columns from 1 to 83"):
        AtariTask(game="pong", strips=cuts)
