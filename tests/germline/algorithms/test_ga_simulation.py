"""Validation pays where scores are noisy: the benchmark in small, and that it is honest."""

from __future__ import annotations

import numpy as np
import pytest

from germline.bench import ga_simulation
from germline.bench.ga_simulation import ELITES, GENERATION, NoisyDistance, compare, elites, rebuild, table
from germline.genome import Genome, Mutation


@pytest.mark.slow
def test_the_validated_champion_is_truly_better_over_twenty_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of the window, a fifth of the generation, a tenth of the evaluations."""
    settings = ga_simulation.SETTINGS
    small = type(settings)(founders=1, power=settings.power, window=200, parents=10, validation_episodes=15)
    monkeypatch.setattr(ga_simulation, "SETTINGS", small)
    monkeypatch.setattr(ga_simulation, "GENERATION", 1_000)
    comparison = compare(noise=1.0, evaluations=4_000, runs=20)
    over_elites, over_best_score = comparison.gain("elites"), comparison.gain("unvalidated")
    assert over_elites.low > 0, f"validation gains {over_elites} over elites"
    # So short a run has few episodes to spare for validation: it gains little here (see the benchmark).
    assert over_best_score.estimate > 0, f"validation gains {over_best_score} over the best single score"


def test_all_searchers_of_a_run_look_for_the_same_point() -> None:
    one, other = NoisyDistance(0.2, seed=5), NoisyDistance(1.0, seed=5)
    assert one.truth(Genome.founder(0)) == other.truth(Genome.founder(1))
    assert one.truth(Genome.founder(0)) != NoisyDistance(0.2, seed=6).truth(Genome.founder(0))


def test_a_score_is_the_truth_and_the_noise() -> None:
    task, genome = NoisyDistance(0.5, seed=1), Genome.founder(0).child(Mutation(3, 0.25))
    scores = [task.score(genome, Genome.founder(0).id) for _ in range(4_000)]
    assert np.mean(scores) == pytest.approx(task.truth(genome), abs=0.04)
    assert np.std(scores) == pytest.approx(0.5, rel=0.05)


def test_a_point_stepped_from_its_parent_is_the_point_rebuilt_from_its_seeds() -> None:
    task = NoisyDistance(0.0, seed=1)
    genome = Genome.founder(0)
    for seed in range(50):
        child = genome.child(Mutation(seed, 0.0625))
        assert task.score(child, genome.id) == pytest.approx(task.truth(child), abs=1e-12)
        genome = child
    assert rebuild(genome).shape == (100,)


class Recorder(NoisyDistance):
    """Keeps what a searcher asked, and scores it without noise by what `value` says."""

    def __init__(self) -> None:
        super().__init__(0.0, seed=1)
        self.asked: list[tuple[int | None, int]] = []

    def score(self, genome: Genome, parent_id: int | None) -> float:
        self.asked.append((parent_id, genome.id))
        return float(len(self.asked) % 1_009)


def test_the_ancestors_rule_breeds_from_the_last_generations_elites_only() -> None:
    task = Recorder()
    elites(task, 2 * GENERATION + 100, seed=1)
    asked = task.asked[1:]
    score = {child: float((place + 2) % 1_009) for place, (_, child) in enumerate(asked)}
    first, second = asked[:GENERATION], asked[GENERATION : 2 * GENERATION]
    assert {parent for parent, _ in first} == {Genome.founder(0).id}
    best = sorted((child for _, child in first), key=score.__getitem__)[-ELITES:]
    assert {score[parent] for parent, _ in second if parent is not None} == {score[child] for child in best}


def test_the_ancestors_best_score_is_kept_for_ever() -> None:
    class OnceLucky(NoisyDistance):
        calls = 0

        def score(self, genome: Genome, parent_id: int | None) -> float:
            self.calls += 1
            if self.calls == 10:
                self.lucky = genome
                return 1e9
            return super().score(genome, parent_id)

    task = OnceLucky(0.2, seed=1)
    assert elites(task, 3 * GENERATION, seed=1) == task.lucky


def test_the_table_has_a_row_for_each_searcher_and_noise() -> None:
    text = table([compare(noise, evaluations=60, runs=2) for noise in (0.2, 1.0)])
    assert len(text.splitlines()) == 2 + 6
    assert "| 1.0 | elites |" in text
