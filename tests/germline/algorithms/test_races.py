"""Where starts are finitely many: nobody plays one twice, and the champion is the best over all of them."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.algorithms.base import Ask, Champion, NewChampion, Purpose, Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.races import Races, shuffled
from germline.algorithms.window import Member, Window
from germline.genome import Genome

STARTS = tuple(range(100, 130))
SETTINGS = GaSettings(window=40, parents=8, power=0.1, episodes=2, candidates=4, starts=STARTS)


def true_return(genome: Genome, start: int) -> float:
    """What an individual gets from a start: its own worth, and the start's luck for it."""
    dice = random.Random(genome.id ^ start)  # noqa: S311 - a game, no secrets
    return genome.id % 997 / 100 + dice.gauss(0, 3)


def true_mean(genome: Genome) -> float:
    return math.fsum(true_return(genome, start) for start in STARTS) / len(STARTS)


def result(ask: Ask) -> Result:
    returns = tuple(true_return(ask.genome, start) for start in ask.episode_seeds)
    return Result(ask.ticket, returns, frames=4, steps=1)


def search(
    evaluations: int, *, in_flight: int = 16, seed: int = 5, settings: GaSettings = SETTINGS
) -> tuple[GeneticAlgorithm, list[Ask]]:
    """A run whose results come back in any order; every ask that was made."""
    algorithm = GeneticAlgorithm(settings, seed)
    asked: list[Ask] = []
    out: list[Ask] = []
    shuffle = random.Random(seed)  # noqa: S311 - the order of results, no secrets
    while algorithm.evaluations < evaluations:
        fresh = algorithm.ask(in_flight - len(out))
        asked += fresh
        out += fresh
        algorithm.tell(result(out.pop(shuffle.randrange(len(out)))))
    return algorithm, asked


def test_with_common_starts_all_new_individuals_are_compared_by_the_same_episodes() -> None:
    settings = replace(SETTINGS, common_starts=True)
    algorithm, asked = search(1_500, settings=settings)
    assert {ask.episode_seeds for ask in asked if ask.purpose is Purpose.EXPLORE} == {STARTS[:2]}
    played = Counter((ask.genome.id, start) for ask in asked for start in ask.episode_seeds)
    assert max(played.values()) == 1
    champion = algorithm.champion
    assert champion is not None
    assert champion.mean == pytest.approx(true_mean(champion.genome))


def test_a_search_with_common_starts_goes_on_from_its_snapshot_and_from_no_other() -> None:
    common = replace(SETTINGS, common_starts=True)
    algorithm, _ = search(300, settings=common)
    restored = GeneticAlgorithm(common, 5)
    restored.restore(json.loads(json.dumps(algorithm.snapshot())))
    assert restored.ask(20) == algorithm.ask(20)
    with pytest.raises(ValueError, match="common_starts"):
        GeneticAlgorithm(SETTINGS, 5).restore(algorithm.snapshot())


def test_common_starts_need_starts() -> None:
    with pytest.raises(ValueError, match="common_starts is True; allowed: false without starts"):
        GaSettings(common_starts=True)


def test_no_individual_plays_a_start_twice() -> None:
    _, asked = search(1_500)
    played = Counter((ask.genome.id, start) for ask in asked for start in ask.episode_seeds)
    assert max(played.values()) == 1
    assert {start for _, start in played} == set(STARTS)


def test_the_champion_is_known_exactly_and_was_played_on_every_start() -> None:
    algorithm, _ = search(1_500)
    champion = algorithm.champion
    assert champion is not None
    assert (champion.episodes, champion.standard_error, champion.validated) == (30, 0.0, True)
    assert champion.returns == tuple(true_return(champion.genome, start) for start in STARTS)
    assert champion.mean == pytest.approx(true_mean(champion.genome))


def test_the_title_only_ever_goes_to_somebody_better() -> None:
    algorithm, means = GeneticAlgorithm(SETTINGS, 3), []
    for _ in range(2_000):
        (ask,) = algorithm.ask(1)
        means += [event.mean for event in algorithm.tell(result(ask))]
    assert len(means) > 2
    assert means == sorted(set(means))


def test_a_race_stops_early_for_most() -> None:
    """All starts of each candidate would be 30 episodes; most are given up on a low rung."""
    _, asked = search(3_000)
    replays = Counter(ask.genome.id for ask in asked if ask.purpose is Purpose.VALIDATE)
    whole = sum(2 * count >= 28 for count in replays.values())
    assert len(replays) > 30
    assert whole < len(replays) / 3


@given(seed=st.integers(0, 2**32), tells=st.integers(0, 300))
def test_a_restored_search_goes_on_as_it_would_have(seed: int, tells: int) -> None:
    algorithm, _ = search(tells, seed=seed)
    again = GeneticAlgorithm(SETTINGS, seed)
    again.restore(json.loads(json.dumps(algorithm.snapshot())))
    assert again.snapshot() == algorithm.snapshot()
    for ask in algorithm.pending():
        assert again.tell(result(ask)) == algorithm.tell(result(ask))
    assert again.ask(20) == algorithm.ask(20)
    assert again.champion == algorithm.champion


