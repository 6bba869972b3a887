"""Who is re-played next, who is given up, and who has the title: candidates without a search around them."""

from __future__ import annotations

import math

import pytest

from germline.algorithms.base import Ask, Champion, NewChampion, Purpose
from germline.algorithms.champion import Candidates, Trial
from germline.algorithms.window import Member, Window
from germline.genome import Genome

WORST, MIDDLE, BEST = (Genome.founder(seed) for seed in range(3))
ENOUGH = 4


def asked(genome: Genome, episodes: int = 1) -> Ask:
    """A re-play of an individual; what it plays matters to nobody here."""
    return Ask(0, genome, Purpose.VALIDATE, tuple(range(episodes)))


def measuring(genome: Genome, episodes: int) -> Ask:
    """Episodes of a champion that decide nothing."""
    return asked(genome, episodes)._replace(purpose=Purpose.MEASURE)


def leaders(*genomes: Genome) -> Window:
    """A window of these, the later the better, each told of one episode."""
    window = Window(100, "oldest")
    for rank, genome in enumerate(genomes or (WORST, MIDDLE, BEST)):
        window.add(Member(genome, rank, float(rank), 1))
    return window


def candidates(limit: int = 2) -> Candidates:
    return Candidates(limit, ENOUGH)


def play(pool: Candidates, genome: Genome, *returns: float, window: Window | None = None) -> object:
    """Lend fresh episodes of an individual and tell them."""
    pool.lend(asked(genome, len(returns)), window or Window(1, "oldest"))
    return pool.tell(asked(genome), returns)


def turned(pool: Candidates, turn: int) -> Candidates:
    """Breadth, depth, breadth, depth, breadth, title: which of these is due."""
    pool.turn = turn
    return pool


def chosen(pool: Candidates, window: Window) -> Genome | None:
    """Who is to be re-played."""
    choice = pool.choose(window)
    return choice[0] if choice is not None else None


def test_a_trial_reports_the_mean_and_standard_error_of_its_fresh_episodes() -> None:
    trial = Trial(BEST)
    assert [trial.add(value) for value in (1.0, 3.0, 8.0)] == [0.0, 2.0, 24.0]
    assert trial.report(validated=True) == Champion(BEST, 4.0, 3, math.sqrt(26 / 2 / 3), True)


def test_a_single_episode_tells_nothing_of_the_error() -> None:
    trial = Trial(BEST)
    trial.add(1.0)
    assert math.isnan(trial.report(validated=False).standard_error)
    trial.add(3.0)
    assert trial.report(validated=False).standard_error == 1.0


def test_breadth_re_plays_the_least_played_leader_and_the_best_of_equals() -> None:
    pool, window = candidates(), leaders()
    assert chosen(pool, window) == BEST
    pool.lend(asked(BEST, 1), window)
    assert chosen(turned(pool, 0), window) == MIDDLE
    pool.lend(asked(MIDDLE, 2), window)
    assert chosen(turned(pool, 0), window) == BEST


def test_breadth_ends_where_every_leader_was_played_enough() -> None:
    pool, window = candidates(), leaders()
    for genome in (BEST, MIDDLE):
        pool.lend(asked(genome, ENOUGH - 2), window)
    assert chosen(pool, window) == BEST
    for genome in (BEST, MIDDLE):
        pool.lend(asked(genome, 1), window)
    assert turned(pool, 0).choose(window) is None


def test_depth_goes_on_with_the_surest_open_trial_and_never_with_one_not_begun() -> None:
    pool, window = candidates(), leaders()
    assert chosen(turned(pool, 1), window) == BEST  # nothing is begun: breadth instead
    play(pool, WORST, 5.0, 6.0, window=window)
    play(pool, MIDDLE, 5.0, 6.0, 5.5, window=window)
    pool.lend(asked(BEST, 1), window)
    assert chosen(turned(pool, 1), window) == MIDDLE
    pool.lend(asked(MIDDLE, 1), window)
    assert chosen(turned(pool, 3), window) == WORST


