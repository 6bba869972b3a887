"""Does validation pay? The genetic algorithm on a noisy distance whose truth is known.

Run ``python -m germline.bench.ga_simulation``. The task: find a point in 100 dimensions; the fitness is minus
the distance to it, and a score is that plus normal noise. Three searchers get the same number of evaluations,
the same start and the same mutation power, and each names the individual it holds for best. What counts is
the *true* fitness of that individual.

- ``validated``: :class:`germline.algorithms.ga.GeneticAlgorithm` with its default validation.
- ``unvalidated``: the same without validation; it reports the best single score of the run.
- ``elites``: the rule of cshenton/neuroevolution: parents are the 50 best of the previous 5,000 evaluations,
  and the best score is kept for ever.
"""

from __future__ import annotations

import argparse
import sys
from bisect import insort
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from germline.algorithms.base import Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.genome import Genome, Mutation, float32
from germline.noise import draw, stream_id
from germline.statistics import Interval, mean_interval

DIMENSIONS = 100
POWER = 0.05
ELITES = 50
GENERATION = 5_000

NOISES = (0.2, 1.0)
SETTINGS = GaSettings(founders=1, power=POWER)

_POINTS_KEPT = 20_000
_STREAM = stream_id("point")

Point = npt.NDArray[np.float64]


class NoisyDistance:
    """Minus the distance to a hidden point `[100]`, seen through normal noise."""

    def __init__(self, noise: float, seed: int) -> None:
        self._noise = noise
        self._random = np.random.default_rng(seed)
        self._target = self._random.standard_normal(DIMENSIONS)
        self._points: OrderedDict[int, Point] = OrderedDict()

    def score(self, genome: Genome, parent_id: int | None) -> float:
        """One noisy evaluation."""
        return self._at(self._place(genome, parent_id)) + self._noise * float(self._random.standard_normal())

    def truth(self, genome: Genome) -> float:
        """What no searcher can see."""
        return self._at(rebuild(genome))

    def _at(self, point: Point) -> float:
        return -float(np.linalg.norm(point - self._target))

    def _place(self, genome: Genome, parent_id: int | None) -> Point:
        """An individual's point: known, one step from its parent, or rebuilt from its seeds."""
        point = self._points.get(genome.id)
        parent = self._points.get(parent_id) if parent_id is not None else None
        if parent_id is not None and parent is not None:
            self._points.move_to_end(parent_id)
        if point is None:
            last = genome.last
            point = parent + _step(last) if parent is not None and last is not None else rebuild(genome)
            self._points[genome.id] = point
        if len(self._points) > _POINTS_KEPT:
            self._points.popitem(last=False)
        return point


def rebuild(genome: Genome) -> Point:
    """A genome's point: the origin and every step of its line."""
    return sum((_step(mutation) for mutation in genome.mutations), start=np.zeros(DIMENSIONS))


def _step(mutation: Mutation) -> Point:
    return mutation.power * draw(mutation.seed, _STREAM, 0, DIMENSIONS).astype(np.float64)


def with_validation(task: NoisyDistance, evaluations: int, seed: int) -> Genome:
    """The genetic algorithm as it is; gives back the individual it holds for best."""
    return _evolve(SETTINGS, task, evaluations, seed)


def without_validation(task: NoisyDistance, evaluations: int, seed: int) -> Genome:
    """The same without re-plays: the best single score of the run is the champion."""
    return _evolve(replace(SETTINGS, candidates=0), task, evaluations, seed)


def _evolve(settings: GaSettings, task: NoisyDistance, evaluations: int, seed: int) -> Genome:
    algorithm = GeneticAlgorithm(settings, seed)
    for _ in range(evaluations):
        (ask,) = algorithm.ask(1)
        score = task.score(ask.genome, ask.parent_id)
        algorithm.tell(Result(ask.ticket, (score,), frames=1, steps=1))
    leader = algorithm.leader()
    if leader is None:
        raise ValueError(f"evaluations is {evaluations}; a search needs at least one")
    return leader.genome


def elites(task: NoisyDistance, evaluations: int, seed: int) -> Genome:
    """The ancestor's rule: breed from the last generation's 50 best; the best score opens each new list."""
    random = np.random.default_rng(seed)
    origin = Genome.founder(0)
    task.score(origin, None)  # puts the starting point on the map; its score is not looked at
    parents: list[Genome] = [origin]
    ranked: list[tuple[float, int, Genome]] = []  # worst first
    for number in range(evaluations):
        parent = parents[int(random.integers(len(parents)))]
        child = parent.child(Mutation(int(random.integers(2**32)), float32(POWER)))
        insort(ranked, (task.score(child, parent.id), number, child))
        del ranked[: max(0, len(ranked) - ELITES)]
        if (number + 1) % GENERATION == 0:
            parents = [genome for _, _, genome in ranked]
            del ranked[:-1]
    return ranked[-1][2]


SEARCHERS: dict[str, Callable[[NoisyDistance, int, int], Genome]] = {
    "validated": with_validation,
    "unvalidated": without_validation,
    "elites": elites,
}


class Run(NamedTuple):
    """One search: who searched, through how much noise, for how long, from which seed."""

    searcher: str
    noise: float
    evaluations: int
    seed: int


def true_fitness(run: Run) -> float:
    """Search, and look behind the noise at the individual that the searcher reports."""
    task = NoisyDistance(run.noise, run.seed)
    return task.truth(SEARCHERS[run.searcher](task, run.evaluations, run.seed))


@dataclass(frozen=True, slots=True)
class Comparison:
    """True fitness of every searcher at one noise, run by run: run k has one target for all of them."""

    noise: float
    found: dict[str, list[float]]

    def level(self, searcher: str) -> Interval:
        """Mean over the runs."""
        return mean_interval(self.found[searcher])

    def gain(self, searcher: str) -> Interval:
        """How much better validation does than this searcher, run by run."""
        pairs = zip(self.found["validated"], self.found[searcher], strict=True)
        return mean_interval([validated - other for validated, other in pairs])


def compare(noise: float, evaluations: int, runs: int, processes: int = 1) -> Comparison:
    """Let every searcher do every run."""
    plan = [Run(name, noise, evaluations, seed) for name, seed in product(SEARCHERS, range(runs))]
    if processes == 1:
        values = list(map(true_fitness, plan))
    else:
        with ProcessPoolExecutor(processes) as pool:
            values = list(pool.map(true_fitness, plan))
    found: dict[str, list[float]] = {name: [] for name in SEARCHERS}
    for run, value in zip(plan, values, strict=True):
        found[run.searcher].append(value)
    return Comparison(noise, found)


def table(comparisons: Sequence[Comparison]) -> str:
    """The comparison as a Markdown table."""
    lines = ["| noise | searcher | true fitness | validated is better by |", "|---|---|---|---|"]
    for comparison in comparisons:
        for name in SEARCHERS:
            gain = "" if name == "validated" else _text(comparison.gain(name))
            lines.append(f"| {comparison.noise} | {name} | {_text(comparison.level(name))} | {gain} |")
    return "\n".join(lines)


def _text(interval: Interval) -> str:
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(prog="germline.bench.ga_simulation", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="independent targets (default 20)")
    parser.add_argument("--evaluations", type=int, default=40_000, help="per run (default 40,000)")
    parser.add_argument("--processes", type=int, default=2, help="runs at a time (default 2)")
    chosen = parser.parse_args(arguments)
    comparisons = [compare(noise, chosen.evaluations, chosen.runs, chosen.processes) for noise in NOISES]
    sys.stdout.write(table(comparisons) + "\n")


if __name__ == "__main__":
    main()
