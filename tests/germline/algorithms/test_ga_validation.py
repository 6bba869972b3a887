"""Noisy scores: leaders are re-played, luck loses its place, and the champion is the best validated mean."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from germline.algorithms.base import Ask, Event, NewChampion, Purpose, Result
from germline.algorithms.champion import Candidates, Trial
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.window import Window
from germline.genome import Genome

SETTINGS = GaSettings(
    window=50, parents=0, founders=1, candidates=5, validation_episodes=8, validation_share=0.5
)


def asked(genome: Genome, episodes: int = 1) -> Ask:
    """A re-play of an individual; what it plays matters to nobody here."""
    return Ask(0, genome, Purpose.VALIDATE, tuple(range(episodes)))


def play(
    algorithm: GeneticAlgorithm, n: int, value_of: Callable[[Ask], float]
) -> tuple[list[Ask], list[Event]]:
    asks, events = [], []
    for _ in range(n):
        (ask,) = algorithm.ask(1)
        value = value_of(ask)
        events.extend(algorithm.tell(Result(ask.ticket, (value,) * len(ask.episode_seeds), 4, 1)))
        asks.append(ask)
    return asks, events


def noisy(seed: int, truth: Callable[[Ask], float], noise: float) -> Callable[[Ask], float]:
    random = np.random.default_rng(seed)
    return lambda ask: truth(ask) + noise * float(random.standard_normal())


def hidden(ask: Ask) -> float:
    """A founder's true fitness, between 0 and 1."""
    return ask.genome.init_seed / 2**64


def test_nobody_is_champion_before_enough_fresh_episodes() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    fresh: Counter[int] = Counter()
    while algorithm.champion is None:
        (ask,), events = play(algorithm, 1, hidden)
        fresh[ask.genome.id] += ask.purpose is Purpose.VALIDATE
    assert (algorithm.champion.episodes, algorithm.champion.title_episodes) == (0, 8)
    assert fresh[algorithm.champion.genome.id] == 8
    (event,) = events
    assert (event.genome, event.episodes) == (algorithm.champion.genome, 8)
    assert algorithm.champion.validated


def test_every_second_ask_is_a_re_play_from_the_first_result_on_where_that_is_the_share() -> None:
    asks, _ = play(GeneticAlgorithm(SETTINGS, seed=1), 20, hidden)
    assert [ask.purpose for ask in asks] == [Purpose.EXPLORE, Purpose.VALIDATE] * 10


def test_a_provisional_leader_is_known_from_the_first_result_on() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    assert algorithm.leader() is None
    (ask,), _ = play(algorithm, 1, hidden)
    leader = algorithm.leader()
    assert leader is not None
    assert (leader.genome, leader.mean, leader.episodes) == (ask.genome, hidden(ask), 1)
    assert math.isnan(leader.standard_error)
    assert leader.validated is False
    play(algorithm, 300, hidden)
    assert algorithm.leader() == algorithm.champion


def test_before_there_is_a_champion_whoever_looks_best_on_fresh_episodes_leads() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    play(algorithm, 4, lambda ask: 100.0 if ask.purpose is Purpose.EXPLORE else 1.0)
    leader = algorithm.leader()
    assert leader is not None
    assert (leader.mean, leader.validated) == (1.0, False)


def test_the_score_that_made_a_candidate_is_not_in_its_mean() -> None:
    """Every individual scores 100 at first sight and 1 whenever it is played again."""
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    _, events = play(algorithm, 300, lambda ask: 100.0 if ask.purpose is Purpose.EXPLORE else 1.0)
    assert events
    assert algorithm.champion is not None
    assert algorithm.champion.mean == 1.0
    assert algorithm.champion.standard_error == 0.0


def test_a_lucky_score_loses_its_place_among_the_parents() -> None:
    settings = GaSettings(window=50, parents=3, founders=20, candidates=5, validation_share=0.5)
    algorithm = GeneticAlgorithm(settings, seed=1)
    lucky = play(algorithm, 1, lambda _ask: 1_000.0)[0][0].genome

    def worthless_if_lucky(ask: Ask) -> float:
        return -1_000.0 if ask.genome == lucky else 0.0

    play(algorithm, 25, worthless_if_lucky)
    member = next(member for member in algorithm.population() if member.genome == lucky)
    assert member.episodes > 1
    assert member.fitness <= 0
    bred = {ask.parent_id for ask in algorithm.ask(300) if ask.parent_id is not None}
    assert lucky.id not in bred


