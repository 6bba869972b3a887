"""A pending_work as a machine of random steps, over crashes: nothing is lost or counts for another."""

from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from germline.algorithms.base import JsonValue, Result
from germline.algorithms.slices import SliceAsk
from master.errors import RefusedResultError
from master.experiments.events import Piece
from master.work.leases import Start
from master.work.pending_work import PendingWork, Work

LEASE_S = 10.0
WORKERS = "abc"


def slice_ask(ticket: int, what: int) -> SliceAsk:
    return SliceAsk(ticket, 0, what, 1, (0,))


def test_a_start_that_ended_before_its_snapshot_is_not_forgotten() -> None:
    """Start 1 lent ticket 1 and lost it, start 2 asked it anew for another: start 3 must not mix them."""
    first = PendingWork(LEASE_S, lambda: 0.0, [Start(1, 0)])
    first.add([slice_ask(0, 0)])
    written = first.snapshot()
    first.add([slice_ask(1, 1)])
    kept, lost = first.lend("a", 2, ())
    third = PendingWork(LEASE_S, lambda: 0.0, [Start(3, 0)])
    third.restore(written, [slice_ask(0, 0)])
    third.expect(slice_ask(1, 2))  # by start 2
    third.revive()
    assert third.renew("a", 0, kept.lease.attempt)
    assert not third.renew("a", 1, lost.lease.attempt)
    with pytest.raises(RefusedResultError, match="never lent, or lost in a restart"):
        third.check("a", lost.lease.attempt, Result(1, (0.0, 0.0), 0, 0))


class Handed(NamedTuple):
    """Work as a worker has it in its hands."""

    worker: str
    boot: int
    ask: Piece
    attempt: int

    @property
    def key(self) -> tuple[int, int]:
        return self.ask.ticket, self.attempt


class Happened(NamedTuple):
    """One event of the journal: work was asked, told by somebody, or taken back."""

    kind: str
    ask: Piece
    worker: str = ""


class Snapshot(NamedTuple):
    events: int
    fields: dict[str, JsonValue]


