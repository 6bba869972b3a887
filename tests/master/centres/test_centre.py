"""What the master promises about centres: digests, checkpoints, twins; without a network."""

from itertools import chain

import pytest

from germline.algorithms.slices import EpochClosed
from germline.limits import MAX_PARTS, PART_BYTES
from master.centres.agreement import Agreement
from master.centres.centre import Centre, Checkpoint
from master.experiments.events import CheckpointStored
from master.work.leases import LeaseTable


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
    return LeaseTable(10.0, clock)


def closed(epoch: int) -> EpochClosed:
    return EpochClosed(epoch, (1.0, 0.0))


def centre_after(epochs: int, checkpoint_epochs: int = 0) -> Centre:
    """A centre with which workers a and b are in step."""
    centre = Centre(checkpoint_epochs)
    for epoch in range(epochs):
        centre.announce(closed(epoch))
        for worker in "ab":
            centre.agreement.report(worker, epoch + 1, f"digest {epoch + 1}")
    return centre


# Twins


def test_a_twin_is_of_work_that_another_holds_and_is_lent_once(table: LeaseTable) -> None:
    (held,) = table.lend([7], "a")
    assert table.lend_twins(5, "a") == []
    (twin,) = table.lend_twins(5, "b")
    assert (twin.ticket, twin.worker) == (7, "b")
    assert twin.attempt > held.attempt
    assert table.lend_twins(5, "c") == []


@pytest.mark.parametrize("teller", ["a", "b"])
def test_work_that_was_lent_twice_counts_once_and_the_other_plays_in_vain(
    table: LeaseTable, teller: str
) -> None:
    leases = {"a": table.lend([7], "a")[0], "b": table.lend_twins(1, "b")[0]}
    table.check(7, leases[teller].attempt, teller)
    in_vain = [table.close(7, teller), table.close_twin(7, teller)]
    other = "b" if teller == "a" else "a"
    assert [lease for lease in in_vain if lease] == [leases[other]]
    assert table.held_by("a") == table.held_by("b") == []


def test_work_waits_again_only_when_both_of_its_holders_are_gone(table: LeaseTable) -> None:
    table.lend([7], "a")
    (twin,) = table.lend_twins(1, "b")
    assert table.give_back("a") == []
    assert table.is_lent(7)
    table.check(7, twin.attempt, "b")
    assert [lease.worker for lease in table.give_back("b")] == ["b"]
    (again,) = table.lend([7], "c")
    assert again.attempt > twin.attempt


def test_a_twin_that_runs_out_leaves_the_first_lease_as_it_is(table: LeaseTable, clock: Clock) -> None:
    table.lend([7], "a")
    (twin,) = table.lend_twins(1, "b")
    clock.now += 5.0
    table.renew(7, 1, "a")
    clock.now += 6.0
    assert table.expire() == []
    assert [lease.worker for lease in table.held_by("a")] == ["a"]
    assert table.held_by("b") == []
    table.check(7, twin.attempt, "b")  # late, it counts


def test_a_worker_that_comes_back_keeps_its_twin(table: LeaseTable) -> None:
    table.lend([7], "a")
    (twin,) = table.lend_twins(1, "b")
    assert table.renew(7, twin.attempt, "b")
    assert not table.renew(7, twin.attempt, "c")


# Digests


def test_workers_that_agree_are_left_alone() -> None:
    digests = Agreement()
    assert [digests.report(worker, 3, "x", 3) for worker in "abc"] == [[], [], []]
    assert digests.agreed(3) == "x"


def test_the_odd_one_out_starts_over_in_whatever_order_the_reports_come() -> None:
    for order in ("abc", "bac", "cba", "acb"):
        digests = Agreement()
        found = [digests.report(worker, 3, "x" if worker != "b" else "y", 3) for worker in order]
        assert list(chain.from_iterable(found)) == ["b"]
        assert digests.agreed(3) == "x"


def test_of_two_that_differ_both_start_over() -> None:
    digests = Agreement()
    digests.report("a", 3, "x", 2)
    assert digests.report("b", 3, "y", 2) == ["a", "b"]
    for worker in "ab":
        digests.start_over(worker)
        assert digests.report(worker, 0, "first", 2) == digests.report(worker, 3, "x", 2) == []
    assert digests.agreed(3) == "x"


def test_what_a_worker_said_before_it_started_over_is_passed_over() -> None:
    digests = Agreement()
    digests.report("a", 3, "x", 2)
    digests.report("b", 3, "x", 2)
    digests.start_over("b")
    assert digests.report("b", 4, "wrong", 2) == digests.report("a", 4, "x4", 2) == []
    assert digests.report("b", 0, "first", 2) == []
    assert digests.report("b", 4, "wrong", 2) == ["a", "b"]


