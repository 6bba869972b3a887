"""Any environment that Gymnasium can make, with a Discrete or Box action."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Literal

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gym_spaces
from gymnasium.envs.registration import EnvSpec

from germline.behaviour import Measure
from worker.plugins import described, import_module, imported
from worker.tasks.base import (
    RAISED,
    Actions,
    LaneIndices,
    Observations,
    Picture,
    SetupError,
    Spaces,
    Stepped,
    close_quietly,
)
from worker.tasks.gym_actions import actions_of, converter
from worker.tasks.gym_observations import as_array, bare_space, seen, with_arrays
from worker.tasks.gym_repeats import Environment, repeats

logger = logging.getLogger(__name__)

_LARGEST_SEED = 2**31 - 1  # what every environment accepts
_USUAL_STEPS_PER_SECOND = 30.0
_ENDLESS = float(np.finfo(np.float32).max)  # environments that mean no bound write this one


class GymTask:
    """A registered Gymnasium environment; a frame is a step."""

    def __init__(
        self,
        *,
        id: str,
        max_steps: int | None = None,
        arguments: Mapping[str, object] | None = None,
        flatten: bool = False,
        bounds: Literal["squash", "clip"] = "squash",
        behaviour: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the environment once to see its spaces.

        Args:
            id: the registered id; "package.module:Env-v0" imports that module, as :mod:`worker.plugins` does,
                and "package.module:Env" takes a class of it that nobody registered.
            max_steps: steps after which an episode is cut; the environment's own limit by default.
            arguments: keyword arguments of the environment.
            flatten: make one row of each observation, and of the parts of a Dict or a Tuple.
            bounds: "squash": tanh stretches an answer to the bounds of a Box action; "clip" cuts it there.
            behaviour: the `indices` of the numbers of the last observation that say what an episode did,
                and, unless the environment's own bounds are meant, `low` and `high` of each. Without
                indices, steps tell it in their info, under "behaviour".

        Raises:
            SetupError: if it cannot be made, or its spaces are of other kinds.
        """
        self._id, self._max_steps, self._arguments = id, max_steps, dict(arguments or {})
        self._flatten = flatten
        environment = self.make()
        actions = actions_of(id, environment.action_space, squash=bounds == "squash")
        self.spaces = Spaces(*seen(id, environment.observation_space), actions)
        self.to_action = converter(environment.action_space)
        self.shown = bare_space(environment)
        self.indices, self.measures = _measured(id, environment, behaviour or {})
        environment.close()
        self.fresh_each_time = self._wants_fresh_environments()

    def make_lanes(self, count: int) -> GymLanes:
        """Make the environment `count` times."""
        return GymLanes(self, count)

    def to_observation(self, shown: object) -> npt.NDArray[Any]:
        """What a network sees of what the bare environment shows."""
        return as_array(shown, self.shown, self.spaces.observation_shape)

    def make(self) -> Environment:
        """A fresh environment.

        Raises:
            SetupError: if it cannot be made.
        """
        named = _named(self._id)
        settings: dict[str, Any] = {"max_episode_steps": self._max_steps, **self._arguments}
        try:
            return with_arrays(gymnasium.make(named, **settings), flatten=self._flatten)
        except gymnasium.error.Error as error:
            raise SetupError(f"task.gym.id is {self._id!r}; Gymnasium cannot make it: {error}") from error
        except (Exception, SystemExit) as error:  # whatever somebody's constructor does
            says = described(error)
            raise SetupError(f"task.gym.id is {self._id!r}; Gymnasium cannot make it: {says}") from error

    def _wants_fresh_environments(self) -> bool:
        """Whether each episode needs an environment of its own, to be its seed and its actions."""
        found = repeats(self.make)
        if found == "never":
            raise SetupError(
                f"task.gym.id is {self._id!r}, which plays another episode each time under one seed and the "
                "same actions; allowed: environments whose reset(seed) determines all that follows, as "
                "self.np_random does"
            )
        if found == "when fresh":
            began_s = time.perf_counter()
            self.make().close()
            logger.warning(
                "task.gym.id is %r, which remembers something over reset(seed): every episode is played in a "
                "fresh environment, and making one takes %.1f ms",
                self._id,
                1e3 * (time.perf_counter() - began_s),
            )
        return found == "when fresh"


