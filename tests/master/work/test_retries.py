"""Work that fails is tried by others, and given up by name; work that kills its worker is found out."""

import math
from collections.abc import Collection

import pytest

from germline.algorithms.base import Result
from germline.algorithms.eggroll import SliceAsk
from master.errors import UnscoredError
from master.work.leases import Start
from master.work.pending_work import PendingWork, Work

CREW = ("a", "b", "c")
NAN = math.nan


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """Pending work of one-pair slices, and workers that say what the test wants."""

    def __init__(self, pieces: int, max_attempts: int = 3) -> None:
        self.clock = Clock()
        self.pending = PendingWork(100.0, self.clock, [Start(1, 0)], max_attempts)
        self.pending.add([SliceAsk(ticket, 0, ticket, 1, (0,)) for ticket in range(pieces)])

    def lend(self, worker: str, n: int, crew: tuple[str, ...] = CREW, trials: int = 1) -> list[Work]:
        return self.pending.lend(worker, n, (), crew, trials)

    def tickets(self, worker: str, n: int, crew: tuple[str, ...] = CREW, trials: int = 1) -> list[int]:
        return [work.ask.ticket for work in self.lend(worker, n, crew, trials)]

    def fail(self, work: Work, reason: str = "it broke") -> bool:
        """Say that this attempt failed; whether it was the last."""
        result = Result(work.ask.ticket, (), 0, 0, failure=reason)
        with pytest.raises(UnscoredError, match=reason):
            self.pending.check(work.lease.worker, work.lease.attempt, result)
        return self.pending.fail(work.lease.worker, work.lease.attempt, result, reason)

    def lose(self, worker: str, tickets: Collection[int] | None = None) -> list[int]:
        """A worker is gone with all that it holds; what is not tried again."""
        suspects = self.pending.suspects(worker, tickets).tickets
        given_up = self.pending.lose(worker, "it is gone", suspects, len(suspects))
        self.pending.give_back(worker)
        return given_up


def test_work_that_failed_goes_to_workers_that_did_not_try_it() -> None:
    desk = Desk(1)
    (work,) = desk.lend("a", 5)
    assert not desk.fail(work)
    assert desk.lend("a", 5) == []
    (work,) = desk.lend("b", 5)
    assert not desk.fail(work)
    assert desk.lend("b", 5) == []
    assert desk.lend("a", 5) == []
    (work,) = desk.lend("c", 5)
    assert desk.fail(work, "it broke on c")
    assert [each.worker for each in desk.pending.retries.failures(0)] == ["a", "b", "c"]
    assert desk.pending.retries.failures(0)[-1].reason == "it broke on c"


def test_a_lone_worker_tries_again_until_it_is_enough() -> None:
    desk = Desk(1, max_attempts=2)
    (work,) = desk.lend("a", 5, crew=("a",))
    assert not desk.fail(work)
    (again,) = desk.lend("a", 5, crew=("a",))
    assert again.lease.attempt > work.lease.attempt
    assert desk.fail(again)


def test_a_failure_that_is_told_twice_is_one_attempt() -> None:
    desk = Desk(1)
    (work,) = desk.lend("a", 1)
    assert not desk.fail(work)
    (other,) = desk.lend("b", 1)
    for _ in range(5):
        assert not desk.fail(work)
    assert desk.pending.leases.is_with(0, "b")
    desk.pending.check("b", other.lease.attempt, Result(0, (1.0, 2.0), 0, 0))


def test_a_late_failure_takes_nothing_from_the_worker_that_has_the_work_now() -> None:
    desk = Desk(1, max_attempts=1)
    (late,) = desk.lend("a", 1)
    desk.clock.now += 101
    assert desk.pending.expire() == 1
    (work,) = desk.lend("b", 1)
    assert not desk.fail(late)
    assert desk.pending.leases.is_with(0, "b")
    assert desk.fail(work)


