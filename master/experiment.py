"""One experiment: its algorithm, its leases, its journal and its progress, kept in step."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from time import time
from typing import Any, NamedTuple, cast

from germline.algorithms.base import Ask, Result
from germline.algorithms.eggroll import EggrollEvent, EpochClosed, NewBestCentre, SliceAsk
from germline.algorithms.ga import GeneticAlgorithm
from master.centre import Centre, Checkpoint
from master.errors import ConflictError, Refusal, RefusedResultError
from master.events import (
    CheckpointStored,
    Created,
    Event,
    Piece,
    State,
    StateChanged,
    Told,
    WorkerSeen,
    evaluations_of,
    returns_of,
)
from master.journal import Journal, WriteEvent
from master.journal_codec import Snapshot
from master.leases import ForeignLeaseError, Key, Lease, LeaseTable, Start, UnknownLeaseError
from master.progress import QUANTILES, Point, Progress, Rates
from master.ready import ReadyQueue
from master.search import GaSearch
from master.terms import Terms

logger = logging.getLogger(__name__)

_MAX_SPOILED = 3
_HERALD_S = 10.0


class Player(NamedTuple):
    """A worker as an experiment knows it: by name, and on what it plays."""

    worker_id: str
    device: str
    libraries: dict[str, str]


class RefusedResult(NamedTuple):
    """A result that did not count, and why."""

    key: Key
    code: Refusal
    message: str


class Work(NamedTuple):
    """A piece of work and its lease."""

    ask: Piece
    lease: Lease


class Experiment:
    """Everything between an algorithm and the world; runs on one thread, and never waits.

    A result that is accepted is told to the algorithm and queued for the journal in one breath, and so is
    an ask. So the journal holds asks and tells in the order in which the algorithm saw them, replaying it
    gives the same state, and a crash falls back to a moment that really was. Whoever told a result learns
    that it counts when it is durable.
    """

    def __init__(
        self,
        terms: Terms,
        created: Created,
        journal: Journal,
        clock: Callable[[], float],
        starts: list[Start],
    ) -> None:
        """Take an experiment as it was created; `starts` are the master's, this one last."""
        self.terms = terms
        self.created = created
        self.number = created.number
        self.state = State.RUNNING
        self.search = terms.make_search()
        self.centre: Centre | None = terms.make_centre()
        self.progress = Progress(clock)
        self.rates = Rates(clock)
        self.revoked: list[Lease] = []
        self.rejections: dict[str, str] = {}
        self._starts = starts
        self._leases = LeaseTable(terms.lease_s, clock, starts)
        self._ready = ReadyQueue()
        self._pending: dict[int, Piece] = {}
        self._spoiled: dict[int, int] = {}
        self._next_ticket = 0
        self._workers: dict[str, WorkerSeen] = {}
        self._journal = journal
        self._write: WriteEvent
        self._over = asyncio.Event()
        self._heralded = ""
        self._herald_again_s = 0.0
        self._epoch_since_s = clock()
        self._clock = clock

    # What the scheduler asks

    @property
    def is_running(self) -> bool:
        """Whether work may be lent."""
        return self.state is State.RUNNING

    @property
    def leased(self) -> int:
        """Work that is lent now."""
        return len(self._leases)

    @property
    def claimed(self) -> int:
        """Evaluations that are lent now, about."""
        return len(self._leases) * self.search.evaluations_a_piece

    @property
    def waiting(self) -> int:
        """Work that was asked and waits for a worker."""
        return len(self._ready)

    def lend(self, worker: str, n: int, known: Collection[int], reserve: int) -> list[Work]:
        """Lend work of n evaluations to a worker that knows some genomes; less, at the tail of an epoch.

        Args:
            worker: to whom.
            n: how many evaluations; the last piece of work may exceed them.
            known: ids of genomes that the worker has been sent.
            reserve: evaluations to keep asked beyond that, so that there is a choice of parents.
        """
        pieces, spare = self._pieces(n), self._pieces(reserve)
        short = pieces + spare - len(self._ready)
        if short > 0:
            self._ask(short)
        asks = self._ready.take(pieces, known)
        return list(map(Work, asks, self._leases.lend([ask.ticket for ask in asks], worker)))

    def lend_twins(self, worker: str, n: int) -> list[Work]:
        """Lend about n evaluations of an epoch's tail a second time, which others hold already."""
        if self.centre is None or self._ready:
            return []
        twins = self._leases.lend_twins(self._pieces(n), worker)
        return [Work(self._pending[twin.ticket], twin) for twin in twins]

    def renew(self, worker: str, ticket: int, attempt: int) -> bool:
        """Let a worker that came back keep a lease; False if it is not its to keep."""
        if ticket not in self._pending or not self._leases.renew(ticket, attempt, worker):
            return False
        self._ready.withdraw(ticket)
        return True

    def give_back(self, worker: str, tickets: Iterable[int] | None = None) -> int:
        """Take back what a worker holds, all or some of it, to lend it to others; return how many."""
        return self._put_back(self._leases.give_back(worker, tickets))

    def expire(self) -> int:
        """Take back leases that ran out, to lend them to others; return how many."""
        return self._put_back(self._leases.expire())

    # What a worker tells

    def tell(self, player: Player, results: Iterable[tuple[Key, Result]]) -> list[RefusedResult]:
        """Take results in; return those that do not count.

        Their work is lent again, if it is not told already.
        """
        worker, running_s = self._number_of(player), self.progress.running_s
        refused = []
        for key, result in results:
            try:
                self._accept(player.worker_id, key.attempt, Told(result, worker, running_s))
            except RefusedResultError as error:
                refused.append(RefusedResult(key, error.code, str(error)))
        return refused

    # What people ask

    def pause(self) -> None:
        """Lend no more. Raises ConflictError if the experiment is over."""
        if self.state is not State.PAUSED:
            self._check_not_over("paused")
            self.progress.stop_clock()
            self._change(State.PAUSED)

    def resume(self) -> None:
        """Undo a pause. Raises ConflictError if the experiment is over."""
        if self.state is not State.RUNNING:
            self._check_not_over("resumed")
            self.progress.start_clock()
            self._change(State.RUNNING)

    def stop(self) -> None:
        """End it for good."""
        if not self.state.is_final:
            self._close(State.STOPPED)

    def tick(self) -> None:
        """About once a second: sample the rates, name the champion, end what is over its time."""
        self.rates.sample(self.progress.evaluations, self.progress.frames)
        self._herald()
        if self.is_running and self._clock() - self._epoch_since_s >= self.terms.close_after_s:
            self._close_early()
        if self.is_running and self.progress.running_s >= self.terms.stop.seconds:
            self._close(State.COMPLETE)

    async def wait_for_end(self, timeout_s: float) -> None:
        """Wait until the experiment is over, but not longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._over.wait()

    @property
    def leases_lost(self) -> int:
        """Leases that ran out or came back."""
        return self._leases.expired + self._leases.returned

    @property
    def leases_expired(self) -> int:
        """Leases that ran out."""
        return self._leases.expired

    def tickets_of(self, worker: str) -> set[int]:
        """The work that a worker holds."""
        return {lease.ticket for lease in self._leases.held_by(worker)}

    def holders(self) -> dict[str, int]:
        """How many leases each worker holds."""
        return self._leases.holders()

    @property
    def algorithm(self) -> GeneticAlgorithm:
        """The genetic algorithm, for those who want its individuals.

        Raises:
            ConflictError: if the experiment is an evolution strategy, which has none.
        """
        if not isinstance(self.search, GaSearch):
            raise ConflictError(
                f"experiment {self.terms.name} is an evolution strategy: it has a centre and no individuals; "
                "ask for its checkpoint"
            )
        return self.search.algorithm

    # Birth and rebirth

    def begin(self) -> None:
        """Write a new experiment's first event, and run."""
        self._write = self._journal.attach(self.number, 0, self.take_snapshot)
        self._write(self.created)
        self.progress.start_clock()

    def restore(self, snapshot: Snapshot) -> None:
        """Become what a snapshot says."""
        self.state = snapshot.state
        self.search.restore(snapshot.algorithm)
        if self.centre is not None:
            self.centre.restore(snapshot.closed_epochs, snapshot.epochs)
        self.progress.restore(snapshot.progress)
        self._next_ticket = cast(int, snapshot.progress["next_ticket"])
        earlier = cast(list[Any], snapshot.progress["starts"])
        self._starts[:0] = [Start(*start) for start in earlier]
        self._workers = {worker.worker_id: worker for worker in snapshot.workers}
        if not self.state.is_final:
            self._pending = {ask.ticket: ask for ask in self.search.pending()}

    def replay(self, event: Event) -> None:
        """Let something happen again."""
        if isinstance(event, Told):
            self._take_in(event)
            self.progress.recall_running(event.running_s)
        elif isinstance(event, Ask | SliceAsk):
            self.search.adopt(event)
            self._pending[event.ticket] = event
            self._next_ticket = max(self._next_ticket, event.ticket + 1)
        elif isinstance(event, EpochClosed) and self.centre is not None:
            self.search.adopt_epoch(event)
            self._pending = {ask.ticket: ask for ask in self.search.pending()}
            self.centre.announce(event)
        elif isinstance(event, StateChanged):
            self.state = event.state
            self.progress.recall_running(event.running_s)
        elif isinstance(event, WorkerSeen):
            self._workers[event.worker_id] = event

    def recall_checkpoint(self, stored: CheckpointStored, data: bytes) -> None:
        """A checkpoint from before a restart is at hand again."""
        if self.centre is not None:
            self.centre.keep(stored, data)

    def revive(self, head: int) -> None:
        """Go on after a replay up to journal entry `head`: what is pending is lent first."""
        self._starts[-1] = Start(self._starts[-1].boot, self._next_ticket)
        self._leases = LeaseTable(self.terms.lease_s, self._leases.clock, self._starts)
        if self.state.is_final:
            self._pending.clear()
        for ticket in sorted(self._pending):
            self._ready.put_back(self._pending[ticket])
        self._write = self._journal.attach(self.number, head, self.take_snapshot)
        if self.is_running:
            self.progress.start_clock()

    def take_snapshot(self, position: int) -> Snapshot:
        """The experiment as it stands, which is after journal entry `position`."""
        progress = self.progress.snapshot()
        progress["next_ticket"] = self._next_ticket
        progress["starts"] = [list(start) for start in self._starts]
        algorithm, workers = self.search.snapshot(), list(self._workers.values())
        snapshot = Snapshot(position, self.created, self.state, algorithm, progress, workers)
        if self.centre is None:
            return snapshot
        epochs = [*self.centre.updates, *self.centre.closed]
        closed = self.centre.closed_epochs
        return snapshot._replace(closed_epochs=closed, epochs=epochs, checkpoints=self.centre.kept())

    # Inside

    def _pieces(self, evaluations: int) -> int:
        return -(-evaluations // self.search.evaluations_a_piece)

    def _ask(self, n: int) -> None:
        asks = self.search.ask(n)
        write, pending = self._write, self._pending
        for ask in asks:
            pending[ask.ticket] = ask
            write(ask)
        if asks:
            self._next_ticket = asks[-1].ticket + 1
        self._ready.add(asks)

    def _accept(self, worker_id: str, attempt: int, told: Told) -> None:
        """Take one result in. Raises RefusedResultError, and then nothing has changed for the algorithm."""
        ticket = told.result.ticket
        ask = self._pending.get(ticket)
        if ask is None:
            raise self._why_not_pending(ticket)
        try:
            self._leases.check(ticket, attempt, worker_id)
            _check_returns(told.result.returns, returns_of(ask))
        except ForeignLeaseError as error:
            raise RefusedResultError(Refusal.FOREIGN, str(error)) from None
        except UnknownLeaseError as error:
            raise RefusedResultError(Refusal.UNKNOWN, str(error)) from None
        except RefusedResultError:
            self._note_spoiled(ticket, worker_id)
            raise
        events = self._take_in(told)
        self._write(told)
        self._follow(events)
        in_vain = (self._leases.close(ticket, worker_id), self._leases.close_twin(ticket, worker_id))
        self.revoked += [lease for lease in in_vain if lease is not None]
        self._ready.withdraw(ticket)
        if self._is_over(ask):
            self._close(State.COMPLETE)

    def _take_in(self, told: Told) -> Sequence[EggrollEvent]:
        """Count a result, live and in a replay; what happened to the epoch because of it."""
        result, progress = told.result, self.progress
        events = self.search.tell(result)
        progress.count(result, evaluations_of(self._pending.pop(result.ticket)))
        place = self.search.place(events, progress.evaluations)
        if place is not None and progress.history.is_due(place):
            progress.history.add(self._point(told.running_s))
        return events

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
                self._write(event)
                centre.closed.append(event)
                self._epoch_since_s = self._clock()
            elif isinstance(event, NewBestCentre):
                centre.want_best(event.centre.epoch)

    def _close_early(self) -> None:
        """Close the epoch without its last pairs, if enough are in: nobody waits for them any more."""
        events = self.search.close_early()
        if events:
            self.revoked += self._leases.close_all()
            self._ready.clear()
            self._pending.clear()
            self._follow(events)

    def keep_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a centre that a worker sent, and forget those that nobody will ask for."""
        if self.centre is None:
            return
        before = {kept.epoch for kept in self.centre.kept()}
        self._journal.put_checkpoint(self.number, checkpoint.epoch, checkpoint.data)
        self._write(self.centre.store(checkpoint))
        for epoch in before - {kept.epoch for kept in self.centre.kept()}:
            self._journal.forget_checkpoint(self.number, epoch)
        if self.is_running and self._has_reached_fitness():
            self._close(State.COMPLETE)

    def _herald(self) -> None:
        """Log a new leader; not each one of a minute, a noisy task has many."""
        leader, now = self.search.leader(), self.progress.running_s
        if leader is None or leader.name == self._heralded or now < self._herald_again_s:
            return
        self._heralded, self._herald_again_s = leader.name, now + _HERALD_S
        logger.info(
            "experiment %s, %d evaluations: %s", self.terms.name, self.progress.evaluations, leader.text
        )

    def _is_over(self, ask: Piece) -> bool:
        stop, progress = self.terms.stop, self.progress
        if progress.evaluations >= stop.evaluations or progress.frames >= stop.frames:
            return True
        return stop.fitness < math.inf and self.search.may_crown(ask) and self._has_reached_fitness()

    def _has_reached_fitness(self) -> bool:
        """Whether the leader is as good as was asked for; a centre must also be in the store."""
        leader = self.search.leader()
        if leader is None or leader.mean < self.terms.stop.fitness:
            return False
        return self.centre is None or self.centre.has_best

    def _close(self, state: State) -> None:
        self.progress.stop_clock()
        self.revoked += self._leases.close_all()
        self._ready.clear()
        self._pending.clear()
        if self.centre is not None:
            self.centre.want_last()
        self._change(state)

    def _change(self, state: State) -> None:
        self.state = state
        if state.is_final:
            self._over.set()
        self._write(StateChanged(state, time(), self.progress.running_s))
        logger.info("experiment %s is %s", self.terms.name, state.name.lower())

    def _check_not_over(self, done: str) -> None:
        if self.state.is_final:
            raise ConflictError(
                f"experiment {self.terms.name} is {self.state.name.lower()} and cannot be {done}; "
                "allowed: a running or paused one"
            )

    def _put_back(self, leases: list[Lease]) -> int:
        for lease in leases:
            self._ready.put_back(self._pending[lease.ticket])
        return len(leases)

    def _note_spoiled(self, ticket: int, worker: str) -> None:
        """Lend work again whose result no evaluation can have; but not for ever, it would fill the fleet."""
        for lease in self._leases.give_back(worker, (ticket,)):
            self._spoiled[ticket] = self._spoiled.get(ticket, 0) + 1
            if self._spoiled[ticket] < _MAX_SPOILED:
                self._ready.put_back(self._pending[ticket])
            else:
                logger.warning(
                    "experiment %s: ticket %d was told wrongly %d times, last by %s; it is not lent again",
                    self.terms.name, ticket, _MAX_SPOILED, lease.worker,
                )  # fmt: skip

    def _number_of(self, player: Player) -> int:
        """The worker's number in this experiment's journal; a new one is introduced there."""
        seen = self._workers.get(player.worker_id)
        if seen is None:
            number = len(self._workers) + 1
            seen = WorkerSeen(number, player.worker_id, player.device, player.libraries, self.terms.precision)
            self._workers[player.worker_id] = seen
            self._write(seen)
        return seen.number

    def _why_not_pending(self, ticket: int) -> RefusedResultError:
        if self.state.is_final:
            return RefusedResultError(
                Refusal.CLOSED, f"experiment {self.terms.name} is {self.state.name.lower()}"
            )
        if ticket >= self._next_ticket:
            return RefusedResultError(Refusal.UNKNOWN, f"lease.ticket is {ticket}; it was never lent")
        return RefusedResultError(Refusal.ALREADY_TOLD, f"ticket {ticket} was told before; it counts once")


def _check_returns(returns: tuple[float, ...], episodes: int) -> None:
    if len(returns) != episodes:
        raise RefusedResultError(
            Refusal.WRONG_LENGTH, f"returns has {len(returns)} values; the lease has {episodes} episode seeds"
        )
    if not math.isfinite(sum(returns)):
        raise RefusedResultError(
            Refusal.NOT_FINITE, f"returns is {returns}; every return must be finite, and so must their sum"
        )