def test_adopting_asks_after_a_restart_gives_the_same_races() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, 9)
    replayed = GeneticAlgorithm(SETTINGS, 9)
    for _ in range(600):
        (ask,) = algorithm.ask(1)
        replayed.adopt(ask)
        algorithm.tell(result(ask))
        replayed.tell(result(ask))
    assert replayed.snapshot() == algorithm.snapshot()


def test_what_is_kept_is_bounded_by_the_window() -> None:
    algorithm, _ = search(4_000, in_flight=4)
    races = algorithm._validation.candidates
    assert isinstance(races, Races)
    most_races = 3 * SETTINGS.candidates + 1 + 4  # the champion's, and those asked since the last tell
    assert len(races.racing) <= most_races
    assert len(races.known) <= 2 * SETTINGS.window + 2 * most_races
    assert len(races.given_up) <= len(races.known)


def test_a_candidate_that_cannot_be_played_on_a_start_races_no_more() -> None:
    races, window = Races(2, 1, STARTS, 0), Window(4, "oldest")
    genome = Genome.founder(1)
    window.add(Member(genome, 0, 1.0, 1))
    ask = Ask(1, genome, Purpose.VALIDATE, (STARTS[0],))
    races.lend(ask, window)
    races.give_back(ask, window)
    assert races.choose(window) is None


def test_partial_means_have_the_error_of_drawing_without_putting_back() -> None:
    races, window = Races(2, 30, STARTS, 0), Window(4, "oldest")
    genome = Genome.founder(1)
    ask = Ask(1, genome, Purpose.VALIDATE, STARTS[:10])
    races.lend(ask, window)
    races.tell(ask, tuple(map(float, range(10))))
    variance = sum((value - 4.5) ** 2 for value in range(10)) / 9
    leading = races.leading()
    assert leading is not None
    assert not leading.validated
    assert leading.standard_error == pytest.approx(math.sqrt(variance / 10 * (30 - 10) / 29))
    assert races.report() is None


def test_a_hopeless_candidate_is_given_up_by_its_differences_on_the_same_starts() -> None:
    """Levels differ by hundreds from start to start, differences by one: four starts are enough."""
    races, window = Races(2, 30, STARTS, 0), Window(4, "oldest")
    best, other = Genome.founder(1), Genome.founder(2)
    whole = Ask(1, best, Purpose.VALIDATE, STARTS)
    races.lend(whole, window)
    crowned = races.tell(whole, tuple(float(start * start) for start in STARTS))
    assert crowned == NewChampion(best, pytest.approx(sum(s * s for s in STARTS) / 30), 30)  # type: ignore[arg-type]
    window.add(Member(other, 2, 1e9, 1))
    few = Ask(2, other, Purpose.VALIDATE, STARTS[:5])
    races.lend(few, window)
    races.tell(few, tuple(start * start - 1.0 - start % 2 for start in STARTS[:5]))
    assert races.find(other.id) is None
    assert races.choose(window) is None
    assert isinstance(races.report(), Champion)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=30))
def test_starts_are_drawn_without_putting_back(words: list[int]) -> None:
    drawn = shuffled(STARTS, words)
    assert len(drawn) == len(words)
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= set(STARTS)


def test_starts_need_candidates_and_differ() -> None:
    with pytest.raises(ValueError, match="candidates is 0"):
        GaSettings(starts=STARTS, candidates=0)
    with pytest.raises(ValueError, match="starts is"):
        GaSettings(starts=(1, 1))


@pytest.mark.parametrize(("starts", "episodes"), [(30, 30), (5, 5), (5, 4)])
@pytest.mark.parametrize("common", [True, False])
def test_who_has_played_all_starts_is_scored_exactly_and_races_no_more(
    starts: int, episodes: int, common: bool
) -> None:
    settings = GaSettings(
        window=10,
        parents=2,
        starts=tuple(range(starts)),
        episodes=episodes,
        common_starts=common,
        candidates=2,
    )
    algorithm = GeneticAlgorithm(settings, seed=1)
    best = -1.0
    for _ in range(200):
        (ask,) = algorithm.ask(1)
        value = float(ask.genome.id % 97)
        algorithm.tell(Result(ask.ticket, tuple(value + seed for seed in ask.episode_seeds), 1, 1))
        best = max(best, value)
    champion = algorithm.champion
    assert champion is not None
    assert champion.validated
    assert champion.mean == float(champion.genome.id % 97) + (starts - 1) / 2
    if episodes == starts:  # everybody is scored exactly, at once
        assert champion.genome.id % 97 == best