def test_work_that_failed_and_comes_back_from_its_next_worker_is_still_not_for_the_first() -> None:
    desk = Desk(1)
    (work,) = desk.lend("a", 1)
    desk.fail(work)
    desk.lend("b", 1)
    assert desk.pending.give_back("b") == 1
    assert desk.lend("a", 1) == []
    assert desk.tickets("c", 1) == [0]


def test_work_that_failed_is_lent_to_nobody_a_second_time() -> None:
    desk = Desk(2)
    failed, _ = desk.lend("a", 2)
    desk.fail(failed)
    desk.lend("b", 1)
    assert [twin.ask.ticket for twin in desk.pending.lend_twins("c", 5)] == [1]


def test_work_that_kills_its_worker_is_found_out_among_others_and_they_are_not_blamed() -> None:
    desk, killed, poison = Desk(16), 0, 11
    crew = tuple(f"w{number}" for number in range(9))
    for worker in crew:
        held = desk.lend(worker, 16, crew, trials=4)
        while held and poison not in [work.ask.ticket for work in held]:
            for work in held:
                desk.pending.settle(work.ask.ticket)
                desk.pending.close(work.ask.ticket, worker)
            held = desk.lend(worker, 16, crew, trials=4)
        if poison in [work.ask.ticket for work in held]:
            killed += 1
            given_up = desk.lose(worker)
            if given_up:
                assert given_up == [poison]
                break
    assert killed == 3
    assert desk.pending.waiting == 0
    assert [len(held.reason) > 0 for held in desk.pending.retries.failures(poison)] == [True] * 3


def test_of_what_a_worker_was_lost_with_another_gets_a_few_at_a_time() -> None:
    desk = Desk(8)
    desk.lend("a", 8)
    assert desk.lose("a") == []
    assert desk.tickets("b", 8, trials=2) == [0, 1]
    assert desk.tickets("b", 8, trials=2) == []
    assert desk.tickets("c", 8, trials=3) == [2, 3, 4]
    desk.pending.settle(0)
    desk.pending.close(0, "b")
    assert desk.tickets("b", 8, trials=2) == [5]


def test_what_two_workers_were_lost_with_is_tried_alone() -> None:
    desk = Desk(4)
    desk.lend("a", 4)
    desk.lose("a")
    assert desk.tickets("b", 4, trials=2) == [0, 1]
    desk.lose("b")
    assert desk.tickets("c", 4, trials=4) == [2, 3, 0]


def test_a_worker_that_is_lost_with_a_suspect_and_fresh_work_blames_the_suspect() -> None:
    desk = Desk(1)
    desk.lend("a", 1)
    desk.lose("a")
    desk.pending.add([SliceAsk(ticket, 0, ticket, 1, (0,)) for ticket in range(1, 5)])
    assert desk.tickets("b", 5) == [0, 1, 2, 3, 4]
    desk.lose("b")
    assert list(desk.pending.retries.failed) == [0]
    assert desk.pending.waiting_for_any == 4


def test_a_worker_that_comes_back_was_not_lost() -> None:
    desk = Desk(1, max_attempts=1)
    (work,) = desk.lend("a", 1)
    other, *_ = CREW
    assert desk.lose("a") == [0]  # alone, and one attempt is enough
    assert desk.pending.renew("a", 0, work.lease.attempt)
    assert not desk.pending.retries.failed
    assert desk.lend(other, 1) == []


def test_no_single_loss_with_much_work_gives_any_of_it_up() -> None:
    desk = Desk(3, max_attempts=1)
    desk.lend("a", 3)
    assert desk.lose("a") == []
    assert desk.tickets("b", 3) == [0]
    assert desk.lose("b") == [0]


def test_only_what_was_being_played_is_blamed() -> None:
    desk = Desk(3)
    desk.lend("a", 3)
    desk.lose("a", [1])
    assert list(desk.pending.retries.failed) == [1]
    assert desk.tickets("a", 3) == [0, 2]
    assert desk.tickets("b", 3) == [1]
