"""Scores that turn out to be false: nothing of them stays, and whose they were is played anew."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace

import pytest

from germline.algorithms.base import Ask, Purpose, Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings

LIE = 1e9
SETTINGS = {
    "trials": GaSettings(window=20, parents=5, candidates=3, validation_episodes=4, validation_share=0.4),
    "races": GaSettings(
        window=20, parents=5, candidates=3, validation_share=0.4, starts=tuple(range(100, 130)), episodes=2
    ),
    "no validation": GaSettings(window=20, parents=5, candidates=0),
    "worst leaves": GaSettings(
        window=20, parents=5, replacement="worst", candidates=2, validation_episodes=4
    ),
    "litters": GaSettings(window=20, parents=5, litter=4, candidates=2, validation_episodes=4),
}
every_kind = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


def honest(ask: Ask) -> tuple[float, ...]:
    return tuple((ask.genome.id ^ seed) % 97 / 10 for seed in ask.episode_seeds)


def play(algorithm: GeneticAlgorithm, evaluations: int, liar: Collection[int] = ()) -> set[int]:
    """Play; of each ten tickets those in `liar` are told a lie. Return whose individuals these were."""
    false = set()
    for _ in range(evaluations):
        (ask,) = algorithm.ask(1)
        lies = ask.ticket % 10 in liar
        returns = tuple(LIE for _ in ask.episode_seeds) if lies else honest(ask)
        algorithm.tell(Result(ask.ticket, returns, 4, 1))
        if lies:
            false.add(ask.genome.id)
    return false


def scores(algorithm: GeneticAlgorithm) -> list[float]:
    return [member.fitness for member in algorithm.population()]


def through_text(algorithm: GeneticAlgorithm) -> GeneticAlgorithm:
    again = GeneticAlgorithm(algorithm.settings, algorithm.seed)
    again.restore(json.loads(json.dumps(algorithm.snapshot(), allow_nan=False)))
    return again


@every_kind
def test_no_false_score_is_left_in_the_population_or_the_title(settings: GaSettings) -> None:
    algorithm = GeneticAlgorithm(settings, seed=3)
    false = play(algorithm, 300, liar=(4, 7))
    assert max(scores(algorithm)) > LIE / 100
    algorithm.forget(sorted(false))
    assert max(scores(algorithm), default=0.0) < 10
    leader = algorithm.leader()
    assert leader is None or (leader.mean < 10 and leader.genome.id not in false)


def test_who_is_forgotten_later_is_asked_beside_those_forgotten_before() -> None:
    algorithm = GeneticAlgorithm(SETTINGS["no validation"], seed=3)
    play(algorithm, 30)
    first, second, *_ = (member.genome.id for member in algorithm.population())
    algorithm.forget([first])
    algorithm.forget([second])
    assert {ask.genome.id for ask in algorithm.ask(2)} == {first, second}


@every_kind
def test_those_that_were_known_are_asked_first_each_once_as_if_they_were_new(settings: GaSettings) -> None:
    algorithm = GeneticAlgorithm(settings, seed=3)
    false = sorted(play(algorithm, 300, liar=(4, 7)))
    wanted = {individual for individual in false if algorithm.knows(individual)}
    assert wanted
    founders = algorithm.founders_asked
    algorithm.forget(false)
    again = algorithm.ask(len(wanted))
    assert {ask.genome.id for ask in again} == wanted
    assert {ask.purpose for ask in again} == {Purpose.EXPLORE}
    assert algorithm.founders_asked == founders
    for ask in again:
        algorithm.tell(Result(ask.ticket, honest(ask), 4, 1))
    assert all(algorithm.knows(individual) for individual in wanted) or settings.replacement == "worst"
    assert not {ask.genome.id for ask in algorithm.ask(20) if ask.purpose is Purpose.EXPLORE} & wanted


@every_kind
def test_what_others_told_still_counts(settings: GaSettings) -> None:
    algorithm = GeneticAlgorithm(settings, seed=3)
    false = play(algorithm, 300, liar=(4, 7))
    kept = [(m.genome.id, m.fitness, m.episodes) for m in algorithm.population() if m.genome.id not in false]
    algorithm.forget(sorted(false))
    assert [(m.genome.id, m.fitness, m.episodes) for m in algorithm.population()] == kept


@every_kind
def test_the_search_goes_on_and_a_restart_in_between_changes_nothing(settings: GaSettings) -> None:
    algorithm = GeneticAlgorithm(settings, seed=3)
    false = play(algorithm, 300, liar=(4, 7))
    algorithm.forget(sorted(false))
    restored = through_text(algorithm)
    for each in (algorithm, restored):
        play(each, 400)
    assert restored.snapshot() == algorithm.snapshot()
    assert algorithm.champion is not None
    assert algorithm.champion.mean < 10


def test_whoever_lost_the_title_to_a_false_score_has_it_back() -> None:
    settings = replace(SETTINGS["races"], window=400)
    algorithm = GeneticAlgorithm(settings, seed=3)
    play(algorithm, 300)
    former = algorithm.champion
    assert former is not None
    false = play(algorithm, 200, liar=range(10))
    assert algorithm.champion is not None
    assert algorithm.champion.mean == LIE
    algorithm.forget(sorted(false - {former.genome.id}))
    assert algorithm.champion == former


def test_a_lie_among_the_episodes_does_not_stay_in_what_is_known_of_the_noise() -> None:
    algorithm = GeneticAlgorithm(SETTINGS["trials"], seed=3)
    false = play(algorithm, 300, liar=(4,))
    algorithm.forget(sorted(false))
    noise = algorithm.snapshot()["candidates"]["noise_squares"]  # type: ignore[index, call-overload]
    assert float(noise) < 1e6  # type: ignore[arg-type]


def test_nobody_is_forgotten_who_is_not_known() -> None:
    algorithm = GeneticAlgorithm(SETTINGS["trials"], seed=3)
    play(algorithm, 100)
    before = algorithm.snapshot()
    algorithm.forget([1, 2, 3])
    assert {**algorithm.snapshot(), "candidates": None} == {**before, "candidates": None}
    assert "again" not in before