class Restarts(RuleBasedStateMachine):
    """A master that crashes and comes back with a prefix of its journal, while workers hold on to their work.

    Work that is asked anew after a crash is other work under the same ticket: its `first_pair` differs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.boot = 1
        self.asked = 0
        self.snapshot: Snapshot | None = None
        self.events: list[Happened] = []
        self.handed: list[Handed] = []
        self.keys: set[tuple[int, int]] = set()
        self.void: set[Handed] = set()
        self.perhaps: set[Handed] = set()  # whose fate the promise leaves open
        self.pending_work = self.make()

    def make(self) -> PendingWork:
        return PendingWork(LEASE_S, lambda: self.now, [Start(self.boot, 0)])

    # What happened

    def pending(self) -> dict[int, Piece]:
        pending: dict[int, Piece] = {}
        for event in self.events:
            if event.kind == "told":
                del pending[event.ask.ticket]
            else:
                pending[event.ask.ticket] = event.ask
        return pending

    def hand(self, worker: str, work: list[Work]) -> None:
        for ask, lease in work:
            assert lease.worker == worker
            assert ask == self.pending()[ask.ticket]
            handed = Handed(worker, self.boot, ask, lease.attempt)
            assert handed.key not in self.keys, "an attempt was given twice"
            self.keys.add(handed.key)
            self.handed.append(handed)

    # Steps

    @rule(count=st.integers(1, 3))
    def ask(self, count: int) -> None:
        first = max((event.ask.ticket + 1 for event in self.events), default=0)
        asks = [slice_ask(first + i, self.asked + i) for i in range(count)]
        self.asked += count
        self.pending_work.add(asks)
        self.events += [Happened("asked", ask) for ask in asks]

    @rule(worker=st.sampled_from(WORKERS), count=st.integers(1, 3))
    def lend(self, worker: str, count: int) -> None:
        self.hand(worker, self.pending_work.lend(worker, count, ()))

    @rule(worker=st.sampled_from(WORKERS), count=st.integers(1, 3))
    def lend_twins(self, worker: str, count: int) -> None:
        self.hand(worker, self.pending_work.lend_twins(worker, count))

    @precondition(lambda self: self.handed)
    @rule(data=st.data(), teller=st.sampled_from([*WORKERS, ""]))
    def tell(self, data: st.DataObject, teller: str) -> None:
        handed = data.draw(st.sampled_from(self.handed))
        worker, pending = teller or handed.worker, self.pending()
        if worker != handed.worker and handed.boot != self.boot:
            return  # nobody remembers whose it was; workers do not lie
        counts = self._counts(handed, worker)
        good = worker == handed.worker and handed not in self.void
        is_due = good and pending.get(handed.ask.ticket) == handed.ask
        assert counts == is_due or (is_due and handed in self.perhaps)
        if counts:
            self.pending_work.settle(handed.ask.ticket)
            self.pending_work.close(handed.ask.ticket, worker)
            self.events.append(Happened("told", handed.ask, worker))

    def _counts(self, handed: Handed, worker: str) -> bool:
        result = Result(handed.ask.ticket, (0.0, 0.0), 0, 0)
        try:
            self.pending_work.check(worker, handed.attempt, result)
        except RefusedResultError:
            return False
        return True

    @rule(worker=st.sampled_from(WORKERS), data=st.data())
    def come_back(self, worker: str, data: st.DataObject) -> None:
        """A new stream: the worker says what it holds, and loses the rest."""
        mine = [handed for handed in self.handed if handed.worker == worker]
        held = data.draw(st.lists(st.sampled_from(mine), unique=True)) if mine else []
        kept = [h for h in held if self.pending_work.renew(worker, *h.key)]
        for handed in kept:
            assert self.pending()[handed.ask.ticket] == handed.ask
            assert handed not in self.void
        tickets = {handed.ask.ticket for handed in kept}
        assert len(tickets) == len(kept)
        self.pending_work.give_back(worker, self.pending_work.tickets_of(worker) - tickets)
        assert self.pending_work.tickets_of(worker) == tickets
        ends = {lease[:2]: lease.deadline for lease in self.pending_work.leases.held_by(worker)}
        assert ends == {handed.key: self.now + LEASE_S for handed in kept}

    @rule(seconds=st.floats(0, 2 * LEASE_S))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.pending_work.expire()

    @rule(worker=st.sampled_from(WORKERS))
    def leave(self, worker: str) -> None:
        self.pending_work.give_back(worker)

    @rule(worker=st.sampled_from(WORKERS), data=st.data())
    def discredit(self, worker: str, data: st.DataObject) -> None:
        """Nothing counts that the worker was lent up to now, and some of what it told counts no more."""
        self.void |= {handed for handed in self.handed if handed.worker == worker}
        self.pending_work.void(worker)
        told = {event.ask: event.worker for event in self.events if event.kind == "told"}
        pending = self.pending()
        its = [ask for ask, teller in told.items() if teller == worker and ask.ticket not in pending]
        taken = data.draw(st.lists(st.sampled_from(its), unique=True)) if its else []
        self.pending_work.reopen(taken)
        self.events += [Happened("taken back", ask) for ask in taken]

    @rule()
    def take_snapshot(self) -> None:
        self.snapshot = Snapshot(len(self.events), self.pending_work.snapshot())

    @rule(data=st.data(), starts=st.integers(1, 2))
    def crash(self, data: st.DataObject, starts: int) -> None:
        """The master comes back with a prefix of what happened; perhaps it crashes again at once."""
        first = self.snapshot.events if self.snapshot else 0
        self.events = self.events[: data.draw(st.integers(first, len(self.events)))]
        self.boot += starts
        self.perhaps |= {h for h in self.handed if h.boot < self.boot - 1}
        self.perhaps |= self.void  # a restart forgets who had another centre
        self.void.clear()
        self.pending_work = self.make()
        self._replay(first)
        self.pending_work.revive()

    def _replay(self, first: int) -> None:
        if self.snapshot:
            after, self.events = self.events[first:], self.events[:first]
            self.pending_work.restore(self.snapshot.fields, self.pending().values())
            self.events += after
        for event in self.events[first:]:
            if event.kind == "told":
                self.pending_work.settle(event.ask.ticket)
            else:
                self.pending_work.expect(event.ask)

    @invariant()
    def work_that_is_not_told_waits_or_is_lent(self) -> None:
        leases, pending = self.pending_work.leases, self.pending()
        held = [lease for worker in WORKERS for lease in leases.held_by(worker)]
        assert len({(lease.ticket, lease.worker) for lease in held}) == len(held), "twice with one worker"
        assert {lease.ticket for lease in held} == {t for t in pending if leases.is_lent(t)}
        assert len(held) <= 2 * len(leases)
        assert self.pending_work.waiting + len(leases) == len(pending)


TestRestarts = Restarts.TestCase
TestRestarts.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