def test_the_surest_has_the_best_mean_less_one_standard_error_of_a_return() -> None:
    pool, window = candidates(), leaders()
    pool.know_noise(squares=100.0, weight=4.0)  # a standard deviation of 5
    play(pool, WORST, 10.0)
    pool.know_noise(squares=100.0, weight=4.0)
    play(pool, MIDDLE, 8.0, 8.0, 8.0)
    pool.know_noise(squares=100.0, weight=4.0)
    assert chosen(turned(pool, 1), window) == MIDDLE  # 8 - 5 / sqrt(3) beats 10 - 5
    leading = pool.leading()
    assert leading is not None
    assert (leading.genome, leading.validated) == (MIDDLE, False)
    pool.know_noise(squares=80.0, weight=5.0)  # of 4: 10 - 4 beats 8 - 4 / sqrt(3)
    assert chosen(turned(pool, 1), window) == WORST


def test_a_title_is_defended_in_its_turn_up_to_five_times_enough() -> None:
    pool, window = candidates(), leaders(WORST)
    assert chosen(turned(pool, 5), leaders()) == BEST  # nobody has the title: breadth instead
    play(pool, BEST, *[1.0] * ENOUGH)
    pool.lend(measuring(BEST, 5 * ENOUGH), window)
    assert turned(pool, 5).choose(window) == (BEST, Purpose.VALIDATE)
    pool.lend(asked(BEST, 4 * ENOUGH - 1), window)
    assert chosen(turned(pool, 5), window) == BEST
    pool.lend(asked(BEST, 1), window)
    assert chosen(turned(pool, 5), window) == WORST
    assert chosen(turned(pool, 0), window) == WORST


def test_turns_go_round_breadth_twice_depth_between_and_title_last() -> None:
    pool, window = candidates(), leaders()
    play(pool, WORST, *[9.0] * ENOUGH, window=window)
    pool.lend(measuring(WORST, 5 * ENOUGH), window)
    play(pool, MIDDLE, 9.0, window=window)
    pool.turn = 0
    order = []
    for _ in range(12):
        order.append(chosen(pool, window))
        pool.turn = pool.turn + 1 if pool.turn < 5 else 0
    assert order == [BEST, MIDDLE, BEST, MIDDLE, BEST, WORST] * 2
    for turn in range(6):
        pool.turn = turn
        pool.lend(asked(MIDDLE, 0), window)
        assert pool.turn == (turn + 1) % 6


def test_what_is_on_its_way_is_counted_up_when_lent_and_down_when_told() -> None:
    pool, window = candidates(), leaders()
    pool.lend(asked(BEST, 3), window)
    member, trial = window.find(BEST.id), pool.trials[BEST.id]
    assert member is not None
    assert (member.in_flight, member.planned, trial.in_flight, trial.planned) == (3, 4, 3, 3)
    pool.tell(asked(BEST), (1.0, 1.0))
    assert (trial.in_flight, trial.episodes, trial.planned) == (1, 2, 3)
    pool.tell(asked(BEST), (1.0, 1.0))
    assert (trial.in_flight, trial.episodes) == (0, 4)


def test_what_is_given_back_is_on_its_way_no_longer() -> None:
    pool, window = candidates(), leaders()
    pool.lend(asked(BEST, 3), window)
    trial = pool.trials[BEST.id]
    pool.give_back(asked(MIDDLE, 3), window)
    pool.give_back(asked(BEST, 2), window)
    assert (window.ranked(-1).in_flight, trial.in_flight) == (1, 1)
    pool.give_back(asked(BEST, 2), window)
    assert (window.ranked(-1).in_flight, trial.in_flight) == (0, 0)


def test_fresh_episodes_of_somebody_unknown_change_nothing() -> None:
    pool = candidates()
    assert pool.tell(asked(BEST), (1.0,) * ENOUGH) is None
    assert (pool.trials, pool.champion) == ({}, None)


def test_the_title_goes_to_the_best_mean_of_those_played_enough_and_is_told_once() -> None:
    pool = candidates()
    assert play(pool, WORST, *[9.0] * (ENOUGH - 1)) is None
    assert play(pool, MIDDLE, *[1.0] * ENOUGH) == NewChampion(MIDDLE, 1.0, ENOUGH)
    assert play(pool, MIDDLE, 1.0) is None
    assert play(pool, WORST, 9.0) == NewChampion(WORST, 9.0, ENOUGH)
    leading = pool.leading()
    assert leading is not None
    assert (leading.genome, leading.validated) == (WORST, True)


