"""MAP-Elites against pyribs' at equal evaluations: `python -m germline.bench.qd`, which needs `ribs`.

The sphere and the Rastrigin function with linear projections as measures, as in pyribs' own example (Fontaine
et al. 2020, arXiv 1912.02400, section 4): 20 numbers, a grid of 50 x 50 cells, objectives from 0 to 100.
Both begin with 100 standard normal founders, mutate with a standard deviation of 0.5, and ask for batches of
100; ours breeds lines of seeds, theirs (a GridArchive and a GaussianEmitter) vectors. Beside that, ours as it
is usually played, steady-state: each result may be a parent at once.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from germline.algorithms.base import Result
from germline.algorithms.cells import MapSettings
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.map_elites import MapElites
from germline.algorithms.vectors import Vectors
from germline.behaviour import quantise

DIMENSION = 20
CELLS = (50, 50)
FOUNDERS = 100
SIGMA = 0.5
BATCH = 100
_EDGE = 5.12
_SHIFT = 0.4 * _EDGE
_REACH = _EDGE * DIMENSION / 2

Vector = npt.NDArray[np.floating[Any]]
Objective = Callable[[Vector], npt.NDArray[np.float64]]


def sphere(solutions: Vector) -> npt.NDArray[np.float64]:
    """Minus the squared distance from the shifted middle, from 0 (the worst in the box) to 100."""
    worst = DIMENSION * (_EDGE + _SHIFT) ** 2
    return _normed(np.sum(np.square(solutions.astype(np.float64) - _SHIFT), axis=1), worst)


def rastrigin(solutions: Vector) -> npt.NDArray[np.float64]:
    """The same of the Rastrigin function, which has a hole at every whole number."""
    moved = solutions.astype(np.float64) - _SHIFT
    value = 10 * DIMENSION + np.sum(np.square(moved) - 10 * np.cos(2 * np.pi * moved), axis=1)
    edge = -_EDGE - _SHIFT
    return _normed(value, DIMENSION * (10 + edge**2 - 10 * np.cos(2 * np.pi * edge)))


def measures(solutions: Vector) -> npt.NDArray[np.float64]:
    """The sums of both halves, `[n, 2]`, of numbers that are bent back at the edge of the box."""
    found = solutions.astype(np.float64)
    beyond = np.abs(found) > _EDGE
    found[beyond] = _EDGE / found[beyond]
    half = DIMENSION // 2
    return np.stack([found[:, :half].sum(axis=1), found[:, half:].sum(axis=1)], axis=1)


def _normed(value: npt.NDArray[np.float64], worst: float) -> npt.NDArray[np.float64]:
    return 100 * (worst - value) / worst


def ours(objective: Objective, evaluations: int, seed: int, at_a_time: int = 1) -> float:
    """The QD score of our MAP-Elites; so many are asked before the first of them is told."""
    count = CELLS[0] * CELLS[1]
    settings = GaSettings(
        cells=MapSettings(2, CELLS), window=count, parents=count, founders=FOUNDERS, power=SIGMA, candidates=0
    )
    search, vectors = MapElites(settings, seed), Vectors(DIMENSION, keep=100_000)
    for _ in range(0, evaluations, at_a_time):
        for ask in search.ask(at_a_time):
            solution = vectors(ask.genome)[None]
            behaviour = quantise(measures(solution)[0], -_REACH, _REACH)
            search.tell(Result(ask.ticket, (float(objective(solution)[0]),), 1, 1, behaviour=behaviour))
    return search.qd_score()


def theirs(objective: Objective, evaluations: int, seed: int) -> float:
    """The QD score of pyribs'."""
    from ribs.archives import GridArchive  # type: ignore[import-not-found,unused-ignore]
    from ribs.emitters import GaussianEmitter  # type: ignore[import-not-found,unused-ignore]
    from ribs.schedulers import Scheduler  # type: ignore[import-not-found,unused-ignore]

    founders = np.random.default_rng(seed).standard_normal((FOUNDERS, DIMENSION))
    archive = GridArchive(solution_dim=DIMENSION, dims=CELLS, ranges=[(-_REACH, _REACH)] * 2, seed=seed)
    emitter = GaussianEmitter(
        archive, sigma=SIGMA, initial_solutions=founders, batch_size=BATCH, seed=seed + 1
    )
    scheduler = Scheduler(archive, [emitter])
    asked = 0
    while asked < evaluations:
        solutions = scheduler.ask()
        asked += len(solutions)
        scheduler.tell(objective(solutions), measures(solutions))
    return float(archive.stats.qd_score)


def compare(evaluations: int, seeds: int) -> dict[str, dict[str, float]]:
    """Median QD scores on both functions, and ours in the same batches as a share of theirs."""
    found = {}
    for objective in (sphere, rastrigin):
        batched, steady, other = (
            statistics.median(score(objective, evaluations, seed) for seed in range(seeds))
            for score in (_batched, ours, theirs)
        )
        found[objective.__name__] = {
            "germline_in_batches": batched,
            "germline_steady_state": steady,
            "pyribs": other,
            "ratio": batched / other,
        }
    return found


def _batched(objective: Objective, evaluations: int, seed: int) -> float:
    return ours(objective, evaluations, seed, BATCH)


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description="MAP-Elites against pyribs at equal evaluations.")
    parser.add_argument("--evaluations", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    print(json.dumps(compare(given.evaluations, given.seeds), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
