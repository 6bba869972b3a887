"""A run whose workers bring the arithmetic, over the journal: what they tell is kept, and their state is."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from time import time
from typing import Protocol

from germline.algorithms.base import Result
from germline.algorithms.own import OwnRun
from germline.algorithms.own_epoch import Part
from germline.algorithms.own_orders import Kind, Order
from master.archive.recorder import Recorder
from master.experiments.algorithm_seam import Search
from master.experiments.events import CheckpointStored, Event, MembersTold, State
from master.experiments.progress import QUANTILES, Point, Progress, Unscored
from master.experiments.settings import ExperimentSettings
from master.journal.checkpoints import Checkpoints

logger = logging.getLogger(__name__)

Deliver = Callable[[Order], None]
"""Tells a worker something; it must not wait."""


class Whole(Protocol):
    """The experiment that such a run is part of, as far as the run knows it."""

    number: int
    settings: ExperimentSettings
    search: Search
    progress: Progress
    recorder: Recorder

    @property
    def state(self) -> State:
        """Where it stands."""
        ...

    @property
    def checkpoints(self) -> Checkpoints:
        """Where states are kept."""
        ...

    def write(self, event: Event) -> None:
        """Queue an event for the journal."""
        ...

    def complete(self) -> None:
        """A stop condition holds."""
        ...

    def wind_clock(self) -> None:
        """Somebody came, or is gone: time counts while there is somebody."""
        ...


class OwnWork:
    """The workers of one own run, and what they tell.

    A return that is accepted changes the run and is queued for the journal in one breath. A state counts as
    soon as it is in the store, and never earlier: only then another epoch begins. So a crash falls back to
    the state of the open epoch and to what was told of it.

    Attributes:
        run: the order of things.
        kept: the stored state; None before the first.
        told: how many members each worker that is here has evaluated.
        since: when it came, in seconds since 1970.
    """

    def __init__(self, experiment: Whole, run: OwnRun) -> None:
        self.run = run
        self.kept: CheckpointStored | None = None
        self._experiment = experiment
        self.told: Counter[str] = Counter()
        self.since: dict[str, float] = {}
        self._deliver: dict[str, Deliver] = {}

    # Who is there

    @property
    def workers(self) -> dict[str, int]:
        """All workers, and how many members each takes at a time."""
        return {worker: member.room for worker, member in self.run.members.items()} | self.run.waiting

    @property
    def lent(self) -> dict[str, int]:
        """How many members each worker holds that does."""
        tasks = [member.task for member in self.run.members.values() if member.task is not None]
        held = {task.worker: sum(end - start for start, end in task.slices) for task in tasks}
        return {worker: members for worker, members in held.items() if members}

    @property
    def state(self) -> bytes | None:
        """The stored state: bytes that mean nothing here. None before the first, or if it is not at hand."""
        experiment, kept = self._experiment, self.kept
        return None if kept is None else experiment.checkpoints.held(experiment.number, kept.epoch)

    def join(self, worker: str, room: int, deliver: Deliver) -> None:
        """A worker comes. Raises ValueError if it is there already, or has no room."""
        self._deliver[worker] = deliver
        self.since[worker] = time()
        self.run.join(worker, room)
        self.send()
        self._experiment.wind_clock()

    def leave(self, worker: str) -> None:
        """A worker is gone; one that is not there may be gone twice."""
        for known in (self._deliver, self.since, self.told):
            known.pop(worker, None)
        self.run.leave(worker)
        self.send()
        self._experiment.wind_clock()

    # What workers answer

    def tell(self, worker: str, task: int, parts: Sequence[Part]) -> None:
        """Take in the returns of what a worker was lent.

        Raises:
            ValueError: they are not those of its slices; nothing has changed.
            UnknownTaskError: it was never given this task.
        """
        epoch, running_s = self.run.updates, self._experiment.progress.running_s
        if self.run.tell(worker, task, parts):
            self.told[worker] += sum(len(part.returns) for part in parts)
            for part in parts:
                event = MembersTold(epoch, part.start, part.returns, running_s)
                self._count(event)
                self._experiment.write(event)
            self._draw(running_s)
        self.send()

    def optimise(self, worker: str, task: int) -> None:
        """A worker has applied an epoch's returns. Raises UnknownTaskError."""
        self.run.optimise(worker, task)
        self.send()

    def take_state(
        self, worker: str, task: int, kind: Kind, state: bytes, then: Callable[[], None] = lambda: None
    ) -> None:
        """Store the first state, or that after an epoch, as `kind` says; raises UnknownTaskError.

        Then call back; at once if the state comes too late and counts for nothing.
        """
        wanted = self.run.initialise if kind is Kind.INITIALISE else self.run.share
        if not wanted(worker, task):
            then()
        else:
            number, epoch = self._experiment.number, self.run.updates + 1
            digest = hashlib.blake2b(state, digest_size=8).hexdigest()
            stored = CheckpointStored(epoch, digest, len(state), is_best=False)
            self._experiment.checkpoints.put(number, epoch, state, partial(self._stored, stored, then))
        self.send()

    def end(self) -> None:
        """Send everybody home; the state stays in the store, and out of memory."""
        if not self.run.is_over:
            self.run.end()
        self.send()
        self._release()

    def send(self) -> None:
        """Tell workers what there is to be told."""
        for order in self.run.take_orders():
            deliver = self._deliver.get(order.worker)
            if deliver is not None:
                deliver(order)

    # In a replay

    def recall(self, event: MembersTold) -> None:
        """Members were evaluated. Raises ValueError if they are not of this epoch and population."""
        if event.epoch != self.run.updates:
            raise ValueError(f"members of epoch {event.epoch} are told in epoch {self.run.updates}")
        self.run.recall([Part(event.first, event.returns)])
        self._count(event)
        self._draw(event.running_s)
        self._experiment.progress.recall_running(event.running_s)

    def keep(self, stored: CheckpointStored) -> None:
        """This state is in the store."""
        self.kept = stored

    # Inside

    def _release(self) -> None:
        if self.kept is not None:
            self._experiment.checkpoints.release(self._experiment.number, self.kept.epoch)

    def _stored(self, stored: CheckpointStored, then: Callable[[], None]) -> None:
        """A state has come into the store: the one before it is not needed any more."""
        before, self.kept = self.kept, stored
        self._experiment.write(stored)
        if before is not None and before.epoch != stored.epoch:
            self._experiment.checkpoints.forget(self._experiment.number, before.epoch)
        is_last = stored.epoch * self.run.population >= self._experiment.settings.stop.evaluations
        is_over = self._experiment.state.is_final
        self.run.stored(is_last=is_last and not is_over)
        if is_last and not is_over:
            self._experiment.complete()
        if is_over:
            self._release()
        self.send()
        then()

    def _count(self, event: MembersTold) -> None:
        """Count what came of members, live and in a replay; a return that is no number is one that failed."""
        progress = self._experiment.progress
        self._experiment.recorder.note_members(event)
        finite = tuple(each for each in event.returns if math.isfinite(each))
        if finite:
            progress.count(Result(0, finite, 0, 0), len(finite))
        for place, each in enumerate(event.returns):
            if not math.isfinite(each):
                name = f"member {event.first + place} of epoch {event.epoch}"
                progress.count_failed(1, Unscored(name, f"its return is {each}", 1, ""))

    def _draw(self, running_s: float) -> None:
        """Add a point to the curve where an epoch is told."""
        experiment, progress = self._experiment, self._experiment.progress
        if self.run.open.is_complete and progress.history.is_due(self.run.updates + 1):
            quantiles = tuple(experiment.search.fitness_quantiles(QUANTILES))
            progress.history.add(Point(progress.evaluations, progress.frames, running_s, quantiles, None))
