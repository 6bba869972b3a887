"""What an environment's action space asks for, and how a policy's answer becomes an element of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gym_spaces

from worker.tasks.base import ContinuousActions, DiscreteActions, SetupError

_ENDLESS = float(np.finfo(np.float32).max)  # environments that mean no bound write this one
_ENDLESS_WHOLE = 2.0**31 - 1
_LARGEST_WHOLE = 2.0**53  # of the whole numbers that a float64 can tell apart

ToAction = Callable[[Any], Any]
"""From one row of actions to what the environment's step takes."""


def actions_of(
    id: str, space: gym_spaces.Space[Any], *, squash: bool = True
) -> DiscreteActions | ContinuousActions:
    """What a policy has to answer; numbers go through tanh, or are clipped.

    Raises:
        SetupError: with the environment's id, for other spaces.
    """
    if isinstance(space, gym_spaces.Discrete):
        return DiscreteActions(int(space.n))
    if isinstance(space, gym_spaces.Box):
        low, high = (_bounds(bound, _is_whole(space)) for bound in (space.low, space.high))
        return ContinuousActions(low, high, tuple(space.shape), squash)
    raise SetupError(f"task.gym.id is {id!r}, whose action is {space}; allowed: Discrete or Box")


def converter(space: gym_spaces.Space[Any]) -> ToAction:
    """How a row becomes an element of the space: counted from its start, in its shape, of its numbers."""
    if isinstance(space, gym_spaces.Discrete):
        start = int(space.start)
        return lambda action: start + int(action)
    if not isinstance(space, gym_spaces.Box):
        raise TypeError(f"{space} is neither Discrete nor a Box")
    return _box_converter(space)


def _box_converter(space: gym_spaces.Box) -> ToAction:
    shape, dtype = space.shape, space.dtype
    if dtype == np.float32:  # a policy's own numbers, within the bounds already
        return lambda row: row.reshape(shape)
    whole = _is_whole(space)
    limit = _LARGEST_WHOLE if whole else np.inf
    low, high = (np.clip(bound.astype(np.float64), -limit, limit) for bound in (space.low, space.high))

    def element(row: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        numbers = np.rint(row) if whole else row
        return np.clip(numbers.reshape(shape), low, high).astype(dtype)

    return element


def _is_whole(space: gym_spaces.Box) -> bool:
    return bool(space.dtype.kind != "f")


def _bounds(bound: npt.NDArray[Any], whole: bool) -> npt.NDArray[np.float32]:
    """Bounds as a flat float32 vector; one that is only where the numbers end is none."""
    numbers = bound.astype(np.float64).reshape(-1)
    endless = np.abs(numbers) >= (_ENDLESS_WHOLE if whole else _ENDLESS)
    return np.where(endless, np.copysign(np.inf, numbers), numbers).astype(np.float32)
