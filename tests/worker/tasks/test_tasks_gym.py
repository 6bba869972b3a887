"""Gymnasium environments as tasks."""

import logging
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium import spaces

from worker.networks.population import choose
from worker.tasks.base import ContinuousActions, DiscreteActions, SetupError
from worker.tasks.gym import GymTask

Seen = npt.NDArray[np.float32]
LANE = np.array([0])


class World(gymnasium.Env[Seen, Any]):
    """Ten steps, each of which shows a number drawn by the seed."""

    def __init__(self, actions: spaces.Space[Any] | None = None) -> None:
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 50}
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = actions or spaces.Discrete(2)
        self.taken: list[Any] = []
        self.age = 0

    def look(self) -> Seen:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Seen, dict[str, Any]]:
        super().reset(seed=seed)
        self.age = 0
        return self.look(), {}

    def step(self, action: Any) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        self.taken.append(action)
        self.age += 1
        return self.look(), 1.0, False, self.age >= 10, {}


class Grower(World):
    """Pays more with each episode that it has seen."""

    episodes = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Seen, dict[str, Any]]:
        self.episodes += 1
        return super().reset(seed=seed)

    def step(self, action: Any) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        shown, _, terminated, truncated, about = super().step(action)
        return shown, float(self.episodes), terminated, truncated, about


class Gambler(World):
    """Draws from a generator that no seed reaches."""

    dice = np.random.default_rng()

    def look(self) -> Seen:
        return self.dice.uniform(-1, 1, 2).astype(np.float32)


class Shy(World):
    """Cannot be made."""

    def __init__(self) -> None:
        raise KeyError("level_7")


class Fragile(World):
    """Breaks in its third step."""

    def step(self, action: Any) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        if self.age == 2:
            raise RuntimeError("the world is flat")
        return super().step(action)


for kind in (World, Grower, Gambler, Shy, Fragile):
    where = f"{kind.__module__}:{kind.__name__}"
    gymnasium.register(f"{kind.__name__}-v0", entry_point=where, disable_env_checker=True)


def world_with(actions: spaces.Space[Any]) -> GymTask:
    return GymTask(id="World-v0", arguments={"actions": actions})


def taken_for(actions: spaces.Space[Any], outputs: list[list[float]]) -> list[Any]:
    """The actions that reach an environment when a policy answers `outputs`, one line a step."""
    task = world_with(actions)
    lanes = task.make_lanes(1)
    lanes.begin(LANE, [0])
    for line in outputs:
        lanes.send(LANE, choose(task.spaces.actions, np.array([line], np.float32)))
        lanes.receive()
    world = lanes._environments[0].unwrapped
    assert isinstance(world, World)
    return world.taken


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
    environment = GymTask(id="Pendulum-v1", arguments={"g": 1.5}).make()

    assert getattr(environment.unwrapped, "g", None) == 1.5


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("NoSuch-v0", "Gymnasium cannot make it"), ("no_such_package:X-v0", "no module no_such_package is in")],
)
def test_an_environment_that_cannot_be_made_is_refused_by_name(name: str, complaint: str) -> None:
    with pytest.raises(SetupError, match=f"task.gym.id is '{name}'; {complaint}"):
        GymTask(id=name)


def test_a_counted_observation_is_seen_as_ones_and_zeros() -> None:
    assert GymTask(id="Taxi-v4").spaces.observation_shape == (500,)


def test_a_constructor_that_fails_is_told_by_name() -> None:
    with pytest.raises(
        SetupError, match=r"task.gym.id is 'Shy-v0'; Gymnasium cannot make it: KeyError: 'level_7'"
    ):
        GymTask(id="Shy-v0")


def test_discrete_actions_are_counted_from_the_space_s_start() -> None:
    assert taken_for(spaces.Discrete(3, start=-1), [[1, 0, 0], [0, 1, 0], [0, 0, 1]]) == [-1, 0, 1]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 10, (2, 1), np.int64),
        spaces.Box(-128, 127, (2,), np.int8),
        spaces.Box(0, 255, (2,), np.uint8),
        spaces.Box(-(2**63), 2**63 - 1, (2,), np.int64),
        spaces.Box(0, 2**32 - 1, (2,), np.uint32),
        spaces.Box(0.1, 0.3, (2,), np.float64),
        spaces.Box(-0.1, 0.3, (2,), np.float32),
        spaces.Box(-3e38, 3e38, (2,), np.float32),
        spaces.Box(float(np.finfo(np.float32).min), float(np.finfo(np.float32).max), (2,), np.float32),
        spaces.Box(float(np.finfo(np.float64).min), float(np.finfo(np.float64).max), (2,), np.float64),
        spaces.Box(-np.inf, np.inf, (2,), np.float32),
    ],
    ids=str,
)
def test_every_action_is_an_element_of_its_space(space: spaces.Box) -> None:
    outputs = [[0.0, 0.3], [-100.0, 100.0], [3.4, -0.6], [1e30, -1e30]]

    for action in taken_for(space, outputs):
        assert space.contains(action)
        assert action.dtype == space.dtype


