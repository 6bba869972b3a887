"""What an environment shows, as an array that a network takes: ones for what is counted, a row for parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gym_spaces
from gymnasium.wrappers import FlattenObservation

from worker.tasks.base import SetupError
from worker.tasks.gym_repeats import Environment

_COUNTED = (gym_spaces.Discrete, gym_spaces.MultiDiscrete, gym_spaces.MultiBinary)
_PARTS = (gym_spaces.Dict, gym_spaces.Tuple)


def with_arrays(environment: Environment, *, flatten: bool) -> Environment:
    """The environment, with observations that are arrays; those that are already stay as they are.

    Args:
        environment: whose observation may be of any kind.
        flatten: whether every observation becomes one row, which alone makes an array of a Dict or a Tuple.
    """
    if flatten or isinstance(environment.observation_space, _COUNTED):
        try:
            return FlattenObservation(environment)
        except (NotImplementedError, ValueError):  # a space that has no rows of its own
            return environment
    return environment


def seen(id: str, space: gym_spaces.Space[Any]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of what a network sees. Raises SetupError, with the id, for other spaces."""
    if isinstance(space, gym_spaces.Box):
        return tuple(space.shape), np.dtype(np.uint8 if space.dtype == np.uint8 else np.float32)
    if isinstance(space, _PARTS):
        raise SetupError(
            f"task.gym.id is {id!r}, whose observation has parts, {space}; task.gym.flatten = true puts them "
            "into one row"
        )
    allowed = "a Box, Discrete, MultiDiscrete or MultiBinary; a Dict or Tuple of those with task.gym.flatten"
    raise SetupError(f"task.gym.id is {id!r}, whose observation is {space}; allowed: {allowed}")


def bare_space(environment: Environment) -> gym_spaces.Space[Any]:
    """The space of what the environment shows by itself, before :func:`with_arrays`."""
    bare = environment.env if isinstance(environment, FlattenObservation) else environment
    return bare.observation_space


def as_array(shown: Any, space: gym_spaces.Space[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """An element of the bare space as the network sees it, in this shape; other arrays as they are."""
    if not isinstance(space, gym_spaces.Box):
        return np.asarray(gym_spaces.utils.flatten(space, shown))
    values = np.asarray(shown)
    return values.reshape(shape) if values.shape == space.shape else values
