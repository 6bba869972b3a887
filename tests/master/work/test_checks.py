"""What is played again: chosen by seed and ticket, by another worker, until it is known who is right."""

import math

import pytest

from germline.algorithms.base import Ask, Purpose, Result
from germline.genome import Genome
from master.errors import Refusal, RefusedResultError, UnscoredError
from master.work.checks import CHECK, MOST_OPEN, Checks
from master.work.leases import LeaseTable, Start
from master.work.pending_work import Work
from master.work.statements import Outcome, Statement

SEEDS = (3, 4)
LEASE_S = 100.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """Checks of one experiment, and workers that say what the test wants."""

    def __init__(self, *, differences_prove: bool = True, share: float = 0.01, seed: int = 7) -> None:
        self.clock = Clock()
        leases = LeaseTable(LEASE_S, self.clock, [Start(1, 0)])
        self.checks = Checks(share, seed, leases, differences_prove=differences_prove)

    def begin(self, ticket: int = 5, worker: str = "a", value: float = 1.0) -> None:
        ask = Ask(ticket, Genome.founder(ticket), Purpose.EXPLORE, SEEDS)
        self.checks.begin(ask, Statement(worker, None, (value, value)))

    def lend(self, worker: str, n: int = 1) -> list[Work]:
        return self.checks.lend(worker, n)

    def tell(self, worker: str, work: Work, *returns: float, failure: str = "") -> None:
        result = Result(work.ask.ticket, returns, 400, 100, failure)
        self.checks.tell(worker, None, work.lease.attempt, result)

    def play(self, worker: str, value: float) -> None:
        (work,) = self.lend(worker)
        self.tell(worker, work, value, value)

    @property
    def outcomes(self) -> list[Outcome]:
        return [verdict.judgement.outcome for verdict in self.checks.verdicts]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_the_share_of_results_is_the_one_that_was_set(share: float) -> None:
    chosen = sum(map(Desk(share=share).checks.chooses, range(100_000)))
    assert abs(chosen - 100_000 * share) <= 100 * math.sqrt(share * (1 - share))


