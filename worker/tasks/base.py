"""The joint between tasks and the rollout engine: spaces, lanes, and what goes wrong between them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from germline.behaviour import Measure, Range

logger = logging.getLogger(__name__)

Observations = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
Actions = npt.NDArray[np.int64] | npt.NDArray[np.float32]
LaneIndices = npt.NDArray[np.intp]
Picture = npt.NDArray[np.uint8] | npt.NDArray[np.floating]
"""What a person would see, `[height, width]` or `[height, width, channels]`: 0 to 255, or floats in 0..1."""


RAISED = (Exception, SystemExit, KeyboardInterrupt)
"""Whatever somebody's task may raise: all of it costs an evaluation, and none of it the worker."""


class SetupError(ValueError):
    """A task, a policy or a plug-in that cannot be used; the message names the field and what is allowed."""


class LanesBrokenError(RuntimeError):
    """Lanes that cannot go on: they have to be made anew."""


@dataclass(frozen=True, slots=True)
class DiscreteActions:
    """One of `count` actions; the policy's largest output picks it."""

    count: int

    @property
    def outputs(self) -> int:
        """How many numbers the policy gives for one observation."""
        return self.count


@dataclass(frozen=True, slots=True)
class ContinuousActions:
    """A vector of numbers, each between its bounds.

    Attributes:
        low: the lowest of each, flat; minus infinity for none.
        high: the highest, in the same manner.
        shape: what the environment wants.
        squash: whether an answer goes through tanh and is stretched to the bounds; else it is cut at them.
    """

    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]
    shape: tuple[int, ...]
    squash: bool = True

    @property
    def outputs(self) -> int:
        """How many numbers the policy gives for one observation."""
        return int(self.low.size)


@dataclass(frozen=True, slots=True)
class StickActions:
    """A joystick with a button: four answers, for across, up, the button, and rest.

    The stick is pushed to the side of an answer that is further from 0 than the answer for rest is above it,
    and the button where its answer is above that for rest. So one answer steers both ways, where actions to
    pick from need one each that learn to be opposites.

    Attributes:
        table: `[3, 3, 2]` int64; the action for left, centre or right; down, centre or up; button or none.
    """

    table: npt.NDArray[np.int64]

    @property
    def outputs(self) -> int:
        """How many numbers the policy gives for one observation."""
        return 4


ActionSpace: TypeAlias = DiscreteActions | ContinuousActions | StickActions


@dataclass(frozen=True, slots=True)
class Spaces:
    """What a policy sees, `observation_shape` in `observation_dtype`, and what it answers."""

    observation_shape: tuple[int, ...]
    observation_dtype: np.dtype[np.uint8] | np.dtype[np.float32]
    actions: ActionSpace


class Stepped(NamedTuple):
    """What one step brought to each lane that took it, in the order of the lanes.

    Attributes:
        rewards: `[k]` float64, raw.
        ended: `[k]` bool; the episode is over: terminated, truncated, or at its frame cap.
        frames: `[k]` int64, emulator frames that this step took (1 outside emulators).
        failures: what was raised, by place in that order: those episodes are over, without a score. What
            lanes raise instead of saying so here costs time: it is not known then whose fault it was.
    """

    rewards: npt.NDArray[np.float64]
    ended: npt.NDArray[np.bool_]
    frames: npt.NDArray[np.int64]
    failures: Mapping[int, str] = MappingProxyType({})


class Lanes(Protocol):
    """Places where episodes of one task run side by side.

    An episode is determined by its seed and the actions taken, whatever the other lanes do, whatever the lane
    played before. A lane that is not stepped costs nothing. Not safe for use by several threads.
    """

    count: int
    observations: Observations
    """`[count, *observation_shape]`, refreshed in place; a lane's row is valid from `begin` to its end."""

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        """Start an episode on each of the lanes, dropping what ran there; seeds are uint64."""
        ...

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        """Ask for one step of these lanes; `actions` has a row for each. May work in the background."""
        ...

    def receive(self) -> Stepped:
        """Wait for the step asked for with :meth:`send`; refreshes those lanes' observations."""
        ...

    def close(self) -> None:
        """Free the emulators. Closing twice is harmless."""
        ...


@runtime_checkable
class BehavingLanes(Protocol):
    """Lanes whose episodes say what was done: those of a task with a :class:`BehavingTask`'s measures."""

    def behaviour(self, lane: int) -> npt.ArrayLike:
        """What the lane's episode did so far, one value for each of the task's measures.

        Asked for when an episode ends, or is cut, before the lane begins another one.
        """
        ...


@runtime_checkable
class BehavingTask(Protocol):
    """A task that says what an evaluation did, beside its return.

    Its lanes are :class:`BehavingLanes`; one that measures weights returns a pair, the return and the values.
    """

    measures: Sequence[Measure]
    """What each value is called, and its lowest and highest; empty for a task that says nothing."""


@runtime_checkable
class EpisodicTask(Protocol):
    """A task that is played step by step."""

    spaces: Spaces

    def make_lanes(self, count: int) -> Lanes:
        """Build that many lanes."""
        ...


@runtime_checkable
class WeightsTask(Protocol):
    """A task that measures weights directly, without observations or actions."""

    dimension: int

    def measure(self, weights: npt.NDArray[np.float32], seed: int) -> float | tuple[float, npt.ArrayLike]:
        """The return of the weights, `[dimension]`, under this episode seed; in a pair, what was done."""
        ...


@runtime_checkable
class BatchTask(Protocol):
    """A task of weights that measures many at a time; None for `batch` means that it does not."""

    batch: int | None

    def measure_many(
        self, weights: npt.NDArray[np.float32], seeds: Sequence[int]
    ) -> Sequence[float | tuple[float, npt.ArrayLike]]:
        """What :meth:`WeightsTask.measure` says of each row of weights, `[P, dimension]`, under its seed."""
        ...


Task = EpisodicTask | WeightsTask


def range_of(task: Task) -> Range | None:
    """The ranges of what a task says of its evaluations' behaviour; None if it says nothing.

    Raises:
        SetupError: if a range is none, or there are too many.
    """
    measures = task.measures if isinstance(task, BehavingTask) else ()
    try:
        return Range([Measure(*measure) for measure in measures]) if len(measures) else None
    except (ValueError, TypeError) as error:
        raise SetupError(f"task.{type(task).__name__}.measures: {error}") from error


def expect_behaving(lanes: Lanes) -> BehavingLanes:
    """The lanes as such that say what was done. Raises TypeError if they do not."""
    if not isinstance(lanes, BehavingLanes):
        raise TypeError(f"{type(lanes).__name__} has no method behaviour(lane), but its task has measures")
    return lanes


class Closable(Protocol):
    """What is to be closed when nobody needs it any more."""

    def close(self) -> object:
        """Free what it holds."""
        ...


def close_quietly(resource: Closable) -> None:
    """Close something of somebody else's; what it raises is only logged."""
    try:
        resource.close()
    except RAISED as error:
        kind = type(resource).__name__
        logger.warning("closing a %s failed: %s: %s", kind, type(error).__name__, error)
