"""What the journal remembers of an experiment, as plain values."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from germline.algorithms.base import Ask, Result
from germline.algorithms.slices import EpochClosed, SliceAsk
from germline.genome import format_id

_NAMED = 8  # pairs of a slice

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
    """The experiment changed its state, at this time (since 1970) and this running time.

    `trouble` says why it paused by itself.
    """

    state: State
    time: float
    running_s: float
    trouble: str = ""


class StopChanged(NamedTuple):
    """A person changed when the experiment is complete: all its stop conditions, as serialized message."""

    stop: bytes


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


class SetAside(NamedTuple):
    """Work that could not be scored: nobody waits for it any more.

    Attributes:
        ticket: of the work.
        returns: of a slice of which some members are scored, NaN for the others; empty if there are none.
        attempts: how many failed.
        worker_id: who tried last.
        reason: what went wrong there, for people.
        running_s: running time of the experiment at this moment.
    """

    ticket: int
    returns: tuple[float, ...]
    attempts: int
    worker_id: str
    reason: str
    running_s: float


class Quarantined(NamedTuple):
    """A worker was proven wrong: it gets no work until it is released.

    Attributes:
        worker_id: its own name.
        reason: what proves it, for people.
        time: seconds since 1970.
        individuals: of which it had told something that still counted and nobody else confirmed; they are
            forgotten, and asked anew.
    """

    worker_id: str
    reason: str
    time: float
    individuals: tuple[int, ...] = ()


class MembersTold(NamedTuple):
    """Consecutive members of an own population were evaluated.

    Attributes:
        epoch: updates before it.
        first: the first of them.
        returns: one for each; not always a number.
        running_s: running time of the experiment at this moment.
    """

    epoch: int
    first: int
    returns: tuple[float, ...]
    running_s: float


class Released(NamedTuple):
    """An operator took a worker back that had been proven wrong."""

    worker_id: str


class MasterStarted(NamedTuple):
    """A master found the experiment in its store and goes on with it.

    Attributes:
        time: seconds since 1970.
        took_over: whether it had waited while another master served.
    """

    time: float
    took_over: bool


Rare: TypeAlias = (
    Created
    | StateChanged
    | StopChanged
    | WorkerSeen
    | EpochClosed
    | CheckpointStored
    | Discarded
    | SetAside
    | Quarantined
    | Released
    | MembersTold
    | MasterStarted
)  # what happens now and then
Event: TypeAlias = Piece | Told | Rare  # a Piece: the algorithm asked for it


def returns_of(piece: Piece) -> int:
    """How many returns a result of this work has."""
    return piece.episodes if isinstance(piece, SliceAsk) else len(piece.episode_seeds)


def cap_of(piece: Piece) -> int:
    """Frames after which its episodes are cut; 0: they are whole games."""
    return piece.cap_frames if isinstance(piece, Ask) else 0


def evaluations_of(piece: Piece) -> int:
    """For how many evaluations a result of this work counts."""
    return 2 * piece.pairs or 1 if isinstance(piece, SliceAsk) else 1


def unscored_name(piece: Piece, returns: Sequence[float]) -> str:
    """Whose work this is, for people: an individual, a centre, or those pairs that no returns score."""
    if isinstance(piece, Ask):
        return f"individual {format_id(piece.genome.id)}"
    if not piece.pairs:
        return f"the centre of epoch {piece.epoch}"
    scored = piece.scored(returns)
    pairs = [k for k in range(piece.first_pair, piece.first_pair + piece.pairs) if k not in scored]
    names = ", ".join(f"{piece.epoch}.{pair}" for pair in pairs[:_NAMED])
    more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
    return f"pair{'s' if len(pairs) > 1 else ''} {names}{more}"
