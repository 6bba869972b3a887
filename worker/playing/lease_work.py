"""What crosses between the stream and the thread that plays: plain values, no messages and no tensors."""

from __future__ import annotations

from typing import NamedTuple

from worker.playing.engine import Evaluation, Played
from worker.playing.stages import Stages


class ExperimentKey(NamedTuple):
    """Names an experiment of one store: its number there, and its identity, which no other one has.

    A master of an earlier build says no identity: it is 0.
    """

    number: int
    identity: int = 0

    def __str__(self) -> str:
        return str(self.number)


class LeaseKey(NamedTuple):
    """Names one lending of one piece of work; `attempt` rises with every lending of it."""

    experiment: ExperimentKey
    ticket: int
    attempt: int


Assignment = Evaluation[LeaseKey]
"""One lease: an individual that plays an episode for each seed, or a slice of an epoch."""

Score = Played[LeaseKey]
"""What one lease was worth."""


class Failure(NamedTuple):
    """An experiment that this worker cannot play, and a sentence that says why."""

    experiment: ExperimentKey
    reason: str


class Hang(NamedTuple):
    """The playing thread will not come back: what it plays, some of which is why, and what is known."""

    playing: list[LeaseKey]
    reason: str


class Step(NamedTuple):
    """What the playing thread does now: since when, how long that may take, and which leases it may be of."""

    since_s: float
    most_s: float
    playing: list[LeaseKey]


class CentreReport(NamedTuple):
    """Where an evolution strategy's centre stands after `epoch` updates."""

    experiment: ExperimentKey
    epoch: int
    digest: str


class Checkpoint(NamedTuple):
    """A centre and its optimiser's memory after `epoch` updates; no data: the worker does not hold it."""

    experiment: ExperimentKey
    epoch: int
    digest: str
    data: bytes


Notice = CentreReport | Checkpoint


class Pulse(NamedTuple):
    """What a heartbeat tells: the share of the time spent playing, the frames played, and where time went."""

    busy_share: float
    frames: int
    stages: Stages = Stages()


class PlayedSoFar(NamedTuple):
    """What a worker has played since its start."""

    busy_s: float
    frames: int
