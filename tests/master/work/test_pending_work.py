"""Work is followed from its ask until it is told: it waits or it is lent; what cannot be is said by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest

from germline.algorithms.base import Ask, Purpose, Result
from germline.genome import Genome, Mutation
from master.errors import Refusal, RefusedResultError, UnscoredError
from master.work.leases import Start
from master.work.pending_work import PendingWork, Work

LEASE_S = 10.0
PARENTS = [Genome.founder(seed) for seed in range(2)]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pending(clock: Clock) -> PendingWork:
    return PendingWork(LEASE_S, clock, [Start(1, 0)])


def ask(ticket: int, parent: Genome = PARENTS[0]) -> Ask:
    """A child of one of the parents, to play twice."""
    return Ask(ticket, parent.child(Mutation(ticket, 0.5)), Purpose.EXPLORE, (1, 2), parent.id)


def result(ticket: int, *returns: float) -> Result:
    return Result(ticket, returns or (1.0, 2.0), 8, 2)


def tickets(work: list[Work]) -> list[int]:
    return [piece.lease.ticket for piece in work]


def refused(check: Callable[[], object]) -> tuple[Refusal, str]:
    with pytest.raises(RefusedResultError) as refusal:
        check()
    return refusal.value.code, str(refusal.value)


def test_what_was_asked_waits_and_is_lent_with_its_lease(pending: PendingWork) -> None:
    asks = [ask(0), ask(1), ask(2)]
    pending.add(asks)
    pending.add([])
    assert (pending.waiting, pending.next_ticket) == (3, 3)
    work = pending.lend("a", 2, ())
    assert [piece.ask for piece in work] == asks[:2]
    assert [(piece.lease.ticket, piece.lease.worker) for piece in work] == [(0, "a"), (1, "a")]
    assert (pending.waiting, pending.tickets_of("a"), pending.tickets_of("b")) == (1, {0, 1}, set())


def test_children_of_a_parent_that_the_worker_knows_are_lent_first(pending: PendingWork) -> None:
    pending.add([ask(0, PARENTS[0]), ask(1, PARENTS[1])])
    assert tickets(pending.lend("a", 1, {PARENTS[1].id})) == [1]


def test_a_twin_is_the_same_work_with_a_lease_of_its_own(pending: PendingWork) -> None:
    pending.add([ask(0), ask(1)])
    first, second = pending.lend("a", 2, ())
    assert pending.lend_twins("a", 2) == []
    (twin,) = pending.lend_twins("b", 1)
    assert twin.ask == first.ask
    assert (twin.lease.worker, twin.lease.attempt) == ("b", first.lease.attempt + 1)
    (other,) = pending.lend_twins("b", 9)
    assert other.ask == second.ask


def test_work_that_a_worker_gives_back_waits_again_and_goes_first(pending: PendingWork) -> None:
    pending.add([ask(0), ask(1), ask(2), ask(3)])
    pending.lend("a", 3, ())
    assert pending.give_back("a", [1, 3]) == 1
    assert pending.waiting == 2
    assert tickets(pending.lend("b", 1, ())) == [1]
    assert pending.give_back("a") == 2
    assert pending.give_back("a") == 0
    assert tickets(pending.lend("b", 9, ())) == [0, 2, 3]


def test_work_whose_lease_ran_out_waits_again(pending: PendingWork, clock: Clock) -> None:
    pending.add([ask(0), ask(1)])
    pending.lend("a", 2, ())
    assert pending.expire() == 0
    clock.now += LEASE_S
    assert (pending.expire(), pending.waiting) == (2, 2)


def test_a_worker_that_comes_back_in_time_keeps_its_work_and_nobody_else_gets_it(
    pending: PendingWork, clock: Clock
) -> None:
    pending.add([ask(0)])
    (work,) = pending.lend("a", 1, ())
    clock.now += LEASE_S
    pending.expire()
    assert not pending.renew("b", 0, work.lease.attempt)
    assert pending.waiting == 1
    assert pending.renew("a", 0, work.lease.attempt)
    assert (pending.waiting, pending.lend("b", 1, ())) == (0, [])


def test_work_that_was_told_is_nobodys_to_keep(pending: PendingWork) -> None:
    pending.add([ask(0)])
    (work,) = pending.lend("a", 1, ())
    pending.close(0, "a")
    assert pending.settle(0) == work.ask
    assert not pending.renew("a", 0, work.lease.attempt)


def test_a_result_names_the_work_that_it_is_of(pending: PendingWork) -> None:
    pending.add([ask(0), ask(1)])
    _, work = pending.lend("a", 2, ())
    assert pending.check("a", work.lease.attempt, result(1)) == work.ask


def test_a_result_of_work_that_awaits_none_is_refused_by_name(pending: PendingWork) -> None:
    pending.add([ask(0), ask(1)])
    (work, _) = pending.lend("a", 2, ())
    attempt = work.lease.attempt
    assert refused(lambda: pending.check("a", attempt, result(2))) == (
        Refusal.UNKNOWN,
        "lease.ticket is 2; it was never lent",
    )
    code, sentence = refused(lambda: pending.check("b", attempt, result(0)))
    assert (code, sentence.endswith("was lent to a, not to b")) == (Refusal.FOREIGN, True)
    code, sentence = refused(lambda: pending.check("a", attempt + 1, result(0)))
    assert (code, sentence.endswith("was never lent, or lost in a restart")) == (Refusal.UNKNOWN, True)
    pending.close(0, "a")
    pending.settle(0)
    assert refused(lambda: pending.check("a", attempt, result(0))) == (
        Refusal.ALREADY_TOLD,
        "ticket 0 was told before, or set aside; it counts once",
    )


@pytest.mark.parametrize(
    ("returns", "code", "says"),
    [
        ((1.0,), Refusal.WRONG_LENGTH, "returns has 1 values; the lease has 2 episode seeds"),
        (
            (math.nan, 1.0),
            Refusal.NOT_FINITE,
            "returns[0] is nan; every return must be finite",
        ),
        (
            (1e308, 1e308),
            Refusal.OUT_OF_RANGE,
            "returns[0] is 1e+308; allowed: -1e+30 to 1e+30",
        ),
    ],
)
def test_a_result_that_cannot_be_is_refused_and_changes_nothing(
    pending: PendingWork, returns: tuple[float, ...], code: Refusal, says: str
) -> None:
    pending.add([ask(0)])
    (work,) = pending.lend("a", 1, ())
    told = partial(pending.check, "a", work.lease.attempt, result(0, *returns))
    assert refused(told) == (code, says)
    assert pending.tickets_of("a") == {0}


def test_a_worker_that_says_it_could_not_score_work_is_taken_at_its_word(pending: PendingWork) -> None:
    pending.add([ask(0)])
    (work,) = pending.lend("a", 1, ())
    failed = Result(0, (), 0, 0, "RuntimeError: no")
    with pytest.raises(UnscoredError, match=r"^RuntimeError: no$") as unscored:
        pending.check("a", work.lease.attempt, failed)
    assert unscored.value.code is Refusal.FAILED


def test_what_a_failed_attempt_brought_is_remembered_until_the_work_is_told(pending: PendingWork) -> None:
    pending.add([ask(0)])
    (work,) = pending.lend("a", 1, ())
    assert not pending.fail("a", work.lease.attempt, result(0, 1.0, math.nan), "no number")
    (failure,) = pending.retries.failures(0)
    assert (failure.worker, failure.reason, failure.returns[0]) == ("a", "no number", 1.0)
    (again,) = pending.lend("b", 1, ())
    pending.check("b", again.lease.attempt, result(0))
    pending.close(0, "b")
    assert pending.retries.failures(0) == []


def test_no_more_is_lent_than_there_is_room_for_whatever_failed_before(pending: PendingWork) -> None:
    pending.add([ask(ticket) for ticket in range(5)])
    (work,) = pending.lend("a", 1, ())
    pending.fail("a", work.lease.attempt, result(0, math.nan), "no number")
    assert tickets(pending.lend("b", 3, ())) == [0, 1, 2]


def test_three_failed_attempts_are_enough(pending: PendingWork) -> None:
    pending.add([ask(0)])
    hopeless = []
    for worker in "abc":
        (work,) = pending.lend(worker, 1, ())
        hopeless.append(pending.fail(worker, work.lease.attempt, result(0, math.nan), "no number"))
    assert hopeless == [False, False, True]
    assert pending.waiting == 0


def test_work_that_failed_late_waits_for_others_only(pending: PendingWork, clock: Clock) -> None:
    pending.add([ask(0)])
    (work,) = pending.lend("a", 1, ())
    clock.now += LEASE_S
    pending.expire()
    assert not pending.fail("a", work.lease.attempt, result(0, math.nan), "no number")
    assert (pending.waiting, pending.waiting_for_any) == (1, 0)


def test_whoever_plays_in_vain_is_told_so(pending: PendingWork) -> None:
    pending.add([ask(0), ask(1)])
    held = pending.lend("a", 2, ())
    (twin,) = pending.lend_twins("b", 1)
    pending.close(0, "b")
    pending.close(1, "a")
    assert pending.revoked == [held[0].lease]
    pending.revoked.clear()
    pending.add([ask(2)])
    pending.lend("a", 1, ())
    (twin,) = pending.lend_twins("b", 1)
    pending.close(2, "a")
    assert pending.revoked == [twin.lease]


def test_work_that_is_told_late_is_not_lent_again(pending: PendingWork, clock: Clock) -> None:
    pending.add([ask(0)])
    (work,) = pending.lend("a", 1, ())
    clock.now += LEASE_S
    pending.expire()
    pending.check("a", work.lease.attempt, result(0))
    pending.close(0, "a")
    assert (pending.waiting, pending.revoked) == (0, [])


def test_a_worker_without_credit_loses_its_work_and_nothing_it_tells_of_it_counts(
    pending: PendingWork,
) -> None:
    pending.add([ask(0), ask(1)])
    work, _ = pending.lend("a", 1, ()) + pending.lend("b", 1, ())
    pending.void("a")
    assert (pending.revoked, pending.waiting) == ([work.lease], 1)
    code, sentence = refused(lambda: pending.check("a", work.lease.attempt, result(0)))
    assert (code, "is void" in sentence) == (Refusal.UNKNOWN, True)
    assert pending.tickets_of("b") == {1}
    other = pending.revoked[:]
    pending.void("b")
    assert [lease.ticket for lease in pending.revoked] == [other[0].ticket, 1]


def test_what_nobody_wants_any_more_is_revoked_and_counts_no_more(pending: PendingWork) -> None:
    pending.add([ask(0), ask(1)])
    (work,) = pending.lend("a", 1, ())
    pending.void("a")
    (again,) = pending.lend("b", 1, ())
    pending.close_all()
    revoked = [work.lease, again.lease]
    assert (pending.revoked, pending.waiting, pending.lend("a", 9, ())) == (revoked, 0, [])
    assert refused(lambda: pending.check("a", work.lease.attempt, result(0)))[0] is Refusal.ALREADY_TOLD


def test_a_result_that_is_taken_back_is_wanted_again(pending: PendingWork) -> None:
    pending.add([ask(0)])
    (work,) = pending.lend("a", 1, ())
    pending.close(0, "a")
    pending.settle(0)
    pending.reopen([work.ask])
    (again,) = pending.lend("b", 1, ())
    assert again.ask == work.ask
    assert again.lease.attempt > work.lease.attempt
    assert pending.check("b", again.lease.attempt, result(0)) == work.ask


def test_only_what_is_expected_is_wanted_and_tickets_are_counted_all_the_same(pending: PendingWork) -> None:
    for ticket in (4, 2):
        pending.expect(ask(ticket))
    assert pending.next_ticket == 5
    pending.expect_only([ask(2)])
    assert refused(lambda: pending.check("a", 1, result(4)))[0] is Refusal.ALREADY_TOLD
    assert pending.settle(2) == ask(2)


def restarted(clock: Clock, boot: int, snapshot: PendingWork, *asks: Ask) -> PendingWork:
    """What the next start of the master makes of a snapshot, through its plain values."""
    after = PendingWork(LEASE_S, clock, [Start(boot, 0)])
    after.restore(snapshot.snapshot(), asks)
    return after


def test_after_a_restart_all_that_is_pending_waits_in_the_order_of_its_tickets(
    pending: PendingWork, clock: Clock
) -> None:
    pending.add([ask(ticket) for ticket in range(4)])
    pending.lend("a", 4, ())
    assert pending.snapshot() == {"next_ticket": 4, "starts": [[1, 0]]}
    after = restarted(clock, 2, pending, ask(3), ask(1))
    assert after.waiting == 0
    after.revive()
    assert (after.waiting, after.next_ticket) == (2, 4)
    assert after.snapshot() == {"next_ticket": 4, "starts": [[1, 0], [2, 4]]}
    assert tickets(after.lend("b", 9, ())) == [1, 3]


def test_a_lease_of_an_earlier_start_counts_unless_its_worker_was_distrusted(
    pending: PendingWork, clock: Clock
) -> None:
    pending.add([ask(0), ask(1)])
    (of_a,), (of_b,) = pending.lend("a", 1, ()), pending.lend("b", 1, ())
    after = restarted(clock, 2, pending, ask(0), ask(1))
    after.distrust("a")
    after.revive()
    assert refused(lambda: after.check("a", of_a.lease.attempt, result(0)))[0] is Refusal.UNKNOWN
    assert after.check("b", of_b.lease.attempt, result(1)) == ask(1)
    assert not after.renew("a", 0, of_a.lease.attempt)
    assert after.renew("b", 1, of_b.lease.attempt)


def test_starts_that_no_snapshot_told_of_are_stood_in_for_by_one(pending: PendingWork, clock: Clock) -> None:
    pending.add([ask(0)])
    for boot, starts in ((2, [[1, 0], [2, 1]]), (3, [[1, 0], [2, 1], [3, 1]]), (9, [[1, 0], [8, 1], [9, 1]])):
        after = restarted(clock, boot, pending, ask(0))
        after.revive()
        assert after.snapshot()["starts"] == starts


def test_of_starts_before_any_snapshot_no_lease_counts(clock: Clock) -> None:
    first = PendingWork(LEASE_S, clock, [Start(1, 0)])
    first.add([ask(0)])
    (work,) = first.lend("a", 1, ())
    third = PendingWork(LEASE_S, clock, [Start(3, 0)])
    third.expect(ask(0))
    third.revive()
    second = PendingWork(LEASE_S, clock, [Start(2, 0)])
    second.revive()
    assert second.snapshot()["starts"] == [[1, 0], [2, 0]]
    assert third.snapshot() == {"next_ticket": 1, "starts": [[2, 0], [3, 1]]}
    assert not third.renew("a", 0, work.lease.attempt)


def test_the_first_start_of_a_master_stands_in_for_nobody(clock: Clock) -> None:
    first = PendingWork(LEASE_S, clock, [Start(1, 0)])
    first.revive()
    assert first.snapshot() == {"next_ticket": 0, "starts": [[1, 0]]}
