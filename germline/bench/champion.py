"""Is what is reported of a champion true, and does a solid one keep its title? On noise whose truth is known.

Run ``germline bench champion``. The task is that of :mod:`germline.bench.ga_simulation`; each run ends
somewhere in a search, with whoever has the title then. The interval that is reported should hold the
champion's true fitness in 95 of 100 runs, and the mean should be neither too high nor too low on average. A
change of the title is wrong where the former champion is truly better than its successor by more than a tenth
of a standard deviation of the noise; less is nobody's loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar

from germline.algorithms.base import Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.bench.ga_simulation import NoisyDistance
from germline.genome import Genome
from germline.statistics import half_width

NOISES = (0.3, 1.0, 3.0)
SETTINGS = GaSettings(founders=1, power=0.05, window=200, parents=10, validation_episodes=10)
TOLERANCE = 0.1
"""Standard deviations of the noise that nobody minds."""

T = TypeVar("T")


class Search(NamedTuple):
    """One run: how noisy, how long, from which seed."""

    settings: GaSettings
    noise: float
    evaluations: int
    seed: int


class Outcome(NamedTuple):
    """What a run came to.

    Attributes:
        error: the reported mean less the truth, in standard deviations of the noise; NaN if none is reported.
        covered: whether the interval holds the truth; None if none is reported.
        true_fitness: of the champion.
        steps: at each change of the title, by how many standard deviations the successor is truly better.
    """

    error: float
    covered: bool | None
    true_fitness: float
    steps: tuple[float, ...]


def outcome(search: Search) -> Outcome:
    """Search, and look behind the noise at whoever had the title."""
    task, algorithm = NoisyDistance(search.noise, search.seed), GeneticAlgorithm(search.settings, search.seed)
    titles: list[Genome] = []
    for _ in range(search.evaluations):
        (ask,) = algorithm.ask(1)
        score = task.score(ask.genome, ask.parent_id)
        titles += [event.genome for event in algorithm.tell(Result(ask.ticket, (score,), frames=1, steps=1))]
    champion = algorithm.champion
    if champion is None:
        raise ValueError(f"evaluations is {search.evaluations}: too few for a champion")
    truths = [task.truth(genome) / search.noise for genome in titles]
    steps = tuple(after - before for before, after in pairwise(truths))
    half = half_width(champion.standard_error, champion.episodes)
    miss = champion.mean - task.truth(champion.genome)
    covered = abs(miss) <= half if champion.episodes > 1 else None
    return Outcome(miss / search.noise, covered, task.truth(champion.genome), steps)


@dataclass(frozen=True, slots=True)
class Row:
    """Many runs at one noise.

    Attributes:
        noise: standard deviation of a score.
        runs: how many.
        reported: runs in which an interval was reported.
        covered: share of these whose interval holds the truth.
        error: mean of the reported mean less the truth, in standard deviations of the noise.
        true_fitness: mean over the runs.
        changes: of the title, in all runs.
        wrong: share of these in which a champion lost its title that was better by more than the tolerance.
        worse: share of these in which it was better at all.
    """

    noise: float
    runs: int
    reported: int
    covered: float
    error: float
    true_fitness: float
    changes: int
    wrong: float
    worse: float


def summary(noise: float, outcomes: Sequence[Outcome]) -> Row:
    """Put runs together."""
    reported = [each for each in outcomes if each.covered is not None]
    steps = [step for each in outcomes for step in each.steps]
    return Row(
        noise=noise,
        runs=len(outcomes),
        reported=len(reported),
        covered=_mean([float(bool(each.covered)) for each in reported]),
        error=_mean([each.error for each in reported]),
        true_fitness=_mean([each.true_fitness for each in outcomes]),
        changes=len(steps),
        wrong=_mean([float(step < -TOLERANCE) for step in steps]),
        worse=_mean([float(step < 0) for step in steps]),
    )


def measure(
    runs: int = 100, evaluations: int = 5_000, processes: int = 2, settings: GaSettings = SETTINGS
) -> list[Row]:
    """So many runs at each noise, from seeds 0, 1, 2 ..."""
    searches = {
        noise: [Search(settings, noise, evaluations, seed) for seed in range(runs)] for noise in NOISES
    }
    return [summary(noise, play_all(outcome, each, processes)) for noise, each in searches.items()]


def play_all(play: Callable[[T], Outcome], searches: Sequence[T], processes: int) -> list[Outcome]:
    """The outcome of each, in their order."""
    if processes == 1:
        return list(map(play, searches))
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(play, searches))


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| noise | interval holds the truth | reported - true, sd | true | changes | wrong | any worse |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.noise} | {100 * row.covered:.0f} % of {row.reported} | {row.error:+.3f} "
        f"| {row.true_fitness:.2f} | {row.changes} | {100 * row.wrong:.1f} % | {100 * row.worse:.1f} % |"
        for row in rows
    ]
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
