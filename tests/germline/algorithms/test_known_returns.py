"""What is known of individuals by their episodes is what they played, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from germline.algorithms.base import Ask, Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.known_returns import KnownReturns
from germline.genome import Genome
from germline.protocol_starts import STARTS

ENDLESS = GaSettings(
    window=20,
    parents=4,
    founders=8,
    candidates=3,
    validation_episodes=6,
    validation_share=0.5,
    power=0.25,
    episodes=3,
)
FINITE = replace(ENDLESS, starts=STARTS["uber2018"], episodes=2)
CAPPED = replace(ENDLESS, cap_frames=50)


def true_return(genome: Genome, seed: int) -> float:
    return float((genome.id ^ seed) % 97)


def played(ask: Ask, cut: bool = False) -> Result:
    returns = tuple(true_return(ask.genome, seed) for seed in ask.episode_seeds)
    cut_episodes = len(returns) * cut if ask.cap_frames else None
    return Result(ask.ticket, returns, 40, 10, cut=cut_episodes)


def searched(settings: GaSettings, evaluations: int = 120) -> GeneticAlgorithm:
    algorithm = GeneticAlgorithm(settings, 5)
    for _ in range(evaluations):
        (ask,) = algorithm.ask(1)
        algorithm.tell(played(ask, cut=True))
    return algorithm


def known_of(algorithm: GeneticAlgorithm) -> list[KnownReturns]:
    found = (algorithm.known_returns(individual) for individual in sorted(set(algorithm.individual_ids())))
    return [each for each in found if each is not None]


def test_where_starts_are_finite_every_return_is_known_by_its_start() -> None:
    known = known_of(searched(FINITE))
    assert len(known) >= 15
    for each in known:
        assert each.returns == tuple(true_return(each.genome, seed) for seed in each.seeds)
        assert set(each.seeds) <= set(FINITE.starts)
    assert max(len(each.seeds) for each in known) == 30, "the champion has played all"


def test_where_episodes_are_endless_a_first_evaluation_is_known_by_its_mean() -> None:
    algorithm = searched(ENDLESS)
    known = known_of(algorithm)
    for each in known:
        (mean,) = each.returns
        assert len(each.seeds) == 3
        assert mean == sum(true_return(each.genome, seed) for seed in each.seeds) / 3
    replayed = [member.genome.id for member in algorithm.population() if member.episodes > 3]
    assert replayed
    assert not {each.genome.id for each in known} & set(replayed), "their later episodes are not kept"
    assert len(known) == 20 - len(replayed)


def test_games_that_were_cut_hold_nobody_to_anything() -> None:
    assert known_of(searched(CAPPED)) == []
    starts = known_of(searched(replace(FINITE, cap_frames=50)))
    assert starts
    for each in starts:  # of candidates' whole games
        assert each.returns == tuple(true_return(each.genome, seed) for seed in each.seeds)


@pytest.mark.parametrize("settings", [ENDLESS, FINITE])
def test_a_restored_search_knows_the_same(settings: GaSettings) -> None:
    algorithm, restored = searched(settings), GeneticAlgorithm(settings, 5)
    restored.restore(algorithm.snapshot())
    assert known_of(restored) == known_of(algorithm)


def test_of_a_stranger_nothing_is_known() -> None:
    assert GeneticAlgorithm(ENDLESS, 5).known_returns(7) is None
    assert GeneticAlgorithm(FINITE, 5).known_returns(7) is None
