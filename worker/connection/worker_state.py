"""What a worker keeps from one stream to the next: its books, its stage, and who it says it is."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from grpc import aio

from germline.v1 import spec_pb2
from worker.connection import wire
from worker.connection.leases import Ledger
from worker.connection.prefetch import Pace
from worker.playing.lease_work import Failure, Notice
from worker.playing.outbox import PATIENCE_S, Tray
from worker.playing.playing_thread import Stage
from worker.playing.rollout import Engine


@dataclass(frozen=True, slots=True)
class Terms:
    """How a link connects and who it says it is."""

    master: str
    """Address of the master, "host:port"."""
    dial: Callable[[], aio.Channel]
    """Opens a channel to it."""
    metadata: tuple[tuple[str, str], ...]
    """Sent with the call; carries the token."""
    identity: wire.Identity
    slots: int
    """Individuals to ask for until an engine says how many it plays at a time."""
    build: Callable[[spec_pb2.ExperimentSpec], Engine]
    """Makes an experiment's engine; runs on the stage."""
    patience_s: float = PATIENCE_S
    """Longest time that a score waits for company."""


class Desk:
    """Where the stage's work and the master's words meet.

    Attributes:
        terms: how the link connects.
        tray: what the stage has done.
        stage: plays.
        pace: how fast.
        ledger: leases held, and scores that the master has not acknowledged.
        specs: the experiments that the master introduced, encoded, by number.
        notices: of centres, to be told.
    """

    def __init__(self, terms: Terms, on_mail: Callable[[], None]) -> None:
        """Prepare; `on_mail` is called whenever the tray wants to be emptied."""
        self.terms = terms
        self.tray = Tray(on_mail, terms.patience_s)
        self.stage = Stage(self.tray)
        self.pace = Pace(time.monotonic())
        self.ledger = Ledger(terms.slots + self.pace.prefetch(terms.slots))
        self.specs: dict[int, bytes] = {}
        self.notices: deque[Notice] = deque()

    @property
    def slots(self) -> int:
        """How many individuals play at a time: as many as the engines turned out to have."""
        return self.stage.slots or self.terms.slots

    def collect(self) -> list[Failure]:
        """Take what the stage has done into the books, and fit the room to its speed and slots.

        Returns:
            The experiments that cannot be played.
        """
        scores, failures = self.tray.take()
        self.notices.extend(self.tray.take_notices())
        self.pace.note(self.ledger.score(scores), time.monotonic())
        for failure in failures:
            self.ledger.drop_experiment(failure.experiment)
        self.ledger.room = self.slots + self.pace.prefetch(self.slots)
        return failures