def test_whole_numbers_are_rounded_and_reach_both_ends() -> None:
    space = spaces.Box(0, 10, (2,), np.int64)

    assert [action.tolist() for action in taken_for(space, [[-9, 9], [0, 0.1]])] == [[0, 10], [5, 5]]


def test_a_bound_where_the_numbers_end_is_none() -> None:
    largest = float(np.finfo(np.float32).max)

    assert taken_for(spaces.Box(-largest, largest, (1,), np.float32), [[7.5]]) == [7.5]
    assert taken_for(spaces.Box(-(2**63), 2**63 - 1, (1,), np.int64), [[7.4]]) == [7]


def test_where_an_environment_remembers_its_past_every_episode_gets_a_fresh_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        lanes = GymTask(id="Grower-v0").make_lanes(1)
    rewards = []
    for seed in (1, 2, 1):
        lanes.begin(LANE, [seed])
        lanes.send(LANE, np.array([0]))
        rewards.append(float(lanes.receive().rewards[0]))

    assert rewards == [1.0, 1.0, 1.0]
    assert "'Grower-v0', which remembers something over reset(seed)" in caplog.text
    assert "ms" in caplog.text


def test_where_an_environment_forgets_its_past_it_is_made_once() -> None:
    lanes = GymTask(id="World-v0").make_lanes(1)
    environment = lanes._environments[0]
    for seed in range(3):
        lanes.begin(LANE, [seed])

    assert lanes._environments[0] is environment


def test_an_environment_whose_luck_no_seed_determines_is_refused() -> None:
    with pytest.raises(
        SetupError, match="'Gambler-v0', which plays another episode each time under one seed"
    ):
        GymTask(id="Gambler-v0")


def test_an_environment_that_breaks_while_it_is_looked_at_is_judged_by_who_plays_it() -> None:
    lanes = GymTask(id="Fragile-v0").make_lanes(1)
    lanes.begin(LANE, [0])

    assert lanes.count == 1


def test_lanes_know_the_environment_s_own_pace() -> None:
    assert GymTask(id="World-v0").make_lanes(1).steps_per_second == 50.0


class Breaking(World):
    """Breaks at the second step of an episode whose seed is 13, and is of no use from then on."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        self.is_broken = False
        self.seed = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Seen, dict[str, Any]]:
        assert not self.is_broken
        self.seed = seed or 0
        return super().reset(seed=seed)

    def step(self, action: Any) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        if self.seed == 13 and self.age == 1:
            self.is_broken = True
            raise SystemExit("simulation diverged")
        return super().step(action)

    def close(self) -> None:
        if self.is_broken:
            raise OSError("cannot close")


class Late(Breaking):
    """Breaks as the episode begins."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Seen, dict[str, Any]]:
        self.is_broken = self.is_broken or seed == 13
        return super().reset(seed=seed)


for broken in (Breaking, Late):
    where = f"{broken.__module__}:{broken.__name__}"
    gymnasium.register(f"{broken.__name__}-v0", entry_point=where, disable_env_checker=True)


def test_an_environment_that_raises_costs_its_own_lane_and_plays_no_further_episode() -> None:
    lanes = GymTask(id="Breaking-v0").make_lanes(3)
    every, made = np.arange(3), Breaking.made
    lanes.begin(every, [1, 13, 2])
    for failures in ({}, {1: "SystemExit: simulation diverged"}):
        lanes.send(every, np.zeros(3, np.int64))
        stepped = lanes.receive()
        assert stepped.failures == failures
        assert stepped.rewards.tolist() == [1.0, float(not failures), 1.0]
    lanes.begin(np.array([1]), [3])
    assert Breaking.made == made + 1
    lanes.send(every, np.zeros(3, np.int64))
    assert not lanes.receive().failures
    lanes.close()


def test_an_environment_that_cannot_begin_is_made_anew_for_the_next_episode() -> None:
    lanes = GymTask(id="Late-v0").make_lanes(1)
    with pytest.raises(AssertionError):
        lanes.begin(LANE, [13])
    lanes.begin(LANE, [14])
    lanes.close()
