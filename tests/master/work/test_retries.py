"""Work that fails is tried by others, and given up by name; work that kills its worker is found out."""

import math
from collections.abc import Collection

import pytest

from germline.algorithms.base import Result
from germline.algorithms.slices import SliceAsk
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

    def lend(self, worker: str, n: int, crew: tuple[str, ...] = CREW) -> list[Work]:
        return self.pending.lend(worker, n, (), crew)

    def tickets(self, worker: str, n: int, crew: tuple[str, ...] = CREW) -> list[int]:
        return [work.ask.ticket for work in self.lend(worker, n, crew)]

    def trial(self, worker: str, slots: int, crew: tuple[str, ...] = CREW) -> list[int]:
        """The tickets that a worker of so many slots gets alone."""
        return [work.ask.ticket for work in self.pending.lend_trial(worker, slots, crew)]

    def tell(self, worker: str, *tickets: int) -> None:
        for ticket in tickets:
            assert self.pending.leases.is_with(ticket, worker)
            self.pending.settle(ticket)
            self.pending.close(ticket, worker)

    def fail(self, work: Work, reason: str = "it broke") -> bool:
        """Say that this attempt failed; whether it was the last."""
        result = Result(work.ask.ticket, (), 0, 0, failure=reason)
        with pytest.raises(UnscoredError, match=reason):
            self.pending.check(work.lease.worker, work.lease.attempt, result)
        return self.pending.fail(work.lease.worker, work.lease.attempt, result, reason)

    def lose(self, worker: str, tickets: Collection[int] | None = None) -> list[int]:
        """A worker is gone with all that it holds; what is not tried again."""
        held = self.pending.tickets_of(worker)
        lost = held if tickets is None else held.intersection(tickets)
        given_up = self.pending.lose(worker, "it is gone", lost, len(lost))
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
    desk, poison, deaths = Desk(64), 41, 0
    crew = tuple(f"w{number}" for number in range(40))
    workers = iter(crew)
    desk.lend(worker := next(workers), 64, crew)
    given_up: list[int] = []
    while not given_up:
        held = desk.pending.tickets_of(worker)
        if poison in held:
            deaths += 1
            given_up = desk.lose(worker)
        desk.tell(worker, *desk.pending.tickets_of(worker))
        if not given_up:
            worker = next(workers)
            desk.trial(worker, 64, crew)
    assert given_up == [poison]
    assert deaths == 4  # with 64, 64, 8 and 1
    while desk.pending.waiting:
        desk.tell(worker := next(workers), *desk.trial(worker, 64, crew))
    assert list(desk.pending.retries.failed) == [poison]


def test_what_a_worker_was_lost_with_is_tried_by_others_that_hold_nothing_else() -> None:
    desk = Desk(8)
    desk.lend("a", 8)
    assert desk.lose("a") == []
    assert desk.lend("b", 8) == []
    assert desk.pending.waiting == 8
    assert desk.pending.retries.wants_trial("b", CREW)
    assert not desk.pending.retries.wants_trial("a", CREW)
    assert desk.trial("a", 8) == []
    assert desk.trial("b", 5) == [0, 1, 2, 3, 4]
    assert desk.pending.is_on_trial("b")
    desk.tell("b", 0, 1, 2, 3)
    assert desk.pending.is_on_trial("b")
    desk.tell("b", 4)
    assert not desk.pending.is_on_trial("b")
    assert desk.pending.retries.has_trials
    assert desk.trial("c", 5) == [5, 6, 7]
    desk.tell("c", 5, 6, 7)
    assert not desk.pending.is_on_trial("c")
    assert not desk.pending.retries.has_trials


def test_a_trial_is_an_eighth_of_the_one_before_that_ended_its_worker() -> None:
    desk = Desk(64)
    crew = ("a", "b", "c", "d", "e", "f")
    desk.lend("a", 64, crew)
    desk.lose("a")
    assert len(desk.trial("b", 64, crew)) == 64
    desk.lose("b")
    assert desk.trial("c", 64, crew) == list(range(8))
    desk.lose("c")
    assert desk.trial("d", 64, crew) == list(range(8, 16))  # lost as often as each other
    desk.tell("d", *range(8, 16))
    assert len(desk.trial("e", 1, crew)) == 1


def test_what_is_alone_with_a_lost_worker_is_why_once_there_were_enough() -> None:
    desk = Desk(1, max_attempts=2)
    desk.lend("a", 1)
    assert desk.lose("a") == []
    assert desk.trial("b", 1) == [0]
    assert desk.lose("b") == [0]
    assert [failure.lost_with for failure in desk.pending.retries.failures(0)] == [1, 1]


def test_no_single_loss_with_much_work_gives_any_of_it_up() -> None:
    desk = Desk(3, max_attempts=1)
    desk.lend("a", 3)
    assert desk.lose("a") == []
    assert desk.trial("b", 1) == [0]
    assert desk.lose("b") == [0]


def test_a_worker_that_comes_back_was_not_lost() -> None:
    desk = Desk(2)
    work, _ = desk.lend("a", 2)
    assert desk.lose("a") == []
    assert desk.pending.renew("a", 0, work.lease.attempt)
    assert list(desk.pending.retries.failed) == [1]
    assert desk.trial("b", 4) == [1]


def test_a_worker_that_comes_back_to_say_that_it_failed_was_not_lost_beside() -> None:
    desk = Desk(1)
    (work,) = desk.lend("a", 1)
    desk.lose("a")
    assert not desk.fail(work)
    (failure,) = desk.pending.retries.failures(0)
    assert failure.lost_with == 0


def test_only_what_was_being_played_is_blamed() -> None:
    desk = Desk(3)
    desk.lend("a", 3)
    desk.lose("a", [1])
    assert list(desk.pending.retries.failed) == [1]
    assert desk.tickets("a", 3) == [0, 2]
    assert desk.trial("b", 3) == [1]


def test_a_trial_whose_worker_leaves_in_peace_is_for_others() -> None:
    desk = Desk(2)
    desk.lend("a", 2)
    desk.lose("a")
    assert desk.trial("b", 2) == [0, 1]
    desk.pending.give_back("b")
    assert desk.pending.retries.wants_trial("b", CREW)
    assert desk.trial("c", 2) == [0, 1]
