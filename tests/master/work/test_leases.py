"""What the lease table promises, one by one and as a machine of random steps."""

import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from master.work.leases import ForeignLeaseError, LeaseTable, Start, UnknownLeaseError
from master.work.lendings import Lease

LEASE_S = 10.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> LeaseTable:
    return LeaseTable(LEASE_S, clock)


def lend(table: LeaseTable, ticket: int, worker: str) -> Lease:
    (lease,) = table.lend([ticket], worker)
    return lease


def tell(table: LeaseTable, lease: Lease, worker: str | None = None) -> Lease | None:
    who = worker or lease.worker
    table.check(lease.ticket, lease.attempt, who)
    return table.close(lease.ticket, who)


def test_a_lease_that_is_told_is_gone(table: LeaseTable) -> None:
    assert tell(table, lend(table, 7, "a")) is None
    assert len(table) == 0


def test_work_that_somebody_holds_is_not_lent_again(table: LeaseTable) -> None:
    lend(table, 7, "a")
    with pytest.raises(ValueError, match="ticket 7 is lent to a"):
        table.lend([7], "b")


def test_a_lease_runs_out_at_its_deadline_and_not_before(table: LeaseTable, clock: Clock) -> None:
    lease = lend(table, 7, "a")
    clock.now += LEASE_S - 0.001
    assert table.expire() == []
    clock.now += 0.001
    assert table.expire() == [lease]
    assert table.expired == 1


def test_work_that_is_lent_again_gets_a_higher_attempt(table: LeaseTable, clock: Clock) -> None:
    first = lend(table, 7, "a")
    clock.now += LEASE_S
    table.expire()
    assert lend(table, 7, "b").attempt == first.attempt + 1


def test_a_late_result_counts_if_nobody_else_told_it(table: LeaseTable, clock: Clock) -> None:
    late = lend(table, 7, "a")
    clock.now += LEASE_S
    table.expire()
    assert tell(table, late) is None


def test_a_late_result_sets_the_new_holder_free(table: LeaseTable, clock: Clock) -> None:
    late = lend(table, 7, "a")
    clock.now += LEASE_S
    table.expire()
    again = lend(table, 7, "b")
    assert tell(table, late) == again
    assert len(table) == 0


def test_no_lease_counts_that_was_void_once(table: LeaseTable, clock: Clock) -> None:
    late = lend(table, 6, "a")
    clock.now += LEASE_S
    table.expire()
    held, others = lend(table, 7, "a"), lend(table, 8, "b")
    assert table.void("a") == [held]
    for lease in (late, held):
        with pytest.raises(UnknownLeaseError, match="is void: a was proven wrong"):
            table.check(lease.ticket, lease.attempt, "a")
        assert not table.renew(lease.ticket, lease.attempt, "a")
    tell(table, others)
    again = lend(table, 7, "a")
    assert again.attempt > held.attempt
    tell(table, again)


def test_a_void_lease_leaves_its_work_with_the_one_that_holds_its_twin(table: LeaseTable) -> None:
    lend(table, 7, "a")
    (twin,) = table.lend_twins(1, "b")
    assert table.void("a") == []
    tell(table, twin)


def test_leases_of_a_distrusted_worker_from_before_a_restart_are_void(clock: Clock) -> None:
    before = LeaseTable(LEASE_S, clock, [Start(1, 0)])
    of_a, of_b = lend(before, 7, "a"), lend(before, 8, "b")
    after = LeaseTable(LEASE_S, clock, [Start(1, 0), Start(2, 9)])
    after.void("a")
    with pytest.raises(UnknownLeaseError):
        tell(after, of_a)
    assert not after.renew(7, of_a.attempt, "a")
    tell(after, of_b)


def test_work_that_is_reopened_never_gets_an_attempt_a_second_time(table: LeaseTable) -> None:
    attempts = []
    for _ in range(3):
        for worker in ("a", "b"):
            attempts.append((lease := lend(table, 7, worker)).attempt)
            if worker == "a":
                table.give_back("a")
        tell(table, lease)
        table.reopen(7)
        with pytest.raises(UnknownLeaseError):
            tell(table, lease)
    assert attempts == sorted(set(attempts))


