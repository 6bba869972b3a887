"""Work that cannot be scored costs itself only: nobody waits for it, and what stands beside it counts."""

import json
import math
from typing import Any

import pytest

from germline.algorithms.base import AlreadyToldError, Purpose, Result, UnknownTicketError
from germline.algorithms.eggroll import Eggroll, EggrollEvent
from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.slices import EpochClosed, SliceAsk

SETTINGS = EggrollSettings(
    pairs=6, slice_pairs=2, episodes=2, validation_epochs=1, validation_episodes=3, reported_episodes=2
)
NAN = math.nan


def tell(algorithm: Eggroll, ask: SliceAsk) -> list[EggrollEvent]:
    return algorithm.tell(Result(ask.ticket, tuple(map(float, range(ask.episodes))), 40, 10))


def through_text(algorithm: Eggroll) -> dict[str, Any]:
    return dict(json.loads(json.dumps(algorithm.snapshot(), allow_nan=False)))


def fitness_of(events: list[EggrollEvent]) -> tuple[float, ...]:
    (closed,) = [event for event in events if isinstance(event, EpochClosed)]
    return closed.fitness


def test_a_pair_that_cannot_be_scored_is_dropped_whole_and_its_slice_counts() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    _, bad, *rest = algorithm.ask(9)
    for ask in rest:
        tell(algorithm, ask)
    algorithm.set_aside(bad.ticket, (1.0, 3.0, 5.0, NAN, 0.0, 2.0, 4.0, 8.0))
    (centre,) = algorithm.pending()
    fitness = fitness_of(tell(algorithm, centre))
    assert [math.isnan(score) for score in fitness] == [True] * 2 + [False] * 10
    assert fitness[2:6] == (1.0, 6.0, 0.5, 2.5)
    assert algorithm.evaluations == 2 + 8 + 1
    assert algorithm.episodes == 4 + 16 + 5


def test_an_epoch_closes_with_the_last_work_that_is_set_aside() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    centre, *slices = algorithm.ask(9)
    algorithm.set_aside(centre.ticket)
    for ask in slices[1:]:
        tell(algorithm, ask)
    fitness = fitness_of(algorithm.set_aside(slices[0].ticket))
    assert [math.isnan(score) for score in fitness] == [True] * 4 + [False] * 8
    assert algorithm.epoch == 1
    assert algorithm.best is None


def test_only_what_was_asked_is_set_aside() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    with pytest.raises(UnknownTicketError, match=r"^ticket 2 was never asked; epoch 0 is open$"):
        algorithm.set_aside(2)


def test_an_epoch_of_which_nothing_can_be_scored_closes_too() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    events = [event for ask in algorithm.ask(9) for event in algorithm.set_aside(ask.ticket)]
    assert all(map(math.isnan, fitness_of(events)))
    assert algorithm.fitness_quantiles([0.5]) == []


def test_work_that_was_set_aside_stays_so_over_a_snapshot() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    centre, first, second, third = algorithm.ask(9)
    algorithm.set_aside(centre.ticket)
    algorithm.set_aside(first.ticket, [NAN] * 8)
    back = Eggroll(SETTINGS, 1)
    back.restore(through_text(algorithm))
    assert back.pending() == [second, third]
    with pytest.raises(AlreadyToldError, match="set aside"):
        tell(back, first)
    tell(back, second)
    assert len(fitness_of(tell(back, third))) == 12


def test_a_snapshot_of_an_earlier_build_has_nobody_set_aside() -> None:
    written = through_text(Eggroll(SETTINGS, 1))
    del written["set_aside"]
    back = Eggroll(SETTINGS, 1)
    back.restore(written)
    assert len(back.ask(9)) == 4


def test_what_was_set_aside_is_not_taken_back_as_if_it_had_been_told() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    first, *_ = algorithm.ask(9)
    algorithm.set_aside(first.ticket)
    with pytest.raises(ValueError, match="not told"):
        algorithm.untell(Result(first.ticket, (1.0, 1.0, 1.0), 0, 0))


def test_a_genetic_algorithm_forgets_a_ticket_that_was_set_aside() -> None:
    algorithm = GeneticAlgorithm(GaSettings(window=4, parents=2, founders=2), seed=1)
    first, second = algorithm.ask(2)
    algorithm.set_aside(first.ticket)
    assert algorithm.pending() == [second]
    with pytest.raises(AlreadyToldError):
        algorithm.set_aside(first.ticket)
    algorithm.tell(Result(second.ticket, (1.0,), 4, 1))
    assert [member.genome.id for member in algorithm.population()] == [second.genome.id]
    assert algorithm.ask(1)[0].parent_id == second.genome.id


def test_a_candidate_gets_other_fresh_episodes_for_those_that_failed() -> None:
    settings = GaSettings(
        window=10, parents=0, founders=1, candidates=1, validation_episodes=3, validation_share=0.5
    )
    algorithm = GeneticAlgorithm(settings, seed=1)
    failed = 0
    while algorithm.champion is None and algorithm.evaluations < 100:
        (ask,) = algorithm.ask(1)
        if ask.purpose is Purpose.VALIDATE and failed < 3:
            failed += 1
            algorithm.set_aside(ask.ticket)
        else:
            algorithm.tell(Result(ask.ticket, (float(not len(algorithm.pending())),), 4, 1))
    assert failed == 3
    assert algorithm.champion is not None
    assert algorithm.champion.title_episodes == 3