class GymLanes:
    """Environments side by side, stepped one after the other on the calling thread."""

    def __init__(self, task: GymTask, count: int) -> None:
        """Make the environments."""
        self.count = count
        shape, dtype = task.spaces.observation_shape, task.spaces.observation_dtype
        self.observations: Observations = np.zeros((count, *shape), dtype)
        self._task = task
        self._environments = [task.make() for _ in range(count)]
        self._is_used = [False] * count
        self._broken: set[int] = set()
        self._told: dict[int, npt.ArrayLike] = {}  # by environments, of each lane's episode
        self._lanes: list[int] = []
        self._actions: Actions = np.zeros(0, np.int64)

    @property
    def steps_per_second(self) -> float:
        """The environment's own pace, for people who watch."""
        return float(self._environments[0].metadata.get("render_fps") or _USUAL_STEPS_PER_SECOND)

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        """Start an episode on each of the lanes."""
        for lane, seed in zip(lanes.tolist(), seeds, strict=True):
            if lane in self._broken or (self._is_used[lane] and self._task.fresh_each_time):
                close_quietly(self._environments[lane])
                self._environments[lane] = self._task.make()
            self._is_used[lane] = True
            self._broken.add(lane)  # until it is begun
            self.observations[lane], _ = self._environments[lane].reset(seed=seed % _LARGEST_SEED)
            self._broken.discard(lane)

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        """Remember what to do."""
        self._lanes, self._actions = lanes.tolist(), actions

    def receive(self) -> Stepped:
        """Step the lanes. An environment that raised something plays no further episode."""
        rewards = np.zeros(len(self._lanes), np.float64)
        ended = np.zeros(len(self._lanes), np.bool_)
        failures: dict[int, str] = {}
        for i, lane in enumerate(self._lanes):
            try:
                action = self._task.to_action(self._actions[i])
                shown, reward, terminated, truncated, info = self._environments[lane].step(action)
                if self._task.measures and not self._task.indices:
                    self._told[lane] = info["behaviour"]
                self.observations[lane] = shown
                rewards[i], ended[i] = reward, terminated or truncated
            except RAISED as error:
                failures[i], ended[i] = described(error), True
                self._broken.add(lane)
        return Stepped(rewards, ended, np.ones(len(self._lanes), np.int64), failures)

    def behaviour(self, lane: int) -> npt.NDArray[np.float64]:
        """What the environment itself told of the episode, or numbers of the lane's last observation."""
        if not self._task.indices:
            return np.asarray(self._told[lane], np.float64)
        seen: npt.NDArray[np.float64] = self.observations[lane].astype(np.float64)
        return seen.ravel()[self._task.indices]

    def picture(self, lane: int) -> Picture:
        """What a person would see on a lane now; for videos.

        Raises:
            SetupError: if the environment was not made with render_mode "rgb_array", or cannot draw here.
        """
        try:
            shown = self._environments[lane].render()
        except gymnasium.error.Error as error:
            raise SetupError(f"task.gym.id cannot be drawn here: {error}") from error
        if not isinstance(shown, np.ndarray):
            raise SetupError('task.gym.arguments.render_mode is missing; videos need "rgb_array"')
        return shown

    def close(self) -> None:
        """Close the environments."""
        for environment in self._environments:
            close_quietly(environment)
        self._environments = []


def _named(id: str) -> str | EnvSpec:
    """What Gymnasium makes: an id, whose module is imported, or what a class that has none would have.

    Raises:
        SetupError: if the module cannot be imported, or the class is none of environments.
    """
    module, colon, name = id.partition(":")
    if not colon:
        return id
    found = import_module("task.gym.id", id, module)
    if name in gymnasium.registry or not hasattr(found, name):
        return id
    kind = imported("task.gym.id", id)
    if not isinstance(kind, type) or not issubclass(kind, gymnasium.Env):
        raise SetupError(
            f"task.gym.id is {id!r}, which is no environment; allowed: an id that {module} registers with "
            "gymnasium.register, or a class of gymnasium.Env in it"
        )
    return EnvSpec(name, entry_point=id)


def _measured(
    id: str, environment: Environment, behaviour: Mapping[str, Any]
) -> tuple[list[int], list[Measure]]:
    """Which numbers of an observation are asked for, and their ranges."""
    indices, space = list(behaviour.get("indices", ())), environment.observation_space
    if behaviour and not indices:  # it says itself what was done
        pairs = enumerate(zip(behaviour["low"], behaviour["high"], strict=True))
        return [], [Measure(str(place), low, high) for place, (low, high) in pairs]
    if not indices or not isinstance(space, gym_spaces.Box):
        return [], []
    bounds = [bound.reshape(-1).astype(np.float64) for bound in (space.low, space.high)]
    size = bounds[0].size
    if max(indices) >= size:
        raise SetupError(f"behaviour.indices is {indices}; allowed: below {size}, the size of an observation")
    low, high = (bound[indices].tolist() for bound in bounds)
    low, high = list(behaviour.get("low", low)), list(behaviour.get("high", high))
    if not np.isfinite([low, high]).all() or np.abs([low, high]).max() >= _ENDLESS:
        raise SetupError(
            f"behaviour.low is missing; {id} bounds not all of the numbers {indices} of its observation"
        )
    named = zip(indices, low, high, strict=True)
    return indices, [Measure(f"observation {index}", least, most) for index, least, most in named]