def test_a_worker_that_breaks_off_while_it_starts_over_is_heard_when_it_is_back() -> None:
    digests = Agreement()
    digests.start_over("b")
    digests.lose("b")
    digests.report("a", 4, "x", 2)
    assert digests.report("b", 4, "wrong", 2) == ["a", "b"]


def test_a_centre_is_settled_when_every_worker_has_come_so_far_and_none_differs() -> None:
    digests = Agreement()
    assert digests.is_settled(4, [])
    digests.report("a", 4, "x", 3)
    assert not digests.is_settled(4, "ab")
    digests.report("b", 6, "z", 3)  # it began with a later checkpoint
    assert digests.is_settled(4, "ab")
    digests.report("c", 4, "y", 3)
    assert not digests.is_settled(4, "ab")


def test_a_worker_that_joins_behind_the_others_is_not_waited_for_until_it_has_caught_up() -> None:
    digests = Agreement()
    digests.report("a", 4, "x", 2)
    digests.join("late", 4)
    assert digests.is_settled(4, ["a", "late"])
    digests.report("late", 3, "w", 2)
    assert digests.is_settled(4, ["a", "late"])
    digests.report("late", 4, "x", 2)
    assert not digests.is_settled(5, ["a", "late"])
    digests.report("a", 5, "y", 2)
    assert not digests.is_settled(5, ["a", "late"])


def test_of_workers_that_all_join_behind_all_are_waited_for() -> None:
    digests = Agreement()
    for worker in "ab":
        digests.join(worker, 4)
    digests.report("a", 3, "w", 2)
    assert not digests.is_settled(3, "ab")
    digests.report("b", 3, "w", 2)
    assert digests.is_settled(3, "ab")


# Checkpoints


def test_a_checkpoint_is_wanted_every_so_many_epochs_and_of_one_worker() -> None:
    centre = centre_after(4, checkpoint_epochs=4)
    assert centre.to_ask(["a", "b"]) == [(4, "a")]
    assert centre.to_ask(["a", "b"]) == []


def test_a_checkpoint_is_asked_for_only_when_nobody_doubts_it() -> None:
    centre = centre_after(3, checkpoint_epochs=4)
    centre.announce(closed(3))
    centre.agreement.report("a", 4, "x")
    assert centre.to_ask(["a", "b"]) == []
    centre.agreement.report("b", 4, "y", 3)
    assert centre.to_ask(["a", "b"]) == []
    assert centre.agreement.report("c", 4, "x", 3) == ["b"]
    assert centre.to_ask(["a", "b"]) == []
    centre.agreement.report("b", 4, "x", 3)
    assert centre.to_ask(["a", "b"]) == [(4, "a")]


def test_a_checkpoint_that_went_with_its_worker_is_asked_of_another() -> None:
    centre = centre_after(4, checkpoint_epochs=4)
    centre.to_ask(["a", "b"])
    centre.lose("a")
    assert centre.to_ask(["b"]) == [(4, "b")]


def test_a_worker_that_has_not_the_state_is_not_asked_again() -> None:
    centre = centre_after(4, checkpoint_epochs=4)
    centre.to_ask(["a", "b"])
    assert centre.take_part("a", 4, 0, 0, b"") is None
    assert centre.to_ask(["a", "b"]) == [(4, "b")]


def test_a_wanted_centre_that_nobody_has_any_more_is_come_to_again_by_one_after_the_other() -> None:
    centre = centre_after(4)
    centre.want_best(2)
    for worker in "ab":
        assert centre.to_replay("ab") == []
        assert centre.to_ask("ab") == [(2, worker)]
        centre.take_part(worker, 2, 0, 0, b"")
    assert centre.to_ask("ab") == []
    for worker in "ab":
        assert centre.to_replay("ab") == [(2, worker)]
        assert centre.to_replay("ab") == []
        centre.take_part(worker, 2, 0, 0, b"")
    assert centre.to_replay("ab") == []
    assert not centre.wanted


def test_a_checkpoint_for_late_joiners_that_nobody_has_any_more_is_left_for_a_later_one() -> None:
    centre = centre_after(5, checkpoint_epochs=4)
    for worker in "ab":
        assert centre.to_ask("ab") == [(4, worker)]
        centre.take_part(worker, 4, 0, 0, b"")
    assert centre.to_replay("ab") == []
    assert not centre.wanted


def test_a_checkpoint_on_its_way_is_not_overtaken_by_the_next_one() -> None:
    centre = centre_after(1, checkpoint_epochs=1)
    assert centre.to_ask("ab") == [(1, "a")]
    centre.announce(closed(1))
    assert centre.take_part("a", 1, 0, 1, b"data") == b"data"


