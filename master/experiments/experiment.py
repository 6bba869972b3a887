"""One experiment: its algorithm, its leases, its journal and its progress, kept in step."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from time import time
from typing import NamedTuple

from germline.algorithms.base import Result
from germline.algorithms.eggroll import EggrollEvent, EpochClosed, NewBestCentre, SliceAsk
from germline.algorithms.ga import GeneticAlgorithm
from germline.spec import kernels_of
from master.centres.centre import Centre
from master.errors import ConflictError, Refusal, RefusedResultError, UnscoredError
from master.experiments.algorithm_seam import GaSearch
from master.experiments.events import (
    Created,
    Event,
    Piece,
    SetAside,
    State,
    StateChanged,
    StopChanged,
    Told,
    WorkerSeen,
    evaluations_of,
    returns_of,
    unscored_name,
)
from master.experiments.outcomes import Outcomes
from master.experiments.progress import QUANTILES, Point, Progress, Rates, Unscored
from master.experiments.settings import ExperimentSettings, Stop
from master.journal.channel import TakeSnapshot
from master.journal.checkpoints import Checkpoints
from master.journal.journal import Journal, WriteEvent
from master.work.leases import Key, Start
from master.work.pending_work import PendingWork, Work
from master.work.retries import merged

logger = logging.getLogger(__name__)

_ANNOUNCE_S = 10.0


class WorkerIdentity(NamedTuple):
    """A worker as an experiment knows it: by name, and on what it plays."""

    worker_id: str
    device: str
    libraries: dict[str, str]


class RefusedResult(NamedTuple):
    """A result that did not count, and why."""

    key: Key
    code: Refusal
    message: str


class Experiment:
    """Everything between an algorithm and the world; runs on one thread, and never waits.

    A result that is accepted is told to the algorithm and queued for the journal in one breath, and so is
    an ask. So the journal holds asks and tells in the order in which the algorithm saw them, replaying it
    (see :mod:`master.experiments.recovery`) gives the same state, and a crash falls back to a moment that
    really was. Whoever told a result learns that it counts when it is durable.

    Attributes:
        settings: what its spec means.
        created: its first event.
        identity: tells it from every other experiment, of this or another store.
        state: where it stands.
        known_state: what people are told of that: it is durable.
        search: its algorithm.
        centre: what is known of an evolution strategy's centre; None for a genetic algorithm.
        pending_work: its work that is not told yet.
        progress: its counters and its curve.
        rates: how fast they rise.
        workers: that have told it something, by name.
        rejections: workers that get none of its work, and why.
        trouble: why it paused by itself; empty if it did not.
    """

    def __init__(
        self,
        settings: ExperimentSettings,
        created: Created,
        journal: Journal,
        clock: Callable[[], float],
        starts: Sequence[Start],
    ) -> None:
        """Take an experiment as it was created; `starts` are the master's, this one last."""
        self.settings = settings
        self.created = created
        self.number = created.number
        self.identity = created.identity(journal.store_id)
        self.state = self.known_state = State.RUNNING
        self.search = settings.make_search()
        self.centre: Centre | None = settings.make_centre()
        self.pending_work = PendingWork(settings.lease_s, clock, starts, settings.max_attempts)
        self.progress = Progress(clock)
        self.rates = Rates(clock)
        self.workers: dict[str, WorkerSeen] = {}
        self.rejections: dict[str, str] = {}
        self.trouble = ""
        self._outcomes = Outcomes()
        self._journal = journal
        self._write: WriteEvent | None = None
        self._changed = asyncio.Event()
        self._announced = ""
        self._announce_again_s = 0.0
        self._epoch_began_s = 0.0  # running time

    # The journal

    def attach(self, head: int, take_snapshot: TakeSnapshot) -> None:
        """Write to the journal from now on, after entry `head`; before, nothing may happen but a replay."""
        self._write = self._journal.attach(self.number, self.settings.name, head, take_snapshot)

    def write(self, event: Event) -> None:
        """Queue an event for the journal."""
        if self._write is None:
            raise RuntimeError(f"experiment {self.settings.name} is not attached to its journal yet")
        self._write(event)

    @property
    def checkpoints(self) -> Checkpoints:
        """Where an evolution strategy's checkpoints are kept."""
        return self._journal.checkpoints

    # What the dispatcher asks

    @property
    def is_running(self) -> bool:
        """Whether work may be lent."""
        return self.state is State.RUNNING

    @property
    def claimed(self) -> int:
        """Evaluations that are lent now, about."""
        return len(self.pending_work.leases) * self.search.evaluations_a_piece

    def lend(
        self, worker: str, n: int, known: Collection[int], reserve: int, crew: Collection[str] = ()
    ) -> list[Work]:
        """Lend work of n evaluations to a worker that knows some genomes; less, at the tail of an epoch.

        Args:
            worker: to whom.
            n: how many evaluations; the last piece of work may exceed them.
            known: ids of genomes that the worker has been sent.
            reserve: evaluations to keep asked beyond that, so that there is a choice of parents.
            crew: the workers that play this: what failed on one is for another.
        """
        pieces = self._pieces(n)
        short = pieces + self._pieces(reserve) - self.pending_work.waiting_for_any
        if short > 0:
            asks = self.search.ask(short)
            self.pending_work.add(asks)
            for ask in asks:
                self.write(ask)
        work = self.pending_work.lend(worker, pieces, known, crew)
        self._wind_clock()
        return work

    def lend_trial(self, worker: str, slots: int, crew: Collection[str]) -> list[Work]:
        """Lend work that others were lost with to a worker of so many slots that holds nothing."""
        work = self.pending_work.lend_trial(worker, slots // self.search.evaluations_a_piece, crew)
        self._wind_clock()
        return work

    def lend_twins(self, worker: str, n: int) -> list[Work]:
        """Lend about n evaluations of an epoch's tail a second time, which others hold already."""
        if self.centre is None or self.pending_work.waiting:
            return []
        return self.pending_work.lend_twins(worker, self._pieces(n))

    # What a worker tells

    def tell(self, identity: WorkerIdentity, results: Iterable[tuple[Key, Result]]) -> list[RefusedResult]:
        """Take results in; return those that do not count.

        Their work is lent again, if it is not told already.
        """
        running_s = self.progress.running_s
        refused = []
        for key, result in results:
            try:
                self._accept(identity, key.attempt, result, running_s)
            except RefusedResultError as error:
                refused.append(RefusedResult(key, error.code, str(error)))
        return refused

    def lose(self, worker_id: str, reason: str, tickets: Collection[int], lost_with: int) -> None:
        """A worker was lost with `lost_with` pieces of work that may be why; these are mine."""
        for ticket in self.pending_work.lose(worker_id, reason, tickets, lost_with):
            self._set_aside(ticket)

    def take_in(self, told: Told) -> Sequence[EggrollEvent]:
        """Count a result, live and in a replay; what happened to the epoch because of it."""
        result = told.result
        events = self.search.tell(result)
        evaluations = evaluations_of(self.pending_work.settle(result.ticket))
        self.progress.count(result, evaluations)
        self._outcomes.note(evaluations)
        if self.centre is not None:
            self.centre.told[result.ticket] = told
        self._draw(events, told.running_s)
        return events

    def take_aside(self, event: SetAside) -> Sequence[EggrollEvent]:
        """Wait no more for work that cannot be scored, live and in a replay; what happened to the epoch."""
        ticket, returns = event.ticket, event.returns
        events = self.search.set_aside(ticket, returns)
        piece = self.pending_work.settle(ticket)
        scored = piece.scored(returns) if isinstance(piece, SliceAsk) else {}
        if scored:
            self.progress.count(Result(ticket, tuple(chain(*scored.values())), 0, 0), 2 * len(scored))
        failed = evaluations_of(piece) - 2 * len(scored)
        if failed:
            name = unscored_name(piece, returns)
            self.progress.count_failed(failed, Unscored(name, event.reason, event.attempts, event.worker_id))
        self._outcomes.note(2 * len(scored), failed)
        self._draw(events, event.running_s)
        return events

    def open_epoch(self) -> None:
        """From now on, time counts towards an early close."""
        self._epoch_began_s = self.progress.running_s

    def take_in_early(self, closed: EpochClosed) -> None:
        """Count an epoch that closed without its last pairs, live and in a replay."""
        told = self.centre.told.values() if self.centre is not None else ()
        self._draw([closed], max((each.running_s for each in told), default=self.progress.running_s))

    def want_best(self) -> None:
        """Have the checkpoint of the best measured centre kept, whichever it is by now."""
        leader = self.search.leader()
        if self.centre is not None:
            self.centre.want_best(None if leader is None else leader.epoch)

    def end_if_fit(self) -> None:
        """A new best centre is in the store: that may have been what a stop condition waited for."""
        if self.is_running and self._has_reached_fitness():
            self._close(State.COMPLETE)

    # What people ask

    def pause(self, trouble: str = "") -> None:
        """Lend no more; `trouble` says why, if nobody wanted it. Raises ConflictError if it is over."""
        if self.state is not State.PAUSED:
            self._check_not_over("paused")
            self.progress.stop_clock()
            self._change(State.PAUSED, trouble)

    def resume(self) -> None:
        """Undo a pause. Raises ConflictError if the experiment is over."""
        if self.state is not State.RUNNING:
            self._check_not_over("resumed")
            self._change(State.RUNNING)
            self._wind_clock()

    def stop(self) -> None:
        """End it."""
        if not self.state.is_final:
            self._close(State.STOPPED)

    def extend(self, settings: ExperimentSettings) -> None:
        """Take over other stop conditions; an experiment that is over goes on.

        Raises ConflictError if one of them holds already.
        """
        reached = self._reached(settings.stop)
        if reached:
            raise ConflictError(f"experiment {self.settings.name} cannot go on: {reached}")
        self.settings = settings
        self.write(StopChanged(settings.encoded_stop))
        self._journal.when_durable(self._tell_watchers, (self.number,))
        if self.state.is_final:
            self.pending_work.reopen(self.search.pending())
            if self.centre is not None:
                self.centre.want_last_no_more()
            self.open_epoch()
            self._change(State.RUNNING)

    async def wait_for_change(self, timeout_s: float) -> None:
        """Wait until the experiment's state or its stop conditions change, but not longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()

    @property
    def algorithm(self) -> GeneticAlgorithm:
        """The genetic algorithm, for those who want its individuals.

        Raises:
            ConflictError: if the experiment is an evolution strategy, which has none.
        """
        if not isinstance(self.search, GaSearch):
            raise ConflictError(
                f"experiment {self.settings.name} is an evolution strategy: it has a centre and no "
                "individuals; ask for its checkpoint"
            )
        return self.search.algorithm

    # Time

    def tick(self) -> None:
        """About once a second: sample the rates, name the champion, end what is over its time."""
        self.rates.sample(self.progress.evaluations, self.progress.frames)
        self._announce_leader()
        self._wind_clock()
        if self.is_running and self.progress.running_s - self._epoch_began_s >= self.settings.close_after_s:
            self._close_early()
        if self.is_running and self.progress.running_s >= self.settings.stop.seconds:
            self._close(State.COMPLETE)

    # Inside

    def _wind_clock(self) -> None:
        """Time counts while somebody holds work: without workers, and in a pause, nothing runs."""
        if self.is_running and len(self.pending_work.leases):
            self.progress.start_clock()
        else:
            self.progress.stop_clock()

    def _pieces(self, evaluations: int) -> int:
        return -(-evaluations // self.search.evaluations_a_piece)

    def _accept(self, identity: WorkerIdentity, attempt: int, result: Result, running_s: float) -> None:
        """Take one result in. Raises RefusedResultError, and then nothing has changed for the algorithm.

        A worker whose results do not count is not written down.
        """
        worker_id = identity.worker_id
        if self.state.is_final:
            raise RefusedResultError(
                Refusal.CLOSED, f"experiment {self.settings.name} is {self.state.name.lower()}"
            )
        try:
            ask = self.pending_work.check(worker_id, attempt, result)
        except UnscoredError as error:
            self._fail(worker_id, attempt, result, str(error))
            raise
        except RefusedResultError as error:
            raise self._why_refused(error, result.ticket) from None
        told = Told(result, self._number_of(identity), running_s)
        events = self.take_in(told)
        self.write(told)
        self._follow(events)
        self.pending_work.close(result.ticket, worker_id)
        if self._is_over(ask):
            self._close(State.COMPLETE)

    def _fail(self, worker_id: str, attempt: int, result: Result, reason: str) -> None:
        """An attempt brought no score: another worker tries, or there were enough of them."""
        logger.info(
            "experiment %s: ticket %d failed on worker %s: %s",
            self.settings.name, result.ticket, worker_id, reason,
        )  # fmt: skip
        if self.pending_work.fail(worker_id, attempt, result, reason):
            self._set_aside(result.ticket)

    def _set_aside(self, ticket: int) -> None:
        """Wait no more for work that too many workers could not score, but for scored pairs of a slice."""
        piece, failures = self.pending_work.piece(ticket), self.pending_work.retries.failures(ticket)
        returns = merged(failures, returns_of(piece)) if isinstance(piece, SliceAsk) else ()
        last = failures[-1]
        logger.warning(
            "experiment %s: %s is set aside after %d failed attempts, the last on worker %s: %s",
            self.settings.name, unscored_name(piece, returns), len(failures), last.worker, last.reason,
        )  # fmt: skip
        event = SetAside(ticket, returns, len(failures), last.worker, last.reason, self.progress.running_s)
        events = self.take_aside(event)
        self.write(event)
        self._follow(events)
        self.pending_work.close(ticket, last.worker)
        if self._is_over(piece):
            self._close(State.COMPLETE)
        elif self.is_running and self._outcomes.are_hopeless:
            self.pause(self._hopelessness())

    def _hopelessness(self) -> str:
        failed, last = self._outcomes.failed, self.progress.set_aside[-1]
        return (
            f"{failed} of the last {failed + self._outcomes.scored} individuals could not be scored; "
            f"the last, {last.name}, failed {last.attempts} times, then on {last.worker}: {last.reason}"
        )

    def _why_refused(self, error: RefusedResultError, ticket: int) -> RefusedResultError:
        """The truth about work that is not pending any more: it was told, or its epoch closed without it."""
        if error.code is Refusal.ALREADY_TOLD and self.centre is not None:
            for closed in (*self.centre.closed, *self.centre.updates):
                if self.search.closed_without(ticket, closed):
                    sentence = f"ticket {ticket} comes too late: epoch {closed.epoch} closed without it"
                    return RefusedResultError(Refusal.CLOSED, sentence)
        return error

    def _draw(self, events: Sequence[EggrollEvent], running_s: float) -> None:
        """Add a point to the curve, if one belongs after these events."""
        place = self.search.place(events, self.progress.evaluations)
        if place is not None and self.progress.history.is_due(place):
            self.progress.history.add(self._point(running_s))

    def _point(self, running_s: float) -> Point:
        leader = self.search.leader()
        return Point(
            self.progress.evaluations,
            self.progress.frames,
            running_s,
            tuple(self.search.fitness_quantiles(QUANTILES)),
            leader.mean if leader is not None else None,
        )

    def _follow(self, events: Sequence[EggrollEvent]) -> None:
        """Write down that an epoch closed, before anybody is told; want a new best centre's checkpoint."""
        centre = self.centre
        if centre is None:
            return
        for event in events:
            if isinstance(event, EpochClosed):
                self.write(event)
                centre.close(event)
                self.open_epoch()
            elif isinstance(event, NewBestCentre):
                self.want_best()

    def _close_early(self) -> None:
        """Close the epoch without its last pairs, if enough are in: nobody waits for them any more."""
        events = self.search.close_early()
        for event in events:
            if isinstance(event, EpochClosed):
                self.pending_work.close_all()
                self.take_in_early(event)
        self._follow(events)

    def _announce_leader(self) -> None:
        """Log a new leader; not each one of a minute, a noisy task has many."""
        leader, now = self.search.leader(), self.progress.running_s
        if leader is None or leader.name == self._announced or now < self._announce_again_s:
            return
        self._announced, self._announce_again_s = leader.name, now + _ANNOUNCE_S
        logger.info(
            "experiment %s, %d evaluations: %s", self.settings.name, self.progress.evaluations, leader.text
        )

    def _is_over(self, ask: Piece) -> bool:
        stop, progress = self.settings.stop, self.progress
        if progress.evaluations >= stop.evaluations or progress.frames >= stop.frames:
            return True
        return stop.fitness < math.inf and self.search.may_crown(ask) and self._has_reached_fitness()

    def _has_reached_fitness(self) -> bool:
        """Whether fresh episodes confirm that the leader is as good as was asked for.

        A centre must also be in the store.
        """
        return self._proven_mean >= self.settings.stop.fitness

    @property
    def _proven_mean(self) -> float:
        leader = self.search.leader()
        if leader is None or (self.centre is not None and not self.centre.has(leader.epoch)):
            return -math.inf
        return leader.proven

    def _reached(self, stop: Stop) -> str:
        """Which of these conditions hold, in words; empty if none does."""
        progress = self.progress
        so_far = Stop(progress.evaluations, progress.frames, progress.running_s, self._proven_mean)
        return ", ".join(
            f"stop.{field} is {limit:,.10g}, and it has {reached:,.10g} already"
            for field, limit, reached in zip(Stop._fields, stop, so_far, strict=True)
            if reached >= limit
        )

    def _close(self, state: State) -> None:
        self.progress.stop_clock()
        self.pending_work.close_all()
        if self.centre is not None:
            self.centre.want_last()
        self._change(state)

    def enter(self, state: State, trouble: str) -> None:
        """Stand there from now on, live and in a replay; whoever goes on begins with a clean record."""
        self.state, self.trouble = state, trouble
        self._outcomes.clear()

    def _change(self, state: State, trouble: str = "") -> None:
        self.enter(state, trouble)
        self.write(StateChanged(state, time(), self.progress.running_s, trouble))
        self._journal.when_durable(partial(self.make_known, state), (self.number,))
        why = f": {trouble}" if trouble else ""
        logger.info("experiment %s is %s%s", self.settings.name, state.name.lower(), why)

    def make_known(self, state: State) -> None:
        """A state is durable: people are told of it."""
        self.known_state = state
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        """Wake those who wait for a change; whoever looks after that waits for the next one."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _check_not_over(self, done: str) -> None:
        if self.state.is_final:
            raise ConflictError(
                f"experiment {self.settings.name} is {self.state.name.lower()} and cannot be {done}; "
                "allowed: a running or paused one, or extend it"
            )

    def _number_of(self, identity: WorkerIdentity) -> int:
        """The worker's number in this experiment's journal; a new one is introduced there."""
        seen = self.workers.get(identity.worker_id)
        if seen is None:
            number = len(self.workers) + 1
            seen = WorkerSeen(
                number, identity.worker_id, identity.device, identity.libraries, self.settings.precision
            )
            self._tell_other_kernels(identity)
            self.workers[identity.worker_id] = seen
            self.write(seen)
        return seen.number

    def kernels(self) -> list[str]:
        """Families of the kernels that played its scores."""
        spec = self.settings.spec
        found = (kernels_of(seen.libraries, spec) for seen in self.workers.values())
        return sorted({family for family in found if family is not None})

    def _tell_other_kernels(self, identity: WorkerIdentity) -> None:
        """Say it when scores come from kernels that may add in another order than those before."""
        known, family = self.kernels(), kernels_of(identity.libraries, self.settings.spec)
        if known and family is not None and family not in known:
            logger.warning(
                "experiment %s: worker %s plays by kernels of family %s, those before it by %s: in floating "
                "point one genome may play two games there; int8 is the same everywhere",
                self.settings.name,
                identity.worker_id,
                family,
                ", ".join(known),
            )
