"""Is what is reported of an evolution strategy's best centre true? On noise whose truth is known.

Run ``germline bench centre``. The task is a point in 20 dimensions, to be found by its distance; a score is
minus the distance and normal noise. A plain evolution strategy climbs: the centre is measured before each
epoch, which moves it along its pairs' differences. Each run ends with a best centre, whose reported mean and
interval are held against the truth.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from germline.algorithms.base import Result
from germline.algorithms.centres import NewBestCentre
from germline.algorithms.eggroll import Eggroll, EggrollEvent
from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.slices import EpochClosed, SliceAsk
from germline.bench.champion import NOISES, Outcome, Row, play_all, summary
from germline.statistics import half_width

DIMENSIONS = 20
SETTINGS = EggrollSettings(pairs=16, slice_pairs=16, validation_epochs=1)
_SIGMA = 0.1
_STEP = 0.05

Point = npt.NDArray[np.float64]


class Climb(NamedTuple):
    """One run: how noisy, how long, from which seed."""

    settings: EggrollSettings
    noise: float
    epochs: int
    seed: int


class NoisyClimb:
    """A centre that moves, and what it truly is before each epoch.

    Attributes:
        truths: true fitness of the centre, by epoch.
    """

    def __init__(self, climb: Climb) -> None:
        self._climb = climb
        self._random = np.random.default_rng([climb.seed, round(1_000 * climb.noise)])
        self._centre = self._random.standard_normal(DIMENSIONS)
        self._directions = self._draw()
        self.truths = [_truth(self._centre)]

    def play(self, ask: SliceAsk) -> Result:
        """Noisy returns of a slice, or of the centre itself."""
        if ask.pairs:
            members = self._centre + _SIGMA * np.stack([self._directions, -self._directions], axis=1)
            true = [_truth(member) for member in members.reshape(-1, DIMENSIONS)]
        else:
            true = [self.truths[-1]] * ask.episodes
        returns = np.array(true) + self._climb.noise * self._random.standard_normal(len(true))
        return Result(ask.ticket, tuple(returns.tolist()), frames=1, steps=1)

    def move(self, closed: EpochClosed) -> None:
        """Go one step along the mean direction, weighted by the pairs' standardised differences."""
        plus, minus = np.array(closed.fitness).reshape(-1, 2).T
        differences = plus - minus
        weights = differences / (np.sqrt(np.mean(differences**2)) or 1.0)
        self._centre = self._centre + _STEP * weights @ self._directions / np.sqrt(len(weights))
        self._directions = self._draw()
        self.truths.append(_truth(self._centre))

    def _draw(self) -> Point:
        return self._random.standard_normal((self._climb.settings.pairs, DIMENSIONS))


def outcome(climb: Climb) -> Outcome:
    """Climb, and look behind the noise at the best centre."""
    task, algorithm = NoisyClimb(climb), Eggroll(climb.settings, climb.seed)
    titles: list[int] = []
    while algorithm.epoch < climb.epochs:
        for ask in algorithm.ask(2):
            titles += _follow(task, algorithm.tell(task.play(ask)))
    best = algorithm.best
    if best is None:
        raise ValueError(f"epochs is {climb.epochs}: too few for a measured centre")
    steps = [(task.truths[after] - task.truths[before]) / climb.noise for before, after in pairwise(titles)]
    truth = task.truths[best.epoch]
    miss = best.mean - truth
    covered = abs(miss) <= half_width(best.standard_error, best.episodes)
    return Outcome(miss / climb.noise, covered, truth, tuple(steps))


def measure(
    runs: int = 100, epochs: int = 100, processes: int = 2, settings: EggrollSettings = SETTINGS
) -> list[Row]:
    """So many runs at each noise, from seeds 0, 1, 2 ..."""
    climbs = {noise: [Climb(settings, noise, epochs, seed) for seed in range(runs)] for noise in NOISES}
    return [summary(noise, play_all(outcome, each, processes)) for noise, each in climbs.items()]


def _follow(task: NoisyClimb, events: list[EggrollEvent]) -> list[int]:
    """Let the centre move; return the epoch of each centre that had the title."""
    titles = [event.centre.epoch for event in events if isinstance(event, NewBestCentre)]
    for event in events:
        if isinstance(event, EpochClosed):
            task.move(event)
    return titles


def _truth(point: Point) -> float:
    return -float(np.linalg.norm(point))
