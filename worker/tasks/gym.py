"""Any environment that Gymnasium can make, with a Box observation and a Discrete or Box action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gym_spaces

from worker.plugins import import_module
from worker.tasks.base import (
    Actions,
    ContinuousActions,
    DiscreteActions,
    LaneIndices,
    Observations,
    SetupError,
    Spaces,
    Stepped,
)

_LARGEST_SEED = 2**31 - 1  # what every environment accepts
Environment = gymnasium.Env[Any, Any]


class GymTask:
    """A registered Gymnasium environment; a frame is a step."""

    def __init__(
        self, *, id: str, max_steps: int | None = None, arguments: Mapping[str, object] | None = None
    ) -> None:
        """Make the environment once to see its spaces.

        Args:
            id: the registered id; "package.module:Env-v0" imports that module, as :mod:`worker.plugins` does.
            max_steps: steps after which an episode is cut; the environment's own limit by default.
            arguments: keyword arguments of the environment.

        Raises:
            SetupError: if it cannot be made, or its spaces are of other kinds.
        """
        self._id, self._max_steps, self._arguments = id, max_steps, dict(arguments or {})
        environment = self._make()
        self.spaces = Spaces(*_seen(id, environment), _actions(id, environment))
        environment.close()

    def make_lanes(self, count: int) -> GymLanes:
        """Make the environment `count` times."""
        return GymLanes([self._make() for _ in range(count)], self.spaces)

    def _make(self) -> Environment:
        module, colon, _ = self._id.partition(":")
        if colon:
            import_module("task.gym.id", self._id, module)
        settings: dict[str, Any] = {"max_episode_steps": self._max_steps, **self._arguments}
        try:
            return gymnasium.make(self._id, **settings)
        except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
            raise SetupError(f"task.gym.id is {self._id!r}; Gymnasium cannot make it: {error}") from error


class GymLanes:
    """Environments side by side, stepped one after the other on the calling thread."""

    def __init__(self, environments: list[Environment], spaces: Spaces) -> None:
        """Take the environments over."""
        self.count = len(environments)
        self.observations: Observations = np.zeros(
            (self.count, *spaces.observation_shape), spaces.observation_dtype
        )
        self._environments = environments
        self._to_action = _converter(spaces.actions)
        self._lanes: list[int] = []
        self._actions: Actions = np.zeros(0, np.int64)

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        """Start an episode on each of the lanes."""
        for lane, seed in zip(lanes.tolist(), seeds, strict=True):
            self.observations[lane], _ = self._environments[lane].reset(seed=seed % _LARGEST_SEED)

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        """Remember what to do."""
        self._lanes, self._actions = lanes.tolist(), actions

    def receive(self) -> Stepped:
        """Step the lanes."""
        rewards = np.zeros(len(self._lanes), np.float64)
        ended = np.zeros(len(self._lanes), np.bool_)
        for i, lane in enumerate(self._lanes):
            action = self._to_action(self._actions[i])
            seen, reward, terminated, truncated, _ = self._environments[lane].step(action)
            self.observations[lane] = seen
            rewards[i], ended[i] = reward, terminated or truncated
        return Stepped(rewards, ended, np.ones(len(self._lanes), np.int64))

    def picture(self, lane: int) -> npt.NDArray[np.uint8]:
        """What a person would see on a lane now, RGB; for videos.

        Raises:
            SetupError: if the environment was not made with render_mode "rgb_array", or cannot draw here.
        """
        try:
            shown = self._environments[lane].render()
        except gymnasium.error.Error as error:
            raise SetupError(f"task.gym.id cannot be drawn here: {error}") from error
        if not isinstance(shown, np.ndarray) or shown.ndim != 3:
            raise SetupError('task.gym.arguments.render_mode is missing; videos need "rgb_array"')
        return shown.astype(np.uint8)

    def close(self) -> None:
        """Close the environments."""
        for environment in self._environments:
            environment.close()
        self._environments = []


def _seen(id: str, environment: Environment) -> tuple[tuple[int, ...], np.dtype[Any]]:
    space = environment.observation_space
    if not isinstance(space, gym_spaces.Box):
        raise SetupError(f"task.gym.id is {id!r}, whose observation is {space}; allowed: a Box")
    return tuple(space.shape), np.dtype(np.uint8 if space.dtype == np.uint8 else np.float32)


def _actions(id: str, environment: Environment) -> DiscreteActions | ContinuousActions:
    space = environment.action_space
    if isinstance(space, gym_spaces.Discrete):
        return DiscreteActions(int(space.n))
    if isinstance(space, gym_spaces.Box):
        low, high = (np.asarray(bound, np.float32).reshape(-1) for bound in (space.low, space.high))
        return ContinuousActions(low, high, tuple(space.shape))
    raise SetupError(f"task.gym.id is {id!r}, whose action is {space}; allowed: Discrete or Box")


def _converter(actions: DiscreteActions | ContinuousActions) -> Callable[[Any], Any]:
    """From a row of the policy's actions to what the environment takes."""
    if isinstance(actions, DiscreteActions):
        return int
    return lambda row: row.reshape(actions.shape)
