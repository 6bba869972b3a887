"""What the journal remembers of an experiment, as plain values."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from germline.algorithms.base import Ask, Result
from germline.algorithms.eggroll import EpochClosed, SliceAsk

Piece: TypeAlias = Ask | SliceAsk
"""A piece of work: an individual to play, or a slice of an epoch."""


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

    def identity(self, store_id: int) -> int:
        """A uint64, never 0, that tells it from every other experiment of this or another store."""
        named = f"{store_id} {self.number} {self.time!r}".encode()
        return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "little") or 1


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


class CheckpointStored(NamedTuple):
    """A centre was stored beside the journal: after how many updates, its digest, its size in bytes."""

    epoch: int
    digest: str
    size: int
    is_best: bool


class Discarded(NamedTuple):
    """What a worker had told of the open epoch does not count after all: its centre was not the others'."""

    worker: int
    tickets: tuple[int, ...]


Event: TypeAlias = (
    Created | Piece | Told | StateChanged | WorkerSeen | EpochClosed | CheckpointStored | Discarded
)  # a Piece: the algorithm asked for it


def returns_of(piece: Piece) -> int:
    """How many returns a result of this work has."""
    return piece.episodes if isinstance(piece, SliceAsk) else len(piece.episode_seeds)


def evaluations_of(piece: Piece) -> int:
    """For how many evaluations a result of this work counts."""
    return 2 * piece.pairs or 1 if isinstance(piece, SliceAsk) else 1
