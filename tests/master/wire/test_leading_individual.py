"""Whoever is said to be best was scored, and its score is said."""

import math
from types import SimpleNamespace
from typing import cast

import pytest

from germline.algorithms.base import Ask, Purpose, Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.v1 import experiment_pb2
from master.experiments.experiment import Experiment
from master.wire.experiment_messages import write_individual


def best_of(algorithm: GeneticAlgorithm) -> experiment_pb2.Individual | None:
    return write_individual(
        cast(Experiment, SimpleNamespace(own=None, centre=None, algorithm=algorithm)), None
    )


def play(algorithm: GeneticAlgorithm, ask: Ask, value: float) -> None:
    """Tell it, or set it aside where the value is no number."""
    if math.isnan(value):
        algorithm.set_aside(ask.ticket)
    else:
        algorithm.tell(Result(ask.ticket, tuple(value for _ in ask.episode_seeds), 1, 1))


@pytest.mark.parametrize("candidates", [0, 3])
def test_nobody_is_best_while_nothing_but_no_numbers_was_told(candidates: int) -> None:
    algorithm = GeneticAlgorithm(GaSettings(window=3, parents=1, candidates=candidates), seed=1)
    for ask in algorithm.ask(20):
        play(algorithm, ask, math.nan)
    assert best_of(algorithm) is None


def test_who_leads_on_fresh_episodes_and_has_left_the_population_is_best_with_their_mean() -> None:
    settings = GaSettings(window=2, parents=1, candidates=1, validation_episodes=5, validation_share=0.5)
    algorithm = GeneticAlgorithm(settings, seed=1)
    replayed = None
    while replayed is None or algorithm.member(replayed) is not None:
        (ask,) = algorithm.ask(1)
        if ask.purpose is Purpose.EXPLORE:
            play(algorithm, ask, math.nan if ask.ticket == 0 else 1.0)
        elif replayed is None:
            play(algorithm, ask, 7.0)
            replayed = ask.genome.id
    best = best_of(algorithm)
    assert best is not None
    assert (best.id, best.fitness) == (replayed, 7.0)
    assert not best.HasField("validated_mean")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("starts", [(), (1, 2, 3, 4, 5)])
def test_whatever_cannot_be_scored_never_leads(share: float, starts: tuple[int, ...]) -> None:
    settings = GaSettings(window=4, parents=2, candidates=2, validation_episodes=3, starts=starts)
    algorithm = GeneticAlgorithm(settings, seed=5)
    for _ in range(400):
        (ask,) = algorithm.ask(1)
        value = ask.genome.id % 1_000 / 1_000
        play(algorithm, ask, math.nan if value < share else value)
        best = best_of(algorithm)
        assert best is None or (best.id % 1_000 / 1_000 >= share and math.isfinite(best.fitness))
    assert algorithm.leader() is not None
