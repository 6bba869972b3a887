"""Gymnasium environments as tasks."""

import numpy as np
import pytest

from worker.tasks.base import ContinuousActions, DiscreteActions, SetupError
from worker.tasks.gym import GymTask


def episode(task: GymTask, seed: int) -> list[float]:
    """The observations of a short episode under one action."""
    lanes, lane, seen = task.make_lanes(2), np.array([1]), []
    lanes.begin(lane, [seed])
    for _ in range(5):
        seen.extend(lanes.observations[1].tolist())
        lanes.send(lane, np.array([1]))
        lanes.receive()
    lanes.close()
    return seen


def test_an_episode_is_determined_by_its_seed() -> None:
    task = GymTask(id="CartPole-v1")

    assert episode(task, 2**64 - 1) == episode(task, 2**64 - 1)
    assert episode(task, 1) != episode(task, 2)


def test_spaces_are_those_of_the_environment() -> None:
    cart, pendulum = GymTask(id="CartPole-v1").spaces, GymTask(id="Pendulum-v1").spaces

    assert cart.observation_shape == (4,)
    assert cart.actions == DiscreteActions(2)
    assert isinstance(pendulum.actions, ContinuousActions)
    assert pendulum.actions.high.tolist() == [2.0]


def test_an_episode_ends_at_max_steps() -> None:
    lanes = GymTask(id="Pendulum-v1", max_steps=3).make_lanes(1)
    lanes.begin(np.array([0]), [0])
    ended = []
    for _ in range(3):
        lanes.send(np.array([0]), np.zeros((1, 1), np.float32))
        ended.append(bool(lanes.receive().ended[0]))

    assert ended == [False, False, True]


def test_arguments_reach_the_environment() -> None:
    environment = GymTask(id="Pendulum-v1", arguments={"g": 1.5})._make()

    assert getattr(environment.unwrapped, "g", None) == 1.5


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("NoSuch-v0", "Gymnasium cannot make it"), ("no_such_package:X-v0", "this worker cannot import it")],
)
def test_an_environment_that_cannot_be_made_is_refused_by_name(name: str, complaint: str) -> None:
    with pytest.raises(SetupError, match=f"task.gym.id is '{name}'; {complaint}"):
        GymTask(id=name)


def test_an_environment_without_a_box_observation_is_refused() -> None:
    with pytest.raises(SetupError, match=r"whose observation is Discrete.*; allowed: a Box"):
        GymTask(id="Taxi-v4")
