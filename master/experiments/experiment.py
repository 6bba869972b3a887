"""One experiment: its algorithm, its leases, its journal and its progress, kept in step."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from time import time
from typing import NamedTuple

from germline.algorithms.base import Ask, Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.archive.files import About
from germline.normalisation import Version
from germline.spec import kernels_of
from master.centres.centre import Centre
from master.errors import ConflictError, Refusal, RefusedResultError, UnscoredError
from master.experiments.ending import is_over, proven_mean, reached
from master.experiments.epochs import Epochs
from master.experiments.events import (
    CheckpointStored,
    Created,
    Event,
    MembersTold,
    Piece,
    Quarantined,
    State,
    StateChanged,
    StopChanged,
    Told,
    WorkerSeen,
    unscored_name,
)
from master.experiments.ga_search import GaSearch
from master.experiments.happenings import NOTED, of_event
from master.experiments.own import OwnWork
from master.experiments.own_search import OwnSearch
from master.experiments.progress import Progress, Rates
from master.experiments.settings import ExperimentSettings
from master.experiments.standing import Standing
from master.experiments.stored_start import StoredStart
from master.experiments.tally import Tally
from master.experiments.workers import WorkerIdentity, number_of
from master.journal.channel import TakeSnapshot
from master.journal.checkpoints import Checkpoints
from master.journal.journal import Journal, WriteEvent
from master.work.bounds import Bounds
from master.work.checks import CHECK, Checks
from master.work.churn import NO_CHANCE, Odds
from master.work.leases import Key, LeaseTable, Start
from master.work.pending_work import PendingWork, Work
from master.work.statements import Statement

logger = logging.getLogger(__name__)

_ANNOUNCE_S = 10.0
_GUESTS_STAY_S = 60.0  # an episode of a client may take as long


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
        standing: where it stands, and what people know of that.
        search: its algorithm.
        centre: what is known of an evolution strategy's centre; None for a genetic algorithm.
        pending_work: its work that is not told yet.
        checks: what was told and is played again by another worker.
        progress: its counters and its curve.
        rates: how fast they rise.
        workers: that have told it something, by name.
        rejections: workers that get none of its work, and why.
        quarantined: workers that were proven wrong, by name.
        tally: counts what comes of its work.
        recorder: what goes to the archive.
        epochs: of an evolution strategy.
        own: the workers of a run that bring its arithmetic; None where the fleet plays.
        start: the stored weights that its founder has, if a spec names any.
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
        self.standing = Standing()
        self.search = settings.make_search()
        self.centre: Centre | None = settings.make_centre()
        bounds = Bounds.of(settings.spec)
        self.pending_work = PendingWork(settings.lease_s, clock, starts, settings.max_attempts, bounds)
        self.checks = Checks(
            settings.verify_share,
            settings.spec.seed,
            LeaseTable(settings.lease_s, clock, starts[-1:]),
            differences_prove=settings.differences_prove,
            bounds=bounds,
        )
        self.progress = Progress(clock)
        self.rates = Rates(clock)
        self.workers: dict[str, WorkerSeen] = {}
        self.rejections: dict[str, str] = {}
        self.quarantined: dict[str, Quarantined] = {}
        self.tally = Tally(self.search, self.pending_work, self.progress, self.centre)
        self.recorder = self.tally.recorder
        self.epochs = Epochs(self.tally, self.write)
        self.own = OwnWork(self, self.search.run) if isinstance(self.search, OwnSearch) else None
        self.start = StoredStart(self, settings.spec.policy.start)
        self._clock, self._guests_until_s = clock, -math.inf
        self._journal = journal
        self._write: WriteEvent | None = None
        self._announced = ""
        self._announce_again_s = 0.0

    # The journal

    def attach(self, head: int, take_snapshot: TakeSnapshot) -> None:
        """Write to the journal from now on, after entry `head`; before, nothing may happen but a replay."""
        self._write = self._journal.attach(self.number, self.settings.name, head, take_snapshot)

    def write(self, event: Event) -> None:
        """Queue an event for the journal."""
        if self._write is None:
            raise RuntimeError(f"experiment {self.settings.name} is not attached to its journal yet")
        self._write(event)
        if type(event) in NOTED:
            self.note(event)

    def note(self, event: Event) -> None:
        """Remember what people will ask about later, live and in a replay."""
        if isinstance(event, StateChanged | MembersTold):
            self.progress.happened.running_s = event.running_s
        noted = of_event(event)
        if noted is not None:
            self.progress.note(*noted)

    @property
    def about(self) -> About:
        """What those are told who find its archive."""
        return About(self.settings.name, self.created.time)

    @property
    def checkpoints(self) -> Checkpoints:
        """Where an evolution strategy's checkpoints are kept."""
        return self._journal.checkpoints

    # What the dispatcher asks

    @property
    def lent(self) -> tuple[PendingWork, Checks]:
        """Everything of which workers may hold leases."""
        return self.pending_work, self.checks

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.standing.state

    @property
    def is_running(self) -> bool:
        """Whether work may be lent."""
        return self.state is State.RUNNING

    @property
    def kept(self) -> list[CheckpointStored]:
        """What is kept beside the journal: a centre's checkpoints, an own state, a founder's weights."""
        if self.centre is not None:
            return self.centre.kept()
        if self.start.kept is not None:
            return [self.start.kept]
        return [self.own.kept] if self.own is not None and self.own.kept is not None else []

    @property
    def normalisations(self) -> Sequence[Version]:
        """What its observations were normalised by so far, oldest first."""
        return self.search.normalisations

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
        if self.settings.plays_elsewhere or self.start.is_missing:
            return []
        pieces = self._pieces(n)
        short = pieces + self._pieces(reserve) - self.pending_work.waiting_for_any
        if short > 0:
            asks = self.search.ask(short)
            self.pending_work.add(asks)
            for ask in asks:
                self.write(ask)
        work = self.pending_work.lend(worker, pieces, known, crew)
        self.wind_clock()
        return work

    def lend_trial(self, worker: str, slots: int, crew: Collection[str]) -> list[Work]:
        """Lend work that others were lost with to a worker of so many slots that holds nothing."""
        if self.settings.plays_elsewhere:
            return []
        work = self.pending_work.lend_trial(worker, slots // self.search.evaluations_a_piece, crew)
        self.wind_clock()
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
                if result.ticket < CHECK:
                    self._accept(identity, key.attempt, result, running_s)
                else:
                    kernels = kernels_of(identity.libraries, self.settings.spec)
                    self.checks.tell(identity.worker_id, kernels, key.attempt, result)
            except RefusedResultError as error:
                refused.append(RefusedResult(key, error.code, str(error)))
        return refused

    def lose(
        self,
        worker_id: str,
        reason: str,
        tickets: Collection[int],
        lost_with: int,
        odds: Odds = NO_CHANCE,
    ) -> None:
        """A worker was lost with `lost_with` pieces of work that may be why; these are mine."""
        for ticket in self.pending_work.lose(worker_id, reason, tickets, lost_with, odds):
            self._set_aside(ticket)

    def end_if_fit(self) -> None:
        """A new best centre is in the store: that may have been what a stop condition waited for."""
        if self.is_running and self._proven_mean >= self.settings.stop.fitness:
            self._close(State.COMPLETE)

    # What people ask

    def pause(self, trouble: str = "") -> None:
        """Lend no more; `trouble` says why, if nobody wanted it. Raises ConflictError if it is over."""
        if self.state is not State.PAUSED:
            self.standing.check_not_over(self.settings.name, "paused")
            self.progress.stop_clock()
            self._change(State.PAUSED, trouble)
            self._hold_own()

    def resume(self) -> None:
        """Undo a pause. Raises ConflictError if the experiment is over."""
        if self.state is not State.RUNNING:
            self.standing.check_not_over(self.settings.name, "resumed")
            self._change(State.RUNNING)
            self._hold_own()
            self.wind_clock()

    def stop(self) -> None:
        """End it."""
        if not self.state.is_final:
            self._close(State.STOPPED)

    def complete(self) -> None:
        """A stop condition holds."""
        self._close(State.COMPLETE)

    def extend(self, settings: ExperimentSettings) -> None:
        """Take over other stop conditions; an experiment that is over goes on.

        Raises ConflictError if one of them holds already.
        """
        holds = reached(settings.stop, self.progress, self._proven_mean)
        if holds:
            raise ConflictError(f"experiment {self.settings.name} cannot go on: {holds}")
        self.settings = settings
        self.write(StopChanged(settings.encoded_stop))
        self._journal.when_durable(self.standing.tell_watchers, (self.number,))
        if self.state.is_final:
            self.pending_work.reopen(self.search.pending())
            if self.centre is not None:
                self.centre.want_last_no_more()
            self.epochs.open()
            self._change(State.RUNNING)
            if self.own is not None:
                self.own.run.reopen()
                self._hold_own()

    @property
    def algorithm(self) -> GeneticAlgorithm:
        """The genetic algorithm, for those who want its individuals.

        Raises:
            ConflictError: if the experiment is an evolution strategy, which has none.
        """
        if self.own is not None:
            raise ConflictError(
                f"experiment {self.settings.name} is its workers' own: it has a state and no individuals; "
                "ask for its checkpoint"
            )
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
        self.wind_clock()
        if self.is_running and self.epochs.are_due(self.settings.close_after_s):
            self.epochs.close_early()
        if self.is_running and self.progress.running_s >= self.settings.stop.seconds:
            self._close(State.COMPLETE)

    # Inside

    def _hold_own(self) -> None:
        """Have an own run stand still in a pause, and go on after it."""
        if self.own is not None:
            self.own.run.hold(not self.is_running)
            self.own.send()

    def hear_guests(self) -> None:
        """A client of another project has called: time counts for a while."""
        self._guests_until_s = self._clock() + _GUESTS_STAY_S
        self.wind_clock()

    def wind_clock(self) -> None:
        """Time counts while somebody holds work: without workers, and in a pause, nothing runs."""
        is_worked = len(self.pending_work.leases) or self._guests_come()
        if self.is_running and is_worked:
            self.progress.start_clock()
        else:
            self.progress.stop_clock()

    def _guests_come(self) -> bool:
        """Whether workers of its own are here; or clients, of whom nothing is seen between two calls."""
        if self.own is not None:
            return bool(self.own.run.members)
        return self._clock() < self._guests_until_s

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
            raise self.epochs.why_refused(error, result.ticket) from None
        told = Told(result, number_of(identity, self.workers, self.settings, self.write), running_s)
        events = self.tally.take_in(told)
        self.write(told)
        self.epochs.follow(events)
        self.pending_work.close(result.ticket, worker_id)
        if self._is_over(ask):
            self._close(State.COMPLETE)
        elif isinstance(ask, Ask) and self.checks.chooses(result.ticket):
            kernels = kernels_of(identity.libraries, self.settings.spec)
            self.checks.begin(ask, Statement(worker_id, kernels, result.returns))

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
        piece, event = self.pending_work.piece(ticket), self.tally.aside(ticket)
        logger.warning(
            "experiment %s: %s is set aside after %d failed attempts, the last on worker %s: %s",
            self.settings.name, unscored_name(piece, event.returns), event.attempts,
            event.worker_id, event.reason,
        )  # fmt: skip
        events = self.tally.take_aside(event)
        self.write(event)
        self.epochs.follow(events)
        self.pending_work.close(ticket, event.worker_id)
        if self._is_over(piece):
            self._close(State.COMPLETE)
        elif self.is_running and self.tally.outcomes.are_hopeless:
            self.pause(self.tally.hopelessness())

    def _announce_leader(self) -> None:
        """Log a new leader; not each one of a minute, a noisy task has many."""
        leader, now = self.search.leader(), self.progress.running_s
        if leader is None or leader.name == self._announced or now < self._announce_again_s:
            return
        self._announced, self._announce_again_s = leader.name, now + _ANNOUNCE_S
        logger.info(
            "experiment %s, %d evaluations: %s", self.settings.name, self.progress.evaluations, leader.text
        )

    def _is_over(self, piece: Piece) -> bool:
        return is_over(self.settings.stop, piece, self.progress, self.search, self.centre)

    @property
    def _proven_mean(self) -> float:
        return proven_mean(self.search, self.centre)

    def _close(self, state: State) -> None:
        self.progress.stop_clock()
        self.pending_work.close_all()
        self.checks.close_all()
        if self.centre is not None:
            self.centre.want_last()
        self._change(state)
        self.start.release()
        if self.own is not None:
            self.own.end()

    def enter(self, state: State, trouble: str) -> None:
        """Stand there from now on, live and in a replay; whoever goes on begins with a clean record."""
        self.standing.state, self.standing.trouble = state, trouble
        self.tally.outcomes.clear()

    def _change(self, state: State, trouble: str = "") -> None:
        self.enter(state, trouble)
        self.write(StateChanged(state, time(), self.progress.running_s, trouble))
        self._journal.when_durable(partial(self.standing.make_known, state), (self.number,))
        why = f": {trouble}" if trouble else ""
        logger.info("experiment %s is %s%s", self.settings.name, state.name.lower(), why)
