"""Who told what: as long as it counts, and no longer."""

from germline.algorithms.base import Ask, Purpose
from germline.genome import Genome
from master.experiments.tellers import Tellers

ROOM = 8


def ask(individual: int) -> Ask:
    return Ask(individual, Genome(0, individual), Purpose.EXPLORE, (1,))


def test_what_a_worker_told_is_in_doubt_but_for_what_another_confirmed() -> None:
    tellers = Tellers(lambda _: True, ROOM)
    for individual, worker in ((1, 1), (2, 1), (2, 2), (3, 1), (3, 1)):
        tellers.note(ask(individual), worker)
    tellers.confirm(1, 1)
    tellers.confirm(3, 1)  # one result of two
    assert tellers.told_by(1) == (2, 3)
    assert tellers.told_by(2) == (2,)
    assert tellers.told_by(3) == ()


def test_what_does_not_count_any_more_is_in_nobodys_doubt() -> None:
    known = {1, 2}
    tellers = Tellers(known.__contains__, ROOM)
    for individual in (1, 2, 3):
        tellers.note(ask(individual), 1)
    known.discard(2)
    assert tellers.told_by(1) == (1,)
    tellers.forget([1])
    assert tellers.told_by(1) == ()


def test_they_come_back_as_they_were() -> None:
    tellers, again = (Tellers(lambda _: True, ROOM) for _ in range(2))
    for individual, worker in ((1, 1), (2, 1), (1, 1), (1, 2)):
        tellers.note(ask(individual), worker)
    assert list(tellers.entries()) == [((1, 1), 2), ((2, 1), 1), ((1, 2), 1)]
    again.restore(tellers.entries())
    assert list(again.entries()) == list(tellers.entries())


def test_memory_is_bounded_by_twice_what_counts() -> None:
    window = range(0)
    tellers = Tellers(lambda individual: individual in window or individual < 20, ROOM)
    for individual in range(20_000):
        window = range(individual - 100, individual + 1)
        tellers.note(ask(individual), individual % 3)
    entries = tellers.entries()
    assert len(entries) <= 2 * 121
    known = {individual for (individual, _), _ in entries}
    assert known >= {*range(20), *window}