def test_reopened_work_goes_on_at_the_next_multiple_of_128(clock: Clock) -> None:
    table = LeaseTable(LEASE_S, clock, [Start(3, 0)])
    attempts = []
    for _ in range(3):
        attempts.append((lease := lend(table, 7, "a")).attempt)
        tell(table, lease)
        table.reopen(7)
    assert attempts == [3 * 4096 + 1, 3 * 4096 + 128 + 1, 3 * 4096 + 256 + 1]


def test_both_who_hold_work_may_tell_it_and_no_third(table: LeaseTable) -> None:
    first = lend(table, 7, "a")
    (twin,) = table.lend_twins(1, "b")
    for lease in (first, twin):
        table.check(7, lease.attempt, lease.worker)
        with pytest.raises(ForeignLeaseError, match=f"was lent to {lease.worker}, not to c"):
            table.check(7, lease.attempt, "c")


def test_twins_are_lent_of_the_oldest_work_of_others_that_has_none(table: LeaseTable) -> None:
    table.lend([1, 2, 3], "a")
    table.lend([4], "b")
    assert [twin.ticket for twin in table.lend_twins(2, "b")] == [1, 2]
    assert [twin.ticket for twin in table.lend_twins(9, "c")] == [3, 4]
    assert table.lend_twins(9, "d") == []
    assert table.holders() == {"a": 3, "b": 3, "c": 2}


@pytest.mark.parametrize("boot", [0, 1, 5])
def test_each_of_the_4096_lendings_of_an_earlier_start_is_known_as_its_own(clock: Clock, boot: int) -> None:
    after = LeaseTable(LEASE_S, clock, [Start(boot, 0), Start(boot + 1, 9)])
    for attempt in (boot * 4096 + 1, boot * 4096 + 4096):
        after.check(7, attempt, "a")
    for attempt in (boot * 4096 - 4096, (boot + 1) * 4096 + 1):
        with pytest.raises(UnknownLeaseError):
            after.check(9, attempt, "a")


def test_a_twin_lasts_as_long_as_any_lease(table: LeaseTable, clock: Clock) -> None:
    lend(table, 7, "a")
    clock.now += 1.0
    (twin,) = table.lend_twins(1, "b")
    assert twin.deadline == clock.now + LEASE_S
    clock.now += LEASE_S - 1.0
    table.expire()
    clock.now += 1.0
    table.expire()
    assert (table.expired, len(table)) == (2, 0)


def test_a_worker_does_not_hold_work_twice_after_a_restart(clock: Clock) -> None:
    before = lend(LeaseTable(LEASE_S, clock, [Start(1, 0)]), 7, "a")
    after = LeaseTable(LEASE_S, clock, [Start(1, 0), Start(2, 9)])
    again = lend(after, 7, "a")
    assert not after.renew(7, before.attempt, "a")
    assert after.held_by("a") == [again]


def test_a_twin_runs_out_alone_and_its_work_stays_with_the_other(table: LeaseTable, clock: Clock) -> None:
    lend(table, 7, "a")
    (twin,) = table.lend_twins(1, "b")
    clock.now += LEASE_S / 2
    lease = table.held_by("a")[0]
    assert table.renew(7, lease.attempt, "a")
    clock.now += LEASE_S / 2
    assert table.expire() == []
    assert (table.expired, table.holders()) == (1, {"a": 1})
    table.check(7, twin.attempt, "b")


def test_a_lease_that_brought_nothing_is_taken_back_and_no_other(table: LeaseTable) -> None:
    first, other = table.lend([7, 8], "a")
    (twin,) = table.lend_twins(1, "b")
    table.end(8, other.attempt + 1, "a")
    table.end(8, other.attempt, "b")
    assert (table.returned, table.holders()) == (0, {"a": 2, "b": 1})
    table.end(7, twin.attempt, "b")
    assert (table.returned, table.holders()) == (1, {"a": 2})
    table.end(7, first.attempt, "a")
    assert (table.returned, table.holders()) == (2, {"a": 1})
    assert not table.is_lent(7)