def test_without_checkpoints_the_scores_that_are_kept_do_not_grow_for_ever() -> None:
    centre = centre_after(999)
    assert not centre.wanted
    for epoch in range(999, 1_003):
        centre.announce(closed(epoch))
        for worker in "ab":
            centre.agreement.report(worker, epoch + 1, f"digest {epoch + 1}")
    assert centre.to_ask("ab") == [(1_003, "a")]
    centre.store(Checkpoint(1_003, "digest 1003", b"data"))
    assert centre.updates == []
    assert not centre.wanted


def test_few_epochs_of_many_scores_are_not_kept_for_ever_either() -> None:
    centre = Centre(0)
    centre.announce(EpochClosed(0, (0.0,) * (1 << 22)))
    assert centre.wanted == {1}


def test_a_best_centre_to_which_no_kept_scores_lead_is_given_up() -> None:
    centre = centre_after(4)
    centre.keep(CheckpointStored(3, "digest 3", 4, is_best=False))
    centre.want_best(2)
    assert centre.to_ask("a") == [(2, "a")]
    centre.take_part("a", 2, 0, 0, b"")
    assert centre.to_replay("a") == []
    assert not centre.wanted


def test_a_wanted_best_centre_is_asked_for_before_a_later_one_takes_its_scores_away() -> None:
    centre = centre_after(4, checkpoint_epochs=4)
    centre.want_best(2)
    assert centre.to_ask("ab") == [(2, "a")]
    assert centre.to_ask("ab") == []
    centre.store(Checkpoint(2, "digest 2", b"data"))
    assert centre.to_ask("ab") == [(4, "a")]


def test_the_last_centre_is_wanted_unless_it_is_here() -> None:
    centre = centre_after(6)
    centre.want_last()
    assert centre.wanted == {6}
    centre.store(Checkpoint(6, "x", b"data"))
    centre.want_last()
    assert not centre.wanted


def test_parts_become_the_whole_and_epochs_before_the_newest_checkpoint_are_forgotten() -> None:
    centre = centre_after(6, checkpoint_epochs=4)
    centre.to_ask(["a"])
    whole = bytes(PART_BYTES) + b"end"
    assert centre.take_part("a", 4, 0, 2, whole[:PART_BYTES]) is None
    assert centre.take_part("a", 4, 1, 2, whole[PART_BYTES:]) == whole
    checkpoint = Checkpoint(4, "x", whole)
    assert [checkpoint.part(n) for n in range(checkpoint.parts)] == [whole[:PART_BYTES], b"end"]
    assert not centre.store(checkpoint).is_best
    assert [update.epoch for update in centre.updates] == [4, 5]


@pytest.mark.parametrize(
    ("part", "parts", "size"),
    [(0, MAX_PARTS + 1, 1), (0, 2, PART_BYTES + 1), (1, 2, 1), (3, 2, 1), (0, 0, 0)],
    ids=["too many", "too large", "in disorder", "beyond the last", "none"],
)
def test_a_worker_whose_parts_cannot_be_is_not_asked_for_them_again(part: int, parts: int, size: int) -> None:
    centre = centre_after(4, checkpoint_epochs=4)
    assert centre.to_ask(["a", "b"]) == [(4, "a")]
    assert centre.take_part("a", 4, part, parts, bytes(size)) is None
    assert centre.to_ask(["a", "b"]) == [(4, "b")]


def test_parts_of_a_checkpoint_that_nobody_asked_this_worker_for_are_not_kept() -> None:
    centre = centre_after(4, checkpoint_epochs=4)
    assert centre.to_ask(["a", "b"]) == [(4, "a")]
    assert centre.take_part("b", 4, 0, 1, b"unasked") is None
    assert centre.take_part("a", 4, 0, 1, b"asked") == b"asked"


def test_only_the_newest_and_the_best_are_kept() -> None:
    centre = centre_after(8, checkpoint_epochs=4)
    for epoch in (2, 4, 8):
        if epoch == 2:
            centre.want_best(2)
        centre.store(Checkpoint(epoch, "x", b"data"))
    assert {kept.epoch: kept.is_best for kept in centre.kept()} == {2: True, 8: False}


def test_an_epoch_is_announced_once_and_in_order() -> None:
    centre = centre_after(2)
    centre.closed += [closed(2), closed(3)]
    assert [event.epoch for event in centre.unannounced()] == [2, 3]
    assert centre.unannounced() == []
    centre.announce(closed(2))
    centre.closed.append(closed(4))
    assert [event.epoch for event in centre.unannounced()] == [4]
    assert (centre.epochs, centre.closed_epochs) == (3, 5)
