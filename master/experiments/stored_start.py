"""The stored weights of a genetic algorithm's founder: kept beside the journal, sent before any work."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from master.centres.centre import Checkpoint
from master.experiments.events import CheckpointStored, Event
from master.journal.checkpoints import Checkpoints

_EPOCH = 0  # they are kept as the checkpoint before the first update, which there never is


class House(Protocol):
    """What this needs of its experiment."""

    number: int

    @property
    def checkpoints(self) -> Checkpoints:
        """Where bytes are kept."""
        ...

    def write(self, event: Event) -> None:
        """Queue an event for the journal."""
        ...


class StoredStart:
    """The weights of one experiment's founder.

    Attributes:
        digest: that its spec names; empty where founders are drawn from seeds.
        kept: that they are in the store; None before.
    """

    def __init__(self, experiment: House, digest: str) -> None:
        self._experiment = experiment
        self.digest = digest
        self.kept: CheckpointStored | None = None

    @property
    def is_missing(self) -> bool:
        """Whether nobody can play yet: a spec names weights that are not in the store."""
        return bool(self.digest) and self.kept is None

    async def put(self, data: bytes) -> None:
        """Store the weights; returns when that is done."""
        number, done = self._experiment.number, asyncio.get_running_loop().create_future()
        stored = CheckpointStored(_EPOCH, self.digest, len(data), is_best=False)
        self._experiment.checkpoints.put(number, _EPOCH, data, partial(self._stored, stored, done))
        await done

    def keep(self, stored: CheckpointStored) -> None:
        """They are in the store: so says a replay."""
        self.kept = stored

    def release(self) -> None:
        """Nobody will play any more: hold the weights in the store alone."""
        if self.kept is not None:
            self._experiment.checkpoints.release(self._experiment.number, self.kept.epoch)

    def checkpoint(self) -> Checkpoint | None:
        """The weights as workers are sent them; None if there are none, or they are not in memory."""
        if self.kept is None:
            return None
        data = self._experiment.checkpoints.held(self._experiment.number, self.kept.epoch)
        return None if data is None else Checkpoint(self.kept.epoch, self.kept.digest, data)

    def _stored(self, stored: CheckpointStored, done: asyncio.Future[None]) -> None:
        self.keep(stored)
        self._experiment.write(stored)
        if not done.done():
            done.set_result(None)
