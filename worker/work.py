"""What crosses between the stream and the thread that plays: plain values, no messages and no tensors."""

from __future__ import annotations

from typing import NamedTuple

from germline.genome import Genome


class LeaseKey(NamedTuple):
    """Names one lending of one piece of work; `attempt` counts its lendings from 1."""

    experiment: int
    ticket: int
    attempt: int


class Assignment(NamedTuple):
    """One individual to play: an episode for each seed. `parent` is its genome's, if it is at hand."""

    key: LeaseKey
    genome: Genome
    episode_seeds: tuple[int, ...]
    parent: Genome | None = None


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


class Pulse(NamedTuple):
    """What a heartbeat tells: the share of the time spent playing, and the frames played."""

    busy_share: float
    frames: int
