"""Dominated Novelty Search's population: who leaves, and that counting everything finds the same."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from germline.algorithms.dominated import Competition, Dominated
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.neighbours import Behaviours, nearest_mean
from germline.algorithms.novelty_settings import NoveltySettings
from germline.algorithms.window import Member
from germline.behaviour import pack
from germline.genome import Genome
from tests.germline.algorithms.walkers import place, told, valley


def member(number: int, x: int, fitness: float) -> Member:
    return Member(Genome.founder(number), number, fitness, 1, behaviour=pack(np.array([x, 0], np.uint16)))


def kept(capacity: int, *members: Member, neighbours: int = 1) -> set[int]:
    """The tickets of those that stay."""
    population = Dominated(capacity, dimensions=2, neighbours=neighbours)
    for each in members:
        population.add(each)
    return {each.ticket for each in population}


def test_whoever_is_nearest_to_somebody_fitter_leaves() -> None:
    assert kept(2, member(1, 0, 5.0), member(2, 10, 4.0), member(3, 900, 1.0)) == {1, 3}


def test_of_those_that_did_the_same_as_well_the_newest_stays() -> None:
    assert kept(2, member(1, 0, 5.0), member(2, 0, 5.0), member(3, 900, 1.0)) == {2, 3}


def test_a_newcomer_that_competes_worst_does_not_come_in() -> None:
    assert kept(2, member(1, 0, 5.0), member(2, 900, 1.0), member(3, 1, 2.0)) == {1, 2}


def test_fitness_that_more_episodes_have_lowered_counts() -> None:
    population = Dominated(2, dimensions=2, neighbours=1)
    for each in (member(1, 0, 5.0), member(2, 900, 1.0)):
        population.add(each)
    population.revise(Genome.founder(1).id, (-9.0,))
    population.add(member(3, 1, 2.0))
    assert {each.ticket for each in population} == {2, 3}


steps = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 4)), min_size=1, max_size=60)


@given(steps, st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_the_loser_is_the_one_that_counting_everything_finds(
    moves: list[tuple[int, int, int]], neighbours: int
) -> None:
    competition, here = Competition(100, 2, neighbours), dict[int, Member]()
    counted = Behaviours(2)
    for number, (kind, x, fitness) in enumerate(moves):
        if kind == 0 and len(here) > 1:
            gone = here.pop(sorted(here)[x % len(here)])
            competition.remove(gone.genome.id)
            counted.remove(gone.genome.id)
        else:
            new = here[number] = member(number, x, float(fitness))
            competition.add(new)
            counted.add(new.genome.id, new.behaviour, new.fitness)
        scores = {
            (nearest_mean(counted.rivals(each.genome.id), neighbours), each.ticket): each.genome.id
            for each in here.values()
        }
        assert competition.loser() == scores[min(scores)]


def search(seed: int = 1, window: int = 60) -> GeneticAlgorithm:
    novelty = NoveltySettings(dimensions=2, objective="dominated", neighbours=3)
    ga = GaSettings(
        window=window, parents=10, selection="tournament", tournament_size=1, replacement="dominated",
        power=1.0, candidates=2, validation_episodes=2, novelty=novelty,
    )  # fmt: skip
    return GeneticAlgorithm(ga, seed)


def test_the_summit_beyond_the_valley_is_found() -> None:
    for seed in range(3):
        algorithm, best = search(seed), -100.0
        for _ in range(2_000):
            (ask,) = algorithm.ask(1)
            algorithm.tell(told(ask))
            best = max(best, valley(*place(ask.genome)))
        assert best > 10


def test_a_restored_search_asks_and_keeps_what_the_other_one_does() -> None:
    first, second = search(), search()
    for ask in first.ask(300):
        first.tell(told(ask))
    second.restore(json.loads(json.dumps(first.snapshot())))
    for _ in range(100):
        mine, other = first.ask(1)[0], second.ask(1)[0]
        assert mine == other
        first.tell(told(mine))
        second.tell(told(other))
    assert json.dumps(second.snapshot()) == json.dumps(first.snapshot())
    first.forget([first.best(1)[0].genome.id])
    assert first.population_size == 59


def test_a_window_without_that_objective_cannot_lose_the_dominated() -> None:
    with pytest.raises(ValueError, match="replacement is 'dominated'; allowed: oldest or worst, unless"):
        replace(search().settings, novelty=None, selection="truncation")
