"""What crosses between the stream and the thread that plays: plain values, no messages and no tensors."""

from __future__ import annotations

from typing import NamedTuple

from germline.genome import Genome


class LeaseKey(NamedTuple):
    """Names one lending of one piece of work; `attempt` rises with every lending of it."""

    experiment: int
    ticket: int
    attempt: int


class Slice(NamedTuple):
    """Consecutive antithetic pairs of an evolution strategy's epoch; no pairs mean the centre itself."""

    epoch: int
    first_pair: int
    pairs: int


class Assignment(NamedTuple):
    """One piece of work: an individual that plays an episode for each seed, or a slice of an epoch.

    `parent` is its genome's, if it is at hand.
    """

    key: LeaseKey
    genome: Genome | Slice
    episode_seeds: tuple[int, ...]
    parent: Genome | None = None

    @property
    def evaluations(self) -> int:
        """How many evaluations it counts for, in credit and in room."""
        return 2 * self.genome.pairs or 1 if isinstance(self.genome, Slice) else 1


class Score(NamedTuple):
    """What one lease was worth: the return of each episode, in the order of its seeds."""

    key: LeaseKey
    returns: tuple[float, ...]
    frames: int
    steps: int
    play_s: float


class Failure(NamedTuple):
    """An experiment that this worker cannot play, and a sentence that says why."""

    experiment: int
    reason: str


class CentreReport(NamedTuple):
    """Where an evolution strategy's centre stands after `epoch` updates."""

    experiment: int
    epoch: int
    digest: str


class Checkpoint(NamedTuple):
    """A centre and its optimiser's memory after `epoch` updates; no data: the worker does not hold it."""

    experiment: int
    epoch: int
    digest: str
    data: bytes


Notice = CentreReport | Checkpoint


class Pulse(NamedTuple):
    """What a heartbeat tells: the share of the time spent playing, and the frames played."""

    busy_share: float
    frames: int
