"""Which work goes to which worker: affinity to parents, fair shares."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.algorithms.base import Ask, Purpose
from germline.algorithms.slices import SliceAsk
from germline.genome import Genome, Mutation
from master.work.fair_share import Claim, divide
from master.work.waiting import WaitingWork, base_id

PARENTS = [Genome.founder(seed) for seed in range(4)]


def child(ticket: int, parent: int) -> Ask:
    genome = PARENTS[parent].child(Mutation(ticket, 0.5))
    return Ask(ticket, genome, Purpose.EXPLORE, (1,), PARENTS[parent].id)


def queue_of(*parents: int) -> WaitingWork:
    queue = WaitingWork()
    queue.add([child(ticket, parent) for ticket, parent in enumerate(parents)])
    return queue


def tickets(asks: Sequence[Ask | SliceAsk]) -> list[int]:
    return [ask.ticket for ask in asks]


def test_a_worker_gets_children_of_the_parents_it_knows_first() -> None:
    queue = queue_of(0, 1, 0, 2, 1)
    assert tickets(queue.take(2, {PARENTS[1].id})) == [1, 4]


def test_children_of_one_parent_go_together() -> None:
    assert tickets(queue_of(0, 1, 0, 1, 0).take(4, set())) == [0, 2, 4, 1]


def test_work_that_came_back_goes_first() -> None:
    queue = queue_of(0, 0)
    queue.put_back(child(17, 3))
    assert tickets(queue.take(2, {PARENTS[0].id})) == [17, 0]


def test_work_that_was_told_late_is_not_lent_again() -> None:
    queue = queue_of(0)
    queue.put_back(child(17, 3))
    queue.withdraw(17)
    queue.withdraw(18)
    assert tickets(queue.take(5, set())) == [0]


def test_no_work_waits_for_ever_behind_better_known_parents() -> None:
    queue = queue_of(3)
    known = {PARENTS[0].id}
    served: list[int] = []
    for ticket in range(1, 400):
        queue.add([child(ticket, 0)])
        served += tickets(queue.take(1, known))
    assert 0 in served


def test_a_replay_needs_the_individual_itself_and_a_child_its_parent() -> None:
    replay = Ask(1, PARENTS[0], Purpose.VALIDATE, (1,), None)
    assert base_id(replay) == PARENTS[0].id
    assert base_id(child(2, 1)) == PARENTS[1].id


def test_a_queue_that_is_cleared_is_empty() -> None:
    queue = queue_of(0, 1)
    queue.put_back(child(17, 3))
    queue.clear()
    assert len(queue) == 0
    assert queue.take(3, set()) == []


@given(
    parents=st.lists(st.integers(0, 3), max_size=60),
    takes=st.lists(st.tuples(st.integers(1, 9), st.sets(st.integers(0, 3))), min_size=1, max_size=30),
)
def test_every_piece_of_work_is_taken_once(parents: list[int], takes: list[tuple[int, set[int]]]) -> None:
    queue = queue_of(*parents)
    taken: list[int] = []
    for n, known in takes:
        before = len(queue)
        part = tickets(queue.take(n, {PARENTS[k].id for k in known}))
        assert len(part) == min(n, before)
        taken += part
    rest = tickets(queue.take(len(queue) or 1, set()))
    assert sorted(taken + rest) == list(range(len(parents)))


@pytest.mark.parametrize(
    ("n", "claims", "parts"),
    [
        (6, [Claim(0, 1)], [6]),
        (6, [Claim(0, 1), Claim(0, 1)], [3, 3]),
        (6, [Claim(0, 1), Claim(0, 2)], [2, 4]),
        (6, [Claim(100, 1), Claim(0, 1)], [0, 6]),
        (1, [Claim(3, 1), Claim(5, 2)], [0, 1]),
        (4, [], []),
    ],
)
def test_room_is_divided_so_that_what_is_lent_approaches_the_shares(
    n: int, claims: list[Claim], parts: list[int]
) -> None:
    assert divide(n, claims) == parts


@given(
    n=st.integers(1, 200),
    claims=st.lists(st.builds(Claim, st.integers(0, 50), st.integers(1, 9)), min_size=1),
)
def test_room_is_divided_in_full(n: int, claims: list[Claim]) -> None:
    parts = divide(n, claims)
    assert sum(parts) == n
    assert min(parts) >= 0
