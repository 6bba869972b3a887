"""What a worker keeps from one stream to the next: its leases, its playing thread, and who it says it is."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from grpc import aio

from germline.v1 import spec_pb2
from worker.connection import wire
from worker.connection.leases import LeaseBook
from worker.connection.prefetch import Prefetch
from worker.connection.results_log import ResultsLog
from worker.playing.engine import Engine
from worker.playing.lease_work import ExperimentKey, Failure, Hang, LeaseKey, Notice
from worker.playing.normaliser import Versions
from worker.playing.outbox import PATIENCE_S, Outbox
from worker.playing.playing_thread import PlayingThread


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How a link connects and who it says it is."""

    master: str
    """Address of the master, "host:port", or of several."""
    dial: Callable[[], aio.Channel]
    """Opens a channel to it."""
    metadata: tuple[tuple[str, str], ...]
    """Sent with the call; carries the token."""
    identity: wire.Identity
    slots: int
    """Individuals to ask for until an engine says how many it plays at a time."""
    build: Callable[[spec_pb2.ExperimentSpec, Versions], Engine[LeaseKey]]
    """Makes an experiment's engine; runs on the playing thread."""
    go_on: Callable[[], bool] = lambda: False
    """Turns to the next address; false if all were tried, so that it is time to wait."""
    patience_s: float = PATIENCE_S
    """Longest time that a score waits for company."""
    results_log: ResultsLog | None = None
    """Where it is noted what became of each score."""


class Introduced(NamedTuple):
    """An experiment as a master introduced it: its spec, how it normalises, the weights it starts from."""

    experiment: ExperimentKey
    spec: bytes
    versions: Versions
    start: str = ""

    def means(self, other: Introduced) -> bool:
        """Whether this is the same experiment: by its identity, or by its spec where none is said."""
        same = self.experiment == other.experiment
        return same and (self.experiment.identity != 0 or self.spec == other.spec)


class WorkerState:
    """Where what was played and the master's words meet.

    Attributes:
        settings: how the link connects.
        outbox: what was played.
        playing: the thread that plays.
        prefetch: how much to hold beyond the slots.
        leases: leases held, and scores that the master has not acknowledged.
        introduced: the experiments that masters introduced, by number.
        notices: of centres, to be told.
        hang: why this worker has to leave what it plays behind; None while it plays on.
    """

    def __init__(self, settings: LinkSettings, on_mail: Callable[[], None]) -> None:
        """Prepare; `on_mail` is called whenever the outbox wants to be emptied."""
        self.settings = settings
        self.outbox = Outbox(on_mail, settings.patience_s)
        self.playing = PlayingThread(self.outbox)
        self.prefetch = Prefetch(time.monotonic())
        self.leases = LeaseBook(settings.slots + self.prefetch.beyond(settings.slots))
        self.introduced: dict[int, Introduced] = {}
        self.notices: deque[Notice] = deque()
        self.hang: Hang | None = None

    @property
    def slots(self) -> int:
        """How many individuals play at a time: as many as the engines turned out to have."""
        return self.playing.slots or self.settings.slots

    def collect(self) -> list[Failure]:
        """Take what was played into the lease book, and fit the room to its speed and slots.

        Returns:
            The experiments that cannot be played.
        """
        scores, failures = self.outbox.take()
        self.notices.extend(self.outbox.take_notices())
        self.prefetch.note(self.leases.score(scores), time.monotonic())
        for failure in failures:
            self.leases.drop_experiment(failure.experiment)
        self.leases.room = self.slots + self.prefetch.beyond(self.slots)
        return failures
