"""Where the founder's weights are stored, it is the only one, and everybody descends from it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from germline.algorithms.base import Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings, Selection
from germline.genome import Genome

FOUNDER = Genome.founder(2**64 - 5)
SETTINGS = GaSettings(window=20, parents=4, power=0.5, founder=FOUNDER.init_seed)


def test_it_is_asked_once_and_its_children_follow_before_it_is_scored() -> None:
    first, *others = GeneticAlgorithm(SETTINGS, seed=1).ask(8)
    assert (first.genome, first.parent_id) == (FOUNDER, None)
    assert [ask.genome.parent() for ask in others] == [FOUNDER] * 7
    assert {ask.parent_id for ask in others} == {FOUNDER.id}
    assert len({ask.genome.id for ask in others}) == 7


@pytest.mark.parametrize("selection", ["truncation", "tournament"])
def test_everybody_descends_from_it_by_exact_seeds(selection: Selection) -> None:
    settings = replace(SETTINGS, selection=selection, candidates=0, litter=3)
    algorithm = GeneticAlgorithm(settings, seed=1)
    for _ in range(200):
        (ask,) = algorithm.ask(1)
        algorithm.tell(Result(ask.ticket, (float(len(ask.genome)),), 1, 1))
        assert ask.genome.common_ancestor(FOUNDER) == FOUNDER
    assert algorithm.lineage_depth > 3


def test_a_snapshot_names_it_and_goes_on_alike() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    algorithm.ask(3)
    written = json.loads(json.dumps(algorithm.snapshot()))
    again = GeneticAlgorithm(SETTINGS, seed=1)
    again.restore(written)
    assert again.ask(5) == algorithm.ask(5)
    with pytest.raises(ValueError, match="founder"):
        GeneticAlgorithm(GaSettings(window=20, parents=4, power=0.5), seed=1).restore(written)


def test_a_founder_that_does_not_count_any_more_is_asked_again() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=1)
    (first,) = algorithm.ask(1)
    algorithm.tell(Result(first.ticket, (1.0,), 1, 1))
    algorithm.forget([FOUNDER.id])
    (again, child) = algorithm.ask(2)
    assert again.genome == FOUNDER
    assert child.genome.parent() == FOUNDER