def test_without_validation_the_best_single_score_rules_for_ever() -> None:
    algorithm = GeneticAlgorithm(GaSettings(window=10, parents=0, founders=1, candidates=0), seed=1)
    lucky = play(algorithm, 1, lambda _ask: 1_000.0)[0][0].genome
    asks, events = play(algorithm, 500, hidden)
    assert all(ask.purpose is Purpose.EXPLORE for ask in asks)
    assert not events
    assert algorithm.champion is not None
    assert algorithm.champion.genome == lucky
    assert not algorithm.champion.validated


def test_a_title_won_by_luck_is_lost_again() -> None:
    """The first champion's luck ends on the day of its coronation."""
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    titles: list[int] = []

    def value(ask: Ask) -> float:
        return -5.0 if titles and ask.genome.id == titles[0] else hidden(ask)

    for _ in range(2_000):
        _, events = play(algorithm, 1, value)
        titles.extend(event.genome.id for event in events)
    assert algorithm.champion is not None
    assert algorithm.champion.genome.id != titles[0]
    assert algorithm.champion.mean > 0.5


def test_the_champion_is_played_on_so_that_its_mean_sharpens() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    play(algorithm, 4_000, noisy(2, lambda _ask: 0.0, 1.0))
    assert algorithm.champion is not None
    assert 8 < algorithm.champion.episodes <= 5 * 8
    assert algorithm.champion.standard_error < 1 / math.sqrt(8)


def test_re_plays_go_on_other_episodes_than_any_before() -> None:
    asks, _ = play(GeneticAlgorithm(SETTINGS, seed=1), 500, hidden)
    seeds = [ask.episode_seeds for ask in asks]
    assert len(set(seeds)) == len(seeds)


def test_only_leaders_are_re_played() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    asks, _ = play(algorithm, 1_000, hidden)
    played = {ask.genome.id: hidden(ask) for ask in asks if ask.purpose is Purpose.VALIDATE}
    everyone = {ask.genome.id: hidden(ask) for ask in asks}
    assert np.median(list(played.values())) > np.quantile(list(everyone.values()), 0.85)


def test_re_plays_in_flight_are_counted_so_that_nobody_is_asked_for_too_many() -> None:
    """A thousand asks before the first validation is told: each candidate gets V at most."""
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    play(algorithm, 1, hidden)
    asks = algorithm.ask(1_000)
    fresh = Counter(ask.genome.id for ask in asks if ask.purpose is Purpose.VALIDATE)
    assert 0 < max(fresh.values()) <= 8


def test_a_re_play_that_was_told_is_on_its_way_no_longer() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    asks, _ = play(algorithm, 200, hidden)
    assert any(ask.purpose is Purpose.VALIDATE for ask in asks)
    assert {member.in_flight for member in algorithm.population()} == {0}
    (replayed,) = (ask for ask in algorithm.ask(2) if ask.purpose is Purpose.VALIDATE)
    (member,) = (m for m in algorithm.population() if m.genome == replayed.genome)
    assert member.in_flight == 1
    assert member.planned == member.episodes + 1


def test_a_re_play_that_is_set_aside_is_on_its_way_no_longer_and_takes_none_of_the_others_along() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    play(algorithm, 1, hidden)
    (member,) = algorithm.population()
    first, _, second = algorithm.ask(3)
    assert [first.genome, second.genome] == [member.genome] * 2
    child = next(ask for ask in algorithm.pending() if ask.purpose is Purpose.EXPLORE)
    algorithm.set_aside(child.ticket)
    assert [each.in_flight for each in algorithm.population()] == [2]
    algorithm.set_aside(first.ticket)
    assert [each.in_flight for each in algorithm.population()] == [1]
    assert algorithm.pending() == [second]


def test_a_candidate_is_found_though_the_window_has_forgotten_it() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    play(algorithm, 400, hidden)
    champion = algorithm.champion
    assert champion is not None
    assert champion.genome not in [member.genome for member in algorithm.population()]
    assert algorithm.find(champion.genome.id) == champion.genome


def test_a_re_play_told_after_its_candidate_has_left_counts_as_an_evaluation_only() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    late = None
    while late is None:
        (ask,) = algorithm.ask(1)
        if ask.purpose is Purpose.VALIDATE:
            late = ask
        else:
            algorithm.tell(Result(ask.ticket, (hidden(ask) - 1,), 4, 1))
    play(algorithm, 1_000, hidden)
    before = algorithm.evaluations
    assert algorithm.tell(Result(late.ticket, (1e9,), 4, 1)) == []
    assert algorithm.evaluations == before + 1


