"""The population: who leaves it, and who ranks where."""

from __future__ import annotations

from germline.algorithms.ga_settings import Replacement
from germline.algorithms.window import Member, Window
from germline.genome import Genome


def filled(replacement: Replacement, *fitness: float) -> Window:
    """A window of room for three, told of these one after the other; a ticket is a place in the line."""
    window = Window(3, replacement)
    for ticket, value in enumerate(fitness):
        window.add(Member(Genome.founder(ticket), ticket, value, 2))
    return window


def tickets(window: Window) -> list[int]:
    """From the worst to the best."""
    return [member.ticket for member in window]


def test_at_capacity_the_oldest_leaves() -> None:
    window = filled("oldest", 9.0, 1.0, 5.0, 2.0)
    assert tickets(window) == [1, 3, 2]
    assert window.find(Genome.founder(0).id) is None
    assert [member.ticket for member in window.freeze()()] == [1, 2, 3]


def test_at_capacity_the_worst_leaves_though_it_be_the_newcomer() -> None:
    window = filled("worst", 9.0, 1.0, 5.0, 0.0)
    assert tickets(window) == [1, 2, 0]
    assert window.find(Genome.founder(3).id) is None
    window.add(Member(Genome.founder(4), 4, 2.0, 1))
    assert tickets(window) == [4, 2, 0]
    assert window.find(Genome.founder(1).id) is None
    assert list(window.freeze()()) == list(window)


def test_a_newcomer_as_good_as_the_worst_takes_its_place() -> None:
    assert tickets(filled("worst", 1.0, 5.0, 5.0, 1.0)) == [3, 1, 2]


def test_the_best_come_best_first_and_no_more_than_there_are() -> None:
    window = filled("oldest", 2.0, 9.0, 5.0)
    assert [member.ticket for member in window.best(2)] == [1, 2]
    assert [member.ticket for member in window.best(9)] == [1, 2, 0]
    assert window.best(0) == []
    assert (window.ranked(0).ticket, window.ranked(-1).ticket, len(window)) == (0, 1, 3)


def test_a_revised_fitness_is_the_mean_of_all_episodes_and_changes_the_rank() -> None:
    window = filled("oldest", 2.0, 9.0, 5.0)
    best = window.ranked(-1)
    window.revise(best.genome.id, (-1.0, 1.0))
    revised = window.find(best.genome.id)
    assert revised == best._replace(fitness=4.5, episodes=4)
    assert tickets(window) == [0, 1, 2]


def test_a_frozen_window_is_what_it_was_whatever_happens_to_the_members() -> None:
    replacements: tuple[Replacement, ...] = ("oldest", "worst")
    for replacement in replacements:
        window = filled(replacement, 2.0, 9.0, 5.0)
        before = list(window)
        frozen = window.freeze()
        best = window.ranked(-1).genome.id
        window.plan(best, 3)
        window.revise(best, (-50.0,))
        window.add(Member(Genome.founder(9), 9, 7.0, 1))
        window.forget([before[0].genome.id])
        assert sorted(tuple(each)[1:] for each in frozen()) == sorted(tuple(each)[1:] for each in before)


def test_planned_episodes_are_never_fewer_than_none_and_strangers_have_none() -> None:
    window = filled("oldest", 2.0)
    (member,) = window
    window.plan(member.genome.id, 2)
    assert window.ranked(0).in_flight == 2
    window.plan(member.genome.id, -5)
    assert window.ranked(0).in_flight == 0
    window.plan(1234, 1)
    assert list(window) == [member]


def test_what_is_planned_is_what_was_told_and_what_is_on_its_way() -> None:
    assert Member(Genome.founder(1), 1, 0.0, 3).planned == 3
    assert Member(Genome.founder(1), 1, 0.0, 3, in_flight=2).planned == 5
