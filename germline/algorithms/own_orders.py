"""What an own run waits for, what it tells its workers, and what it knows of each."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from germline.algorithms.own_epoch import Slice


class Phase(enum.Enum):
    """What the run waits for."""

    INITIALISE = "initialise"  # a first state
    EVALUATE = "evaluate"  # the members' returns
    OPTIMISE = "optimise"  # every worker that has the state
    SHARE = "share"  # the state after it, from one of them
    STORE = "store"  # the state's way into the store


class Kind(enum.Enum):
    """What a worker is told."""

    WELCOME = "welcome"  # with the state after `epoch` updates; of epoch -1 there is none
    INITIALISE = "initialise"
    EVALUATE = "evaluate"
    OPTIMISE = "optimise"
    SHARE = "share"
    STOP = "stop"


class Order(NamedTuple):
    """What one worker is told.

    Attributes:
        worker: who.
        kind: what.
        task: number by which the worker answers; 0 where no answer is expected.
        epoch: updates before it.
        slices: the members to evaluate.
    """

    worker: str
    kind: Kind
    task: int = 0
    epoch: int = 0
    slices: tuple[Slice, ...] = ()


class UnknownTaskError(LookupError):
    """An answer to something that this worker was never told."""


@dataclass(slots=True)
class Member:
    """A worker that has the state, or makes it.

    Attributes:
        room: members of the population that it takes at a time.
        task: what it was told and has not answered; None if it is idle.
        last_task: number of what it was told last.
    """

    room: int
    task: Order | None = None
    last_task: int = 0
