"""Strips say how things are to each other on a picture, in whole numbers, and leave the game as it is."""

from itertools import combinations, pairwise

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
CUTS, ROWS = [12, 72], [14, 78]
Picture = npt.NDArray[np.uint8]


def picture(*things: tuple[int, int]) -> Picture:
    """A dark picture with a wall across it, and a bright dot at each (row, column)."""
    shown = np.full((84, 84), 40, np.uint8)
    shown[76] = 220
    for row, column in things:
        shown[row, column] = 200
    return shown


def seen(strips: Strips, *pictures: Picture) -> list[float]:
    """What a policy sees after these pictures, in rows."""
    places, out = strips.nowhere(), np.zeros(strips.numbers, np.float32)
    for shown in pictures:
        before = places.copy()
        strips.look(shown, places)
        strips.write(places, before, out)
    return [number * UNIT for number in out.tolist()]


def test_a_policy_sees_how_far_apart_the_things_of_every_two_strips_are() -> None:
    shown = picture((20, 3), (50, 40), (30, 80))
    assert seen(Strips(CUTS, ROWS, 84, 84), shown, shown) == [-30, -10, 20, 0, 0, 0]


def test_it_sees_how_far_each_moved_in_the_last_step() -> None:
    there, further = picture((20, 3), (50, 40), (30, 80)), picture((26, 3), (50, 40), (28, 80))
    strips = Strips(CUTS, ROWS, 84, 84)
    assert seen(strips, there, further)[3:] == [6, 0, -2]
    assert seen(strips, there, further, further)[3:] == [0, 0, 0]


def test_a_thing_that_is_hidden_is_where_it_was_last_seen_and_in_the_middle_before() -> None:
    strips = Strips(CUTS, ROWS, 84, 84)
    without_ball = picture((20, 3), (30, 80))
    assert seen(strips, without_ball)[:3] == [20 - 46, -10, 46 - 30]
    assert seen(strips, picture((20, 3), (50, 40), (30, 80)), without_ball)[:3] == [-30, -10, 20]


def test_what_stands_outside_of_the_rows_is_not_seen() -> None:
    strips = Strips(CUTS, ROWS, 84, 84)
    shown, score = picture((20, 3), (50, 40), (30, 80)), picture((20, 3), (50, 40), (30, 80), (5, 40))
    assert seen(strips, score) == seen(strips, shown)
    assert seen(Strips(CUTS, [], 84, 84), score) != seen(Strips(CUTS, [], 84, 84), shown)


@given(arrays(np.uint8, (84, 84)), st.sampled_from([CUTS, [1], [83], list(range(8, 84, 8))]))
def test_the_numbers_are_those_of_the_definition(shown: Picture, cuts: list[int]) -> None:
    strips, places = Strips(cuts, ROWS, 84, 84), []
    for first, end in pairwise([0, *cuts, 84]):
        mass = weighted = 0
        for row in range(*ROWS):
            mean = sum(shown[row].tolist()) // 84
            apart = [abs(value - mean) for value in shown[row, first:end].tolist()]
            counts = sum(value for value in apart if value >= STANDS_OUT)
            mass, weighted = mass + counts, weighted + counts * row
        places.append(weighted // mass if mass else 46)
    apart = [a - b for a, b in combinations(places, 2)]
    assert seen(strips, shown, shown) == [*apart, *[0] * len(places)]


def test_the_game_is_the_same_whatever_a_policy_sees_of_it() -> None:
    games = []
    for cuts in ([], CUTS):
        lanes = AtariTask(game="pong", max_frames=2_000, strips=cuts).make_lanes(1)
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


@pytest.mark.parametrize("rows", [[14], [14, 14], [78, 14], [0, 85], [1, 2, 3]])
def test_rows_that_are_none_are_refused_by_name(rows: list[int]) -> None:
    with pytest.raises(SetupError, match=r"task\.atari\.strip_rows is .*two ascending rows from 0 to 84"):
        AtariTask(game="pong", strips=CUTS, strip_rows=rows)


def test_rows_without_strips_are_refused() -> None:
    with pytest.raises(SetupError, match=r"task\.atari\.strip_rows is given, but task\.atari\.strips is not"):
        AtariTask(game="pong", strip_rows=ROWS)