def test_of_equal_means_the_title_stays_and_the_one_that_was_played_more_breeds() -> None:
    pool = candidates()
    play(pool, WORST, *[1.0] * ENOUGH)
    assert play(pool, MIDDLE, *[1.0] * (ENOUGH + 1)) is None
    assert pool.champion is pool.trials[WORST.id]
    assert pool.elite == MIDDLE


def test_a_title_is_lost_to_a_mean_that_luck_would_seldom_make_and_to_no_smaller_one() -> None:
    pool = candidates()
    play(pool, WORST, *[1.0] * ENOUGH)
    pool.know_noise(squares=4e9, weight=1e9)  # a standard deviation of 2: means of four differ by sqrt(2)
    assert play(pool, MIDDLE, *[1.0 + 1.49 * math.sqrt(2)] * ENOUGH) is None
    assert play(pool, BEST, *[1.0 + 1.51 * math.sqrt(2)] * ENOUGH) is not None
    assert pool.champion is pool.trials[BEST.id]


def test_a_title_is_lost_when_its_holders_fresh_mean_falls() -> None:
    pool = candidates()
    play(pool, BEST, *[5.0] * ENOUGH)
    play(pool, MIDDLE, *[4.0] * ENOUGH)
    assert pool.champion is pool.trials[BEST.id]
    assert play(pool, BEST, *[-5.0] * (2 * ENOUGH)) == NewChampion(MIDDLE, 4.0, ENOUGH)


def test_what_is_reported_of_a_champion_comes_from_episodes_that_decided_nothing() -> None:
    pool, window = candidates(), leaders()
    play(pool, BEST, *[9.0] * ENOUGH, window=window)
    report = pool.report()
    assert report is not None
    assert (report.episodes, report.title_episodes, report.proven) == (0, ENOUGH, -math.inf)
    assert math.isnan(report.mean)
    assert report.known_mean == report.title_mean == 9.0
    measured = measuring(BEST, 2)
    pool.lend(measured, window)
    assert pool.tell(measured, (1.0, 3.0)) is None
    play(pool, BEST, 9.0, window=window)
    assert pool.report() == Champion(BEST, 2.0, 2, 1.0, True, title_episodes=ENOUGH + 1, title_mean=9.0)
    assert pool.trials[BEST.id].mean == 9.0


def test_a_new_champion_is_measured_first_and_in_every_other_turn() -> None:
    pool, window = candidates(), leaders()
    play(pool, MIDDLE, *[9.0] * ENOUGH, window=window)
    pool.turn = 0
    purposes = []
    for _ in range(4):
        choice = pool.choose(window)
        assert choice is not None
        genome, purpose = choice
        purposes.append(purpose)
        pool.lend(asked(genome, 1)._replace(purpose=purpose), window)
    assert purposes == [Purpose.VALIDATE, Purpose.MEASURE] * 2


def test_where_nobody_else_needs_to_be_re_played_the_champion_is_measured_up_to_five_times_enough() -> None:
    pool, window = candidates(), Window(1, "oldest")
    play(pool, BEST, *[9.0] * ENOUGH, window=window)
    pool.turn = 0
    assert pool.choose(window) == (BEST, Purpose.MEASURE)
    pool.lend(measuring(BEST, 5 * ENOUGH), window)
    pool.turn = 0
    assert pool.choose(window) is None


def test_the_best_mean_breeds_from_the_moment_it_is_told_or_forgotten() -> None:
    pool, window = candidates(limit=3), leaders()
    for genome, mean in ((WORST, 1.0), (MIDDLE, 2.0), (BEST, 3.0)):
        play(pool, genome, *[mean] * ENOUGH, window=window)
        assert pool.elite == genome
    play(pool, BEST, *[-9.0] * ENOUGH, window=window)
    assert pool.elite == MIDDLE
    pool.forget([MIDDLE.id], window)
    assert pool.elite == WORST


def test_what_was_measured_of_a_lost_title_is_not_the_new_champions() -> None:
    pool, window = candidates(), leaders()
    play(pool, MIDDLE, *[1.0] * ENOUGH, window=window)
    late = measuring(MIDDLE, 1)
    pool.lend(late, window)
    play(pool, BEST, *[9.0] * ENOUGH, window=window)
    pool.tell(late, (5.0,))
    report = pool.report()
    assert report is not None
    assert (report.genome, report.episodes) == (BEST, 0)


