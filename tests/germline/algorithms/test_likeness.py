"""Children are held against their parents where both played the same start, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from germline.algorithms.base import Ask, Purpose, Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.likeness import Likeness
from germline.genome import Genome, Mutation

PARENT = Genome.founder(1)
CHILD = PARENT.child(Mutation(2, 0.5))
SETTINGS = GaSettings(window=20, parents=3, founders=6, candidates=2, starts=tuple(range(4)))
Plays = Callable[[Ask], tuple[float, int]]


def asked(genome: Genome, seeds: tuple[int, ...] = (7,), cap_frames: int = 0) -> Ask:
    parent_id = PARENT.id if genome is CHILD else None
    return Ask(0, genome, Purpose.EXPLORE, seeds, parent_id, cap_frames)


def counts(likeness: Likeness) -> tuple[int, int]:
    return likeness.compared, likeness.different


@pytest.mark.parametrize(
    ("value", "frames", "different"), [(3.0, 400, 0), (4.0, 400, 1), (3.0, 404, 1)], ids=str
)
def test_another_return_or_another_length_is_another_way_to_act(
    value: float, frames: int, different: int
) -> None:
    likeness = Likeness()
    likeness.tell(asked(PARENT), Result(0, (3.0,), 400, 100))
    likeness.tell(asked(CHILD), Result(0, (value,), frames, 100))
    assert counts(likeness) == (1, different)


@pytest.mark.parametrize(("seed", "cap_frames"), [(8, 0), (7, 200)], ids=["start", "cap"])
def test_games_that_are_not_alike_are_not_compared(seed: int, cap_frames: int) -> None:
    likeness = Likeness()
    likeness.tell(asked(PARENT), Result(0, (3.0,), 400, 100))
    likeness.tell(asked(CHILD, (seed,), cap_frames), Result(0, (4.0,), 400, 100))
    assert counts(likeness) == (0, 0)


def test_of_several_episodes_only_the_returns_are_known() -> None:
    likeness = Likeness()
    likeness.tell(asked(PARENT, (7, 8)), Result(0, (3.0, 1.0), 800, 200))
    likeness.tell(asked(CHILD, (8, 9)), Result(0, (1.0, 5.0), 600, 150))
    assert counts(likeness) == (1, 0)


def test_a_parent_that_told_something_false_is_compared_no_more() -> None:
    likeness = Likeness()
    likeness.tell(asked(PARENT), Result(0, (3.0,), 400, 100))
    likeness.forget([PARENT.id])
    likeness.tell(asked(CHILD), Result(0, (4.0,), 400, 100))
    assert counts(likeness) == (0, 0)


def copies(ask: Ask) -> tuple[float, int]:
    """Whoever comes of one founder plays as it does."""
    return float(ask.genome.init_seed % 5), 400 + ask.episode_seeds[0]


def strangers(ask: Ask) -> tuple[float, int]:
    """Everybody plays otherwise."""
    return float(ask.genome.id % 1_000_003), 400


def searched(plays: Plays, algorithm: GeneticAlgorithm, evaluations: int) -> GeneticAlgorithm:
    for _ in range(evaluations):
        (ask,) = algorithm.ask(1)
        value, frames = plays(ask)
        algorithm.tell(Result(ask.ticket, (value,), frames, frames // 4))
    return algorithm


@pytest.mark.parametrize(("plays", "share"), [(copies, 0.0), (strangers, 1.0)], ids=["copies", "strangers"])
def test_a_search_knows_which_share_of_its_children_acts_differently(plays: Plays, share: float) -> None:
    likeness = searched(plays, GeneticAlgorithm(SETTINGS, seed=3), 300).likeness
    assert likeness.compared > 30
    assert likeness.different == share * likeness.compared


def test_what_is_kept_for_comparison_does_not_grow_with_the_run() -> None:
    algorithm = searched(strangers, GeneticAlgorithm(SETTINGS, seed=3), 2_000)
    assert len(algorithm.likeness.rows()[2]) < 1_000  # type: ignore[arg-type]


def test_a_restart_changes_nothing_about_it() -> None:
    algorithm = searched(strangers, GeneticAlgorithm(SETTINGS, seed=3), 100)
    restored = GeneticAlgorithm(SETTINGS, seed=3)
    restored.restore(json.loads(json.dumps(algorithm.snapshot())))
    assert restored.snapshot() == algorithm.snapshot()
    assert searched(strangers, restored, 50).snapshot() == searched(strangers, algorithm, 50).snapshot()


def test_a_snapshot_of_an_earlier_build_has_nothing_of_it() -> None:
    written = searched(strangers, GeneticAlgorithm(SETTINGS, seed=3), 100).snapshot()
    del written["likeness"]
    restored = GeneticAlgorithm(SETTINGS, seed=3)
    restored.restore(written)
    assert counts(restored.likeness) == (0, 0)