def test_what_is_checked_is_decided_by_the_experiments_seed_and_the_ticket() -> None:
    one, again, other = (set(filter(Desk(seed=seed).checks.chooses, range(10_000))) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_a_check_is_an_ordinary_lease_of_the_same_episodes_with_the_top_bit_set(desk: Desk) -> None:
    desk.begin(ticket=5)
    (work,) = desk.lend("b")
    assert work.ask == Ask(5 | CHECK, Genome.founder(5), Purpose.EXPLORE, SEEDS)
    assert work.lease[:3] == (5 | CHECK, 4_097, "b")


def test_nobody_checks_what_it_told(desk: Desk) -> None:
    desk.begin(worker="a")
    assert desk.lend("a") == []
    assert len(desk.lend("b")) == 1
    assert desk.lend("c") == []  # b has it


def test_two_that_agree_end_it_and_its_frames_are_counted(desk: Desk) -> None:
    desk.begin(value=1.0)
    desk.play("b", 1.0)
    (verdict,) = desk.checks.verdicts
    assert (verdict.ask.ticket, verdict.judgement.outcome, verdict.judgement.wrong) == (5, Outcome.AGREED, ())
    assert (len(desk.checks), desk.checks.frames) == (0, 400)


def test_a_third_worker_decides_who_is_wrong(desk: Desk) -> None:
    desk.begin(worker="a", value=1.0)
    desk.play("b", 2.0)
    assert (desk.checks.verdicts, desk.checks.disputed) == ([], 1)
    assert desk.lend("a") == desk.lend("b") == []
    desk.play("c", 2.0)
    (verdict,) = desk.checks.verdicts
    assert verdict.judgement.wrong == ("a",)
    assert [told.worker for told in verdict.told] == ["a", "b", "c"]


def test_a_dispute_is_decided_before_others_are_looked_at(desk: Desk) -> None:
    desk.begin(1)
    desk.play("b", 2.0)
    desk.begin(2)
    desk.begin(3)
    assert [work.ask.ticket for work in desk.lend("c", 2)] == [1 | CHECK, 2 | CHECK]


def test_where_a_difference_proves_nothing_no_third_worker_is_asked() -> None:
    desk = Desk(differences_prove=False)
    desk.begin(value=1.0)
    desk.play("b", 2.0)
    assert (desk.outcomes, len(desk.checks)) == ([Outcome.DIFFERED], 0)


def test_a_check_whose_worker_leaves_goes_on_with_another(desk: Desk) -> None:
    desk.begin()
    desk.lend("b")
    assert desk.checks.give_back("b") == 1
    desk.play("c", 1.0)
    assert desk.outcomes == [Outcome.AGREED]


def test_a_check_whose_lease_runs_out_goes_to_another_and_counts_once(desk: Desk) -> None:
    desk.begin()
    (late,) = desk.lend("b")
    desk.clock.now += LEASE_S
    assert desk.checks.expire() == 1
    (work,) = desk.lend("c")
    desk.tell("b", late, 1.0, 1.0)
    assert [lease.worker for lease in desk.checks.revoked] == ["c"]
    with pytest.raises(RefusedResultError, match="the check of ticket 5 is over") as refused:
        desk.tell("c", work, 1.0, 1.0)
    assert refused.value.code is Refusal.ALREADY_TOLD
    assert desk.outcomes == [Outcome.AGREED]


def test_nobody_testifies_twice(desk: Desk) -> None:
    desk.begin(value=1.0)
    (work,) = desk.lend("b")
    desk.tell("b", work, 2.0, 2.0)
    with pytest.raises(RefusedResultError, match="told before"):
        desk.tell("b", work, 2.0, 2.0)
    assert desk.checks.verdicts == []


def test_a_lease_of_another_worker_is_refused(desk: Desk) -> None:
    desk.begin()
    (work,) = desk.lend("b")
    with pytest.raises(RefusedResultError, match="was lent to b, not to c"):
        desk.tell("c", work, 1.0, 1.0)


def test_what_one_worker_cannot_score_another_tries(desk: Desk) -> None:
    desk.begin()
    (work,) = desk.lend("b")
    with pytest.raises(UnscoredError):
        desk.tell("b", work, math.nan, 1.0)
    assert desk.lend("b") == []
    desk.play("c", 1.0)
    assert desk.outcomes == [Outcome.AGREED]


def test_what_too_many_workers_were_lost_with_is_given_up(desk: Desk) -> None:
    desk.begin()
    for name in "bcdefg":
        assert desk.outcomes == []
        desk.lend(name)
        desk.checks.give_back(name)
    assert desk.outcomes == [Outcome.UNFINISHED]


def test_the_oldest_that_nobody_plays_makes_room(desk: Desk) -> None:
    for ticket in range(MOST_OPEN + 3):
        desk.begin(ticket)
    assert [verdict.ask.ticket for verdict in desk.checks.verdicts] == [0, 1, 2]
    assert (len(desk.checks), desk.checks.waiting) == (MOST_OPEN, MOST_OPEN)


def test_when_all_are_being_played_a_new_one_is_not_begun(desk: Desk) -> None:
    for ticket in range(MOST_OPEN):
        desk.begin(ticket)
    desk.lend("b", MOST_OPEN)
    desk.begin(MOST_OPEN)
    assert (len(desk.checks), desk.checks.waiting, desk.outcomes) == (MOST_OPEN, 0, [])


def test_the_word_of_a_worker_that_was_proven_wrong_counts_for_nothing(desk: Desk) -> None:
    desk.begin(1, "a")
    desk.begin(2, "b", value=1.0)
    desk.begin(3, "b")
    second, third = desk.lend("a", 2)
    desk.tell("a", second, 2.0, 2.0)
    desk.checks.void("a")
    assert [verdict.ask.ticket for verdict in desk.checks.verdicts] == [1]  # which it had told
    assert desk.checks.disputed == 0
    with pytest.raises(RefusedResultError, match="is void: a was proven wrong"):
        desk.tell("a", third, 1.0, 1.0)
    assert {work.ask.ticket for work in desk.lend("c", 9)} == {2 | CHECK, 3 | CHECK}


def test_a_worker_that_comes_back_keeps_its_check(desk: Desk) -> None:
    desk.begin()
    (work,) = desk.lend("b")
    assert desk.checks.renew("b", work.ask.ticket, work.lease.attempt)
    desk.checks.give_back("b")
    assert desk.checks.renew("b", work.ask.ticket, work.lease.attempt)
    assert desk.checks.waiting == 0


def test_a_check_from_before_a_restart_of_the_master_is_not_kept(desk: Desk) -> None:
    desk.begin()
    assert not desk.checks.renew("b", 5 | CHECK, 1)
    assert not desk.checks.renew("b", 6 | CHECK, 4_097)


def test_at_the_end_nobody_needs_them_any_more(desk: Desk) -> None:
    desk.begin(1)
    desk.begin(2)
    desk.lend("b")
    desk.checks.close_all()
    assert (len(desk.checks), len(desk.checks.leases), len(desk.checks.revoked)) == (0, 0, 1)
    assert desk.outcomes == [Outcome.UNFINISHED] * 2