def test_nothing_is_remembered_of_work_that_was_told(table: LeaseTable, clock: Clock) -> None:
    lend(table, 7, "a")
    (twin,) = table.lend_twins(1, "b")
    table.void("a")
    clock.now += LEASE_S
    table.expire()
    tell(table, twin)
    table.close_twin(7, "b")
    assert {name: kept for name, kept in vars(table).items() if isinstance(kept, dict) and kept} == {}


def test_a_foreign_result_is_refused_and_changes_nothing(table: LeaseTable) -> None:
    lease = lend(table, 7, "a")
    with pytest.raises(ForeignLeaseError, match="was lent to a, not to b"):
        table.check(7, lease.attempt, "b")
    assert table.is_lent(7)


def test_a_foreign_result_for_a_former_lease_is_refused_too(table: LeaseTable, clock: Clock) -> None:
    former = lend(table, 7, "a")
    clock.now += LEASE_S
    table.expire()
    lend(table, 7, "b")
    with pytest.raises(ForeignLeaseError):
        table.check(7, former.attempt, "b")


@pytest.mark.parametrize("step", [-1, 1])
def test_an_attempt_that_was_never_lent_is_refused(table: LeaseTable, step: int) -> None:
    lease = lend(table, 7, "a")
    with pytest.raises(UnknownLeaseError, match="never lent"):
        table.check(7, lease.attempt + step, "a")


def test_a_worker_gives_back_only_what_it_holds(table: LeaseTable) -> None:
    mine, theirs = lend(table, 1, "a"), lend(table, 2, "b")
    assert table.give_back("a", [1, 1, 2, 99]) == [mine]
    assert table.held_by("b") == [theirs]
    assert table.returned == 1


def test_a_worker_that_leaves_gives_back_everything(table: LeaseTable) -> None:
    leases = table.lend([1, 2, 3], "a")
    table.lend([4], "b")
    assert table.give_back("a") == leases
    assert table.holders() == {"b": 1}
    table.give_back("b")
    assert table.returned == 4


def test_a_worker_that_comes_back_gets_the_whole_time_again(table: LeaseTable, clock: Clock) -> None:
    lease, other = lend(table, 7, "a"), lend(table, 8, "b")
    clock.now += LEASE_S / 2
    assert table.renew(7, lease.attempt, "a")
    clock.now += LEASE_S / 2
    assert table.expire() == [other]
    clock.now += LEASE_S / 2
    assert [gone.ticket for gone in table.expire()] == [7]


def test_a_lease_that_ran_out_is_renewed_if_it_was_not_lent_again(table: LeaseTable, clock: Clock) -> None:
    lease = lend(table, 7, "a")
    clock.now += LEASE_S
    table.expire()
    assert table.renew(7, lease.attempt, "a")
    assert table.is_lent(7)


def test_a_lease_that_was_lent_again_is_not_renewed(table: LeaseTable, clock: Clock) -> None:
    lease = lend(table, 7, "a")
    clock.now += LEASE_S
    table.expire()
    lend(table, 7, "b")
    assert not table.renew(7, lease.attempt, "a")


@pytest.mark.parametrize("attempt", [0, 2, 4_000, 2**32 - 1])
def test_a_lease_that_never_was_is_not_renewed(table: LeaseTable, attempt: int) -> None:
    lend(table, 7, "a")
    assert not table.renew(7, attempt, "a")
    assert not table.renew(8, attempt, "a")


def test_a_lease_of_before_a_restart_counts_and_is_renewed(clock: Clock) -> None:
    before = LeaseTable(LEASE_S, clock, [Start(1, 0)])
    told, held = before.lend([7, 8], "a")
    after = LeaseTable(LEASE_S, clock, [Start(1, 0), Start(2, 9)])
    assert after.renew(8, held.attempt, "a")
    tell(after, told)


