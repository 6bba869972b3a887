"""Individuals without networks: where a genome stands in the plane, and a hill that misleads climbers."""

import math
from functools import lru_cache

import numpy as np

from germline.algorithms.base import Ask, Result
from germline.behaviour import quantise
from germline.genome import Genome

SIDE = 10.0


@lru_cache(maxsize=1_000_000)
def place(genome: Genome) -> tuple[float, float]:
    """The sum of a genome's steps, each within the plane; a founder stands near the middle."""
    parent, last = genome.parent(), genome.last
    if parent is None or last is None:
        x, y = np.random.default_rng(genome.init_seed).normal(0, 0.5, 2).tolist()
        return x, y
    step = np.random.default_rng(last.seed).normal(0, last.power, 2)
    x, y = np.clip(np.add(place(parent), step), -SIDE, SIDE).tolist()
    return x, y


def told(ask: Ask, fitness: float | None = None) -> Result:
    """What came of an ask: fitness, or the return in the valley, and where the walker stands."""
    x, y = place(ask.genome)
    score = valley(x, y) if fitness is None else fitness
    returns = (score,) * len(ask.episode_seeds)
    return Result(ask.ticket, returns, 1, 1, behaviour=quantise([x, y], -SIDE, SIDE))


def valley(x: float, y: float) -> float:
    """A small hill to the left of the middle, and a summit beyond a valley to its right."""
    hill = 3 - math.hypot(x + 3, y)
    summit = 20 - 10 * math.hypot(x - 8, y)
    return max(hill, summit)