@pytest.mark.parametrize("replacement", ["oldest", "worst"])
def test_the_champions_truth_beats_a_single_scores_luck(replacement: str) -> None:
    """Random search over individuals whose truth spreads by 0.3 under noise of 1."""
    found: dict[int, list[float]] = {0: [], 5: []}
    for candidates, seed in ((candidates, seed) for candidates in found for seed in range(20)):
        settings = GaSettings(
            window=100,
            parents=0,
            founders=1,
            replacement=replacement,  # type: ignore[arg-type]
            candidates=candidates,
            validation_episodes=20,
            validation_share=0.5,
        )
        algorithm = GeneticAlgorithm(settings, seed)
        play(algorithm, 1_000, noisy(seed, hidden, 1.0))
        champion = algorithm.champion
        assert champion is not None
        found[candidates].append(champion.genome.init_seed / 2**64)
    assert np.mean(found[5]) > np.mean(found[0]) + 0.1


def test_the_champions_mean_is_honest() -> None:
    """Picking the best of many means flatters; what is reported is measured afterwards."""
    flattery = []
    for seed in range(20):
        algorithm = GeneticAlgorithm(SETTINGS, seed)
        play(algorithm, 2_000, noisy(seed, hidden, 1.0))
        champion = algorithm.champion
        assert champion is not None
        flattery.append(champion.mean - champion.genome.init_seed / 2**64)
    of_the_mean = 1 / math.sqrt(20 * SETTINGS.validation_episodes)
    assert abs(np.mean(flattery)) < 3 * of_the_mean


def test_the_best_mean_is_champion_however_much_more_another_was_played() -> None:
    candidates, window = Candidates(limit=3, validation_episodes=4), Window(10, "oldest")
    steady, better = (Genome.founder(seed) for seed in (1, 2))
    for genome, returns in ((steady, (1.0,) * 12), (better, (3.0, 2.0, 2.0, 1.0))):
        candidates.lend(asked(genome, len(returns)), window)
        event = candidates.tell(asked(genome), returns)
        assert isinstance(event, NewChampion)
        assert event.genome == genome
    assert candidates.champion is not None
    assert candidates.champion.mean == 2.0


def test_a_trial_whose_episodes_are_all_on_their_way_is_not_deepened_further() -> None:
    candidates, window = Candidates(limit=3, validation_episodes=4), Window(10, "oldest")
    genome = Genome.founder(1)
    candidates.lend(asked(genome, 1), window)
    candidates.tell(asked(genome), (1.0,))
    for _ in range(3):
        assert candidates.choose(window) == (genome, Purpose.VALIDATE)
        candidates.lend(asked(genome, 1), window)
    assert candidates.choose(window) is None


def test_trials_kept_are_bounded_by_the_candidates_that_are_allowed() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    for _ in range(20):
        play(algorithm, 200, noisy(3, hidden, 1.0))
        written = algorithm.snapshot()["candidates"]
        assert isinstance(written, dict)
        trials = written["trials"]
        assert isinstance(trials, list)
        assert len(trials) <= (1 + 3) * 5 + 5


def test_on_a_plateau_where_all_means_are_equal_the_champion_stays_and_a_restart_keeps_it() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    _, events = play(algorithm, 2_000, lambda _ask: 0.0)
    assert len(events) == 1
    restored = GeneticAlgorithm(SETTINGS, seed=1)
    restored.restore(algorithm.snapshot())
    assert restored.champion == algorithm.champion


@pytest.mark.parametrize("size", [1e150, 1e170, 1.7e308])
def test_huge_scores_leave_every_number_finite_and_the_search_goes_on(size: float) -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    random = np.random.default_rng(0)
    play(algorithm, 400, lambda _: size * (random.random() - 0.5) * 2)
    written = json.dumps(algorithm.snapshot(), allow_nan=False)
    assert "validation_credit" in written
    asks, _ = play(algorithm, 2_000, noisy(1, hidden, 0.1))
    assert any(ask.purpose is Purpose.VALIDATE for ask in asks)
    assert algorithm.champion is not None
    assert math.isfinite(algorithm.champion.mean)


def test_the_error_of_a_mean_beyond_all_squares_is_infinite() -> None:
    trial = Trial(Genome.founder(1))
    for value in (1e200, -1e200):
        trial.add(value)
    report = trial.report(validated=True)
    assert (report.mean, report.standard_error) == (0.0, math.inf)