def test_a_lease_of_before_a_restart_is_kept_beside_a_new_one_and_the_first_told_counts(clock: Clock) -> None:
    before = LeaseTable(LEASE_S, clock, [Start(1, 0)])
    first, second = before.lend([7, 8], "a")
    after = LeaseTable(LEASE_S, clock, [Start(1, 0), Start(2, 9)])
    again, other = after.lend([7, 8], "b")
    assert after.renew(7, first.attempt, "a")
    assert after.renew(8, second.attempt, "a")
    assert (tell(after, first), after.close_twin(7, "a")) == (again, None)
    assert after.held_by("a") == [second]
    assert (tell(after, other), after.close_twin(8, "b")) == (None, second)
    assert after.holders() == {}


def test_work_that_two_hold_after_a_restart_waits_only_when_both_have_lost_it(clock: Clock) -> None:
    (before,) = LeaseTable(LEASE_S, clock, [Start(1, 0)]).lend([7], "a")
    after = LeaseTable(LEASE_S, clock, [Start(1, 0), Start(2, 9)])
    again = lend(after, 7, "b")
    assert after.renew(7, before.attempt, "a")
    assert after.give_back("b") == []
    assert [gone.worker for gone in after.give_back("a")] == ["a"]
    assert lend(after, 7, "c").attempt > again.attempt


def test_a_third_worker_does_not_join_two_that_hold_work_after_a_restart(clock: Clock) -> None:
    before = LeaseTable(LEASE_S, clock, [Start(1, 0)])
    first = lend(before, 7, "a")
    after = LeaseTable(LEASE_S, clock, [Start(1, 0), Start(2, 9)])
    lend(after, 7, "b")
    assert after.renew(7, first.attempt, "a")
    assert not after.renew(7, first.attempt, "c")
    assert not after.renew(7, first.attempt, "b")


def test_a_twin_that_comes_back_gets_the_whole_time_again(table: LeaseTable, clock: Clock) -> None:
    lend(table, 7, "a")
    (twin,) = table.lend_twins(1, "b")
    clock.now += LEASE_S / 2
    assert table.renew(7, twin.attempt, "b")
    clock.now += LEASE_S / 2
    assert table.expire() == []
    assert table.held_by("b") == [twin._replace(deadline=clock.now + LEASE_S / 2)]


def test_no_attempt_is_given_again_that_a_start_before_may_have_given(clock: Clock) -> None:
    before = LeaseTable(LEASE_S, clock, [Start(1, 0)])
    first = lend(before, 7, "a")
    (second,) = before.lend_twins(1, "b")
    after = LeaseTable(LEASE_S, clock, [Start(1, 0), Start(2, 9)])
    assert after.renew(7, first.attempt, "a")
    (twin,) = after.lend_twins(1, "c")
    after.give_back("c")
    after.give_back("a")
    again = lend(after, 7, "c")
    assert second.attempt < twin.attempt < again.attempt
    tell(after, second)


def test_attempts_rise_over_a_restart(clock: Clock) -> None:
    (before,) = LeaseTable(LEASE_S, clock, [Start(1, 0)]).lend([7], "a")
    (after,) = LeaseTable(LEASE_S, clock, [Start(1, 0), Start(2, 9)]).lend([7], "b")
    assert after.attempt > before.attempt


def test_a_lease_of_work_that_a_restart_lost_is_unknown(clock: Clock) -> None:
    """Ticket 9 was asked but not kept: its number may name another individual by now."""
    (lost,) = LeaseTable(LEASE_S, clock, [Start(1, 0)]).lend([9], "a")
    starts = [Start(1, 0), Start(2, 9), Start(3, 20)]
    for count in (2, 3):
        after = LeaseTable(LEASE_S, clock, starts[:count])
        assert not after.renew(9, lost.attempt, "a")
        with pytest.raises(UnknownLeaseError):
            after.check(9, lost.attempt, "a")


