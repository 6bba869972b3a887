"""What the journal remembers of an experiment, as plain values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from germline.algorithms.base import Ask, Result


class State(enum.IntEnum):
    """Where an experiment stands; the numbers are those of germline.v1.ExperimentState."""

    RUNNING = 1
    PAUSED = 2
    STOPPED = 3
    COMPLETE = 4

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self in (State.STOPPED, State.COMPLETE)


class Created(NamedTuple):
    """The experiment began: its number on this master, its spec as serialized message, seconds since 1970."""

    number: int
    spec: bytes
    time: float


class Told(NamedTuple):
    """An evaluation was accepted, from the worker of this number, at this running time of the experiment."""

    result: Result
    worker: int
    running_s: float


class StateChanged(NamedTuple):
    """The experiment changed its state, at this time (since 1970) and this running time."""

    state: State
    time: float
    running_s: float


class WorkerSeen(NamedTuple):
    """A worker whose scores follow.

    Attributes:
        number: of the worker within the experiment, from 1.
        worker_id: its own name.
        device: its device.
        libraries: library name to version.
        precision: number of the forward pass's germline.v1.Precision.
    """

    number: int
    worker_id: str
    device: str
    libraries: Mapping[str, str]
    precision: int


Event: TypeAlias = Created | Ask | Told | StateChanged | WorkerSeen  # an Ask: the algorithm asked for it
