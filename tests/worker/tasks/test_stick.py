"""A policy can move a joystick: one answer steers both ways."""

import ale_py
import numpy as np
import pytest

from worker.networks.population import choose
from worker.tasks.atari import AtariTask
from worker.tasks.base import DiscreteActions, StickActions
from worker.tasks.stick import stick_table

ALL = range(18)
PONG = [0, 1, 3, 4, 11, 12]


def pushed(answers: list[float], actions: list[int] | range = ALL) -> str:
    """The console's name of what four answers (across, up, button, rest) do in a game with these actions."""
    chosen = choose(StickActions(stick_table(list(actions))), np.array([[answers]], np.float32))
    assert chosen.shape == (1, 1)
    return ale_py.Action(actions[int(chosen.item())]).name


@pytest.mark.parametrize(
    ("answers", "name"),
    [
        ([0, 0, 0, 1], "NOOP"),
        ([2, 0, 0, 1], "RIGHT"),
        ([-2, 0, 0, 1], "LEFT"),
        ([0, 2, 0, 1], "UP"),
        ([0, -2, 0, 1], "DOWN"),
        ([-2, 3, 2, 1], "UPLEFTFIRE"),
        ([2, -3, -9, 1], "DOWNRIGHT"),
        ([0, 0, 2, 1], "FIRE"),
        ([0.5, -0.5, -0.5, 1], "NOOP"),
        ([0.5, -0.5, -2, -1], "DOWNRIGHT"),  # with a rest below 0 the stick never rests
        ([0, 0, -2, -1], "NOOP"),  # but where nothing pushes it
    ],
)
def test_the_stick_goes_where_an_answer_outdoes_rest(answers: list[float], name: str) -> None:
    assert pushed(answers) == name


@pytest.mark.parametrize(
    ("answers", "name"),
    [([2, 2, 2, 1], "RIGHTFIRE"), ([0, 2, 0, 1], "NOOP"), ([0, -2, 2, 1], "FIRE"), ([-2, -2, 0, 1], "LEFT")],
)
def test_a_game_without_a_position_takes_the_nearest_that_it_has(answers: list[float], name: str) -> None:
    assert pushed(answers, PONG) == name


def test_whatever_an_answer_s_unit_is_the_stick_goes_the_same_way() -> None:
    answers = np.random.default_rng(0).integers(-500, 500, (1_000, 1, 4))
    stick = StickActions(stick_table(list(ALL)))
    assert np.array_equal(choose(stick, answers), choose(stick, (answers / 1024).astype(np.float32)))


def test_a_game_is_steered_by_its_own_actions_with_or_without_a_stick() -> None:
    plain, steered = AtariTask(game="pong"), AtariTask(game="pong", stick=True)
    assert isinstance(plain.spaces.actions, DiscreteActions)
    assert isinstance(steered.spaces.actions, StickActions)
    assert steered.spaces.actions.table.max() < plain.spaces.actions.count
    assert steered.spaces.actions.outputs == 4