def test_a_table_that_is_closed_is_empty(table: LeaseTable) -> None:
    leases = table.lend([1, 2], "a")
    assert table.close_all() == leases
    assert len(table) == 0


class Lending(RuleBasedStateMachine):
    """Random workers in random order: work is with one worker at a time, and never lost."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.table = LeaseTable(LEASE_S, self.clock)
        self.waiting: set[int] = set()
        self.holder: dict[int, Lease] = {}
        self.told: set[int] = set()
        self.asked = 0

    @rule(count=st.integers(1, 4))
    def ask(self, count: int) -> None:
        self.waiting |= set(range(self.asked, self.asked + count))
        self.asked += count

    @rule(target=leases, worker=st.sampled_from("abc"), data=st.data())
    def lend(self, worker: str, data: st.DataObject) -> Lease:
        if not self.waiting:
            self.ask(1)
        ticket = data.draw(st.sampled_from(sorted(self.waiting)))
        (lease,) = self.table.lend([ticket], worker)
        assert lease.attempt > 0
        self.waiting.remove(ticket)
        self.holder[ticket] = lease
        return lease

    @rule(seconds=st.floats(0, 2 * LEASE_S))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.put_back(self.table.expire())
        assert all(lease.deadline > self.clock.now for lease in self.holder.values())

    @rule(lease=leases, worker=st.sampled_from("abc"))
    def tell(self, lease: Lease, worker: str) -> None:
        if lease.ticket in self.told:  # the algorithm refuses it before the table is asked
            return
        if worker != lease.worker:
            with pytest.raises(ForeignLeaseError):
                self.table.check(lease.ticket, lease.attempt, worker)
            return
        in_vain = tell(self.table, lease)
        holder = self.holder.pop(lease.ticket, None)
        self.waiting.discard(lease.ticket)
        self.told.add(lease.ticket)
        assert in_vain == (holder if holder is not None and holder.worker != worker else None)

    @rule(lease=consumes(leases))
    def come_back(self, lease: Lease) -> None:
        if lease.ticket in self.told:
            return
        holder = self.holder.get(lease.ticket)
        renewed = self.table.renew(lease.ticket, lease.attempt, lease.worker)
        if holder is not None:
            assert renewed == (holder.attempt == lease.attempt)
        if renewed:
            self.waiting.discard(lease.ticket)
            (again,) = [held for held in self.table.held_by(lease.worker) if held.ticket == lease.ticket]
            self.holder[lease.ticket] = again

    @rule(worker=st.sampled_from("abc"))
    def leave(self, worker: str) -> None:
        self.put_back(self.table.give_back(worker))

    def put_back(self, leases: list[Lease]) -> None:
        for lease in leases:
            assert self.holder.pop(lease.ticket) == lease
            self.waiting.add(lease.ticket)

    @invariant()
    def nothing_is_lost_and_nothing_is_lent_twice(self) -> None:
        held = [lease for worker in "abc" for lease in self.table.held_by(worker)]
        assert sorted(held) == sorted(self.holder.values())
        assert len(held) == len({lease.ticket for lease in held}) == len(self.table)
        assert self.waiting | set(self.holder) | self.told == set(range(self.asked))
        assert not self.waiting & set(self.holder)


TestLending = Lending.TestCase
TestLending.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_what_a_worker_holds_is_found_without_looking_at_what_others_hold() -> None:
    """Losing one of many workers costs what it holds: with a look at all leases, thousands took a minute."""
    table = LeaseTable(60.0, Clock())
    for worker in range(5_000):
        table.lend(range(worker * 8, worker * 8 + 8), f"w{worker}")
    started = time.process_time()
    for worker in range(5_000):
        assert len(table.give_back(f"w{worker}")) == 8
    assert time.process_time() - started < 2.0
    assert len(table) == 0
    assert table.holders() == {}