def test_fresh_episodes_prove_no_more_than_they_show_and_no_more_than_was_seen_before() -> None:
    pool, window = candidates(), leaders()
    play(pool, BEST, *[9.0] * ENOUGH, window=window)
    for value, proven in ((5.0, 5.0), (20.0, 9.0)):
        ask = measuring(BEST, ENOUGH)
        pool.lend(ask, window)
        pool.tell(ask, (value,) * ENOUGH)
        report = pool.report()
        assert report is not None
        assert report.proven == proven


def test_a_trial_that_is_surely_worse_than_the_champion_is_given_up() -> None:
    pool = candidates()
    play(pool, BEST, 4.0, 6.0, 4.0, 6.0)
    pool.know_noise(squares=36.0, weight=9.0)  # a standard deviation of 2
    for genome, value in ((WORST, 2.5), (MIDDLE, 3.5)):
        pool.lend(asked(genome, 1), Window(1, "oldest"))
        pool.tell(asked(genome), (value,))
    assert set(pool.trials) == {BEST.id, MIDDLE.id}


def test_no_more_finished_trials_are_kept_than_candidates_and_the_least_goes() -> None:
    pool = candidates(limit=2)
    for genome, value in ((MIDDLE, 2.0), (WORST, 1.0), (BEST, 3.0)):
        play(pool, genome, *[value] * ENOUGH)
    assert set(pool.trials) == {MIDDLE.id, BEST.id}


def test_three_open_trials_are_kept_for_each_candidate_and_the_least_sure_goes() -> None:
    pool = candidates(limit=1)
    genomes = [Genome.founder(seed) for seed in range(10, 14)]
    for genome, value in zip(genomes[:3], (2.0, 1.0, 3.0), strict=True):
        play(pool, genome, value)
    assert len(pool.trials) == 3
    play(pool, genomes[3], 4.0)
    assert set(pool.trials) == {genomes[place].id for place in (0, 2, 3)}


def test_noise_is_learnt_from_every_episode_but_a_trials_first_and_fades_over_a_thousand() -> None:
    pool = candidates()
    play(pool, BEST, 1.0)
    assert (pool.noise_squares, pool.noise_weight) == (0.0, 0.0)
    play(pool, BEST, 3.0)
    assert (pool.noise_squares, pool.noise_weight) == (2.0, 1.0)
    play(pool, BEST, 2.0)
    assert pool.noise_squares == pytest.approx(2.0 * 0.999)
    assert pool.noise_weight == pytest.approx(1.999)


def test_without_validation_the_best_single_evaluation_has_the_title_until_it_is_beaten() -> None:
    pool = candidates(limit=0)
    assert pool.score(WORST, (1.0, 3.0)) == NewChampion(WORST, 2.0, 2)
    assert pool.score(MIDDLE, (2.0,)) is None
    assert pool.score(BEST, (2.5,)) == NewChampion(BEST, 2.5, 1)
    assert list(pool.trials) == [BEST.id]
    assert pool.champion is not None
    assert pool.champion.genome == BEST
    assert pool.leading() == pool.report()


def test_a_new_pool_begins_with_breadth_and_asks_nothing_of_an_empty_window() -> None:
    pool = candidates()
    assert pool.turn == 0
    assert pool.choose(Window(10, "oldest")) is None


def test_where_no_noise_is_known_a_mean_is_taken_as_it_is() -> None:
    pool = candidates()
    play(pool, WORST, 10.0)
    play(pool, MIDDLE, 9.8, 9.8, 9.8)
    pool.know_noise(squares=0.0, weight=0.0)
    assert chosen(turned(pool, 1), leaders()) == WORST


def test_a_trial_of_which_nothing_is_told_yet_is_not_given_up() -> None:
    pool = candidates()
    pool.lend(asked(MIDDLE, 1), Window(1, "oldest"))
    play(pool, BEST, *[1.0] * ENOUGH)
    assert set(pool.trials) == {BEST.id, MIDDLE.id}


def test_nobody_leads_before_the_first_fresh_episode() -> None:
    pool = candidates()
    pool.lend(asked(BEST, 1), leaders())
    assert pool.leading() is None
