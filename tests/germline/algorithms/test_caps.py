"""New individuals play games that are cut, candidates and the champion whole ones, and the two never mix."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.algorithms.base import Ask, Purpose, Result, check_cut
from germline.algorithms.caps import MEASURED, Caps
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings, Replacement
from germline.algorithms.window import Member, Window
from germline.genome import Genome

CAP = 2_000
STARTS = tuple(range(100, 106))
EXACT = GaSettings(window=12, parents=3, candidates=2, founders=6, starts=STARTS, cap_frames=CAP)
ENDLESS = GaSettings(window=12, parents=3, candidates=2, founders=6, validation_episodes=3, cap_frames=CAP)
BOTH = pytest.mark.parametrize("settings", [EXACT, ENDLESS], ids=["exact", "endless"])


def worth(ask: Ask) -> float:
    return float(ask.genome.id % 7)


def result(ask: Ask, *, cut: bool = True) -> Result:
    """Under a cap everybody gets at least 100, in whole games at most 6: they can be told apart anywhere."""
    if not ask.cap_frames:
        return Result(ask.ticket, tuple(worth(ask) for _ in ask.episode_seeds), 9_000, 2_250)
    n = len(ask.episode_seeds)
    return Result(ask.ticket, (100 + worth(ask),) * n, CAP * n, CAP * n // 4, cut=n if cut else 0)


def run(settings: GaSettings, evaluations: int = 200, seed: int = 3) -> tuple[GeneticAlgorithm, list[Ask]]:
    algorithm, asked = GeneticAlgorithm(settings, seed), list[Ask]()
    for _ in range(evaluations):
        asked += algorithm.ask(1)
        algorithm.tell(result(asked[-1]))
    return algorithm, asked


@BOTH
def test_only_new_individuals_are_cut(settings: GaSettings) -> None:
    _, asked = run(settings)
    caps = {(ask.purpose is Purpose.EXPLORE, ask.cap_frames) for ask in asked}
    assert caps == {(True, CAP), (False, 0)}


@BOTH
def test_the_champion_s_mean_is_of_whole_games_only(settings: GaSettings) -> None:
    algorithm, _ = run(settings, 400)
    champion = algorithm.champion
    assert champion is not None
    assert 0 <= champion.mean <= 6
    if settings.starts:
        assert champion.returns == (champion.mean,) * len(STARTS)


@BOTH
def test_parents_are_chosen_by_cut_games_only(settings: GaSettings) -> None:
    algorithm, _ = run(settings, 400)
    assert all(member.fitness >= 100 for member in algorithm.population())
    assert {member.cap_frames for member in algorithm.population()} == {CAP}


def test_leaders_are_played_enough_and_not_for_ever_although_no_fitness_rests_on_it() -> None:
    """Where episodes have no end, the least played of the leaders is re-played, up to V episodes."""
    _, asked = run(ENDLESS, 400)
    replays = [ask.genome.id for ask in asked if ask.purpose is Purpose.VALIDATE]
    assert len(set(replays)) > 10


def test_a_start_that_was_cut_is_played_again_and_a_whole_one_is_not() -> None:
    """A game that ended before the cap is the whole game."""
    for cut in (True, False):
        algorithm, played = GeneticAlgorithm(EXACT, 3), dict[int, set[int]]()
        twice = 0
        for _ in range(200):
            (ask,) = algorithm.ask(1)
            before = played.setdefault(ask.genome.id, set())
            twice += len(before.intersection(ask.episode_seeds))
            before.update(ask.episode_seeds)
            algorithm.tell(result(ask, cut=cut))
        assert (twice > 0) is cut


def test_before_there_is_a_champion_nothing_is_known_of_anybody_s_whole_games() -> None:
    algorithm = GeneticAlgorithm(EXACT, 3)
    (ask,) = algorithm.ask(1)
    algorithm.tell(result(ask))
    leader = algorithm.leader()
    assert leader is not None
    assert (leader.genome, leader.episodes, leader.validated) == (ask.genome, 0, False)
    assert math.isnan(leader.mean)


@given(tells=st.integers(0, 120), settings=st.sampled_from([EXACT, ENDLESS]))
def test_a_restored_search_goes_on_as_it_would_have(tells: int, settings: GaSettings) -> None:
    algorithm, _ = run(settings, tells)
    algorithm.ask(5)
    again = GeneticAlgorithm(settings, 3)
    again.restore(json.loads(json.dumps(algorithm.snapshot())))
    assert again.pending() == algorithm.pending()
    for ask in algorithm.pending():
        assert again.tell(result(ask)) == algorithm.tell(result(ask))
    assert again.ask(20) == algorithm.ask(20)
    assert again.snapshot() == algorithm.snapshot()


def test_a_snapshot_of_another_cap_is_refused() -> None:
    written: dict[str, Any] = json.loads(json.dumps(run(EXACT, 5)[0].snapshot()))
    other = GaSettings(window=12, parents=3, candidates=2, founders=6, starts=STARTS, cap_frames=CAP + 4)
    with pytest.raises(ValueError, match=r"settings\.cap_frames is 2000 in the snapshot, 2004 here"):
        GeneticAlgorithm(other, 3).restore(written)


@pytest.mark.parametrize(("cap_frames", "cut"), [(CAP, None), (0, 0), (0, 1), (CAP, 3), (CAP, -1)])
def test_a_result_that_was_not_played_under_its_ask_s_cap_is_refused(
    cap_frames: int, cut: int | None
) -> None:
    with pytest.raises(ValueError, match=r"^cut is .*; ticket 1 has (no cap, allowed: none|a cap of 2,000)"):
        check_cut(Result(1, (1.0, 2.0), 8, 2, cut=cut), cap_frames)


def test_the_search_refuses_it_too_and_nothing_has_changed() -> None:
    algorithm = GeneticAlgorithm(EXACT, 3)
    (ask,) = algorithm.ask(1)
    with pytest.raises(ValueError, match="cut is None"):
        algorithm.tell(result(ask)._replace(cut=None))
    assert algorithm.pending() == [ask]
    assert algorithm.evaluations == 0


def test_without_candidates_nobody_would_play_whole_games() -> None:
    with pytest.raises(ValueError, match="candidates is 0; allowed: 1 or more under a cap"):
        GaSettings(candidates=0, cap_frames=CAP)


# A cap that grows

GROWING = GaSettings(
    window=12, parents=3, candidates=2, founders=6, starts=STARTS, cap_schedule="progressive"
)


def longer(ask: Ask, age: int) -> Result:
    """Games last longer the later they are played, and pay for each frame."""
    n, whole = len(ask.episode_seeds), 1_000 + 10 * age
    played = min(whole, ask.cap_frames or whole)
    cut = n * (whole > ask.cap_frames) if ask.cap_frames else None
    return Result(ask.ticket, (played + worth(ask),) * n, played * n, played * n // 4, cut=cut)


def grow(evaluations: int) -> tuple[GeneticAlgorithm, list[Ask]]:
    algorithm, asked = GeneticAlgorithm(GROWING, 3), list[Ask]()
    for age in range(evaluations):
        asked += algorithm.ask(1)
        algorithm.tell(longer(asked[-1], age))
    return algorithm, asked


def test_the_first_cap_is_half_of_the_length_of_the_first_whole_games() -> None:
    _, asked = grow(60)
    caps = [ask.cap_frames for ask in asked if ask.purpose is Purpose.EXPLORE]
    assert caps[:MEASURED] == [0] * MEASURED
    assert 500 < caps[MEASURED] < 700


def test_the_cap_doubles_as_games_last_longer_and_parents_are_always_of_one_cap() -> None:
    algorithm, caps = GeneticAlgorithm(GROWING, 3), list[int]()
    for age in range(600):
        (ask,) = algorithm.ask(1)
        algorithm.tell(longer(ask, age))
        caps.append(algorithm.cap_frames)
        assert {member.cap_frames for member in algorithm.best(3)} <= {algorithm.compared_cap_frames}
    whole, *seen = dict.fromkeys(caps)
    assert whole == 0
    assert len(seen) >= 3
    assert seen == [seen[0] << doubling for doubling in range(len(seen))]
    assert algorithm.compared_cap_frames == seen[-1]


@pytest.mark.parametrize(("cut_of_eight", "cap_frames"), [(2, 100), (3, 200)])
def test_the_cap_doubles_if_more_than_a_quarter_of_half_a_window_hit_it(
    cut_of_eight: int, cap_frames: int
) -> None:
    caps = Caps(100, grows=True, window=16)
    ask = Ask(0, Genome.founder(1), Purpose.EXPLORE, (5,), cap_frames=100)
    for number in range(8):
        assert caps.now == 100
        caps.tell(ask, Result(0, (1.0,), 100, 25, cut=int(number < cut_of_eight)))
    assert caps.now == cap_frames


def test_games_under_the_cap_before_say_nothing_of_the_new_one() -> None:
    caps = Caps(100, grows=True, window=12)
    late = Ask(0, Genome.founder(1), Purpose.EXPLORE, (5,), cap_frames=100)
    for _ in range(60):
        caps.tell(late, Result(0, (1.0,), 100, 25, cut=1))
    assert caps.now == 200


def member(number: int, fitness: float, cap_frames: int) -> Member:
    return Member(Genome.founder(number), number, fitness, 1, cap_frames=cap_frames)


@pytest.mark.parametrize("replacement", ["oldest", "worst"])
def test_those_under_the_cap_before_stand_for_the_population_until_half_a_window_played_under_the_new_one(
    replacement: Replacement,
) -> None:
    window = Window(8, replacement)
    for number in range(8):
        window.add(member(number, float(number), 100))
    for number in range(8, 16):
        window.add(member(number, -float(number), 200))
        assert window.cap_frames == (200 if number - 7 >= 4 else 100)
        assert {each.cap_frames for each in window.best(8)} == {window.cap_frames}
        assert len(window.best(8)) == window.comparable
        assert window.ranked(-1) is window.best(1)[0]
        assert window.ranked(0) is window.best(8)[-1]
    assert [each.fitness for each in window.best(2)] == [-8.0, -9.0]


def test_an_individual_that_is_asked_again_under_a_longer_cap_is_scored_anew() -> None:
    settings = GaSettings(window=4, parents=1, candidates=1, cap_frames=4, cap_schedule="progressive")
    algorithm = GeneticAlgorithm(settings, 3)
    (ask,) = algorithm.ask(1)
    algorithm.tell(Result(ask.ticket, (1.0,), 4, 1, cut=1))
    algorithm.adopt(ask._replace(ticket=7, cap_frames=8))
    algorithm.tell(Result(7, (5.0,), 8, 2, cut=1))
    assert [(each.fitness, each.episodes, each.cap_frames) for each in algorithm.best(9)] == [(5.0, 1, 8)]


@given(tells=st.integers(0, 150))
def test_a_growing_cap_is_restored_and_replayed_to_the_same(tells: int) -> None:
    algorithm, asked = grow(tells)
    again, replayed = GeneticAlgorithm(GROWING, 3), GeneticAlgorithm(GROWING, 3)
    again.restore(json.loads(json.dumps(algorithm.snapshot())))
    for age, ask in enumerate(asked):
        replayed.adopt(ask)
        replayed.tell(longer(ask, age))
    assert again.snapshot() == replayed.snapshot() == algorithm.snapshot()
    assert again.ask(30) == replayed.ask(30) == algorithm.ask(30)


def test_under_a_bonus_who_lasts_longer_is_ahead_and_the_champion_s_score_stays_the_game_s() -> None:
    settings = replace(EXACT, frame_bonus=0.5)
    algorithm = GeneticAlgorithm(settings, 3)
    for _ in range(400):
        ask = algorithm.ask(1)[0]
        lasted = 10 * (ask.genome.id % 5)
        told = Result(ask.ticket, (1.0,), lasted, lasted // 2, cut=1 if ask.cap_frames else None)
        algorithm.tell(told)
    assert {member.fitness for member in algorithm.population()} <= {1.0, 6.0, 11.0, 16.0, 21.0}
    assert algorithm.best(1)[0].fitness == 21.0
    assert algorithm.champion is not None
    assert algorithm.champion.mean == 1.0


def test_a_bonus_survives_a_restart_and_other_settings_are_refused() -> None:
    algorithm, _ = run(replace(EXACT, frame_bonus=0.5))
    snapshot = json.loads(json.dumps(algorithm.snapshot()))
    again = GeneticAlgorithm(algorithm.settings, 3)
    again.restore(snapshot)
    assert again.snapshot() == algorithm.snapshot()
    with pytest.raises(ValueError, match="frame_bonus"):
        GeneticAlgorithm(EXACT, 3).restore(snapshot)


@pytest.mark.parametrize(("bonus", "cap"), [(0.1, 0), (-0.1, CAP), (math.inf, CAP), (math.nan, CAP)])
def test_a_bonus_that_cannot_be_is_refused(bonus: float, cap: int) -> None:
    with pytest.raises(ValueError, match="frame_bonus"):
        replace(EXACT, frame_bonus=bonus, cap_frames=cap)
