"""What rebuilding a network costs: a child of a cached parent against `numpy.random.RandomState`.

The reference is how seed-encoded neuroevolution is commonly written: one ``RandomState(seed).normal(size=n)``
for each mutation; adding the noise to the weights is not even counted. Ours is one noise pass over the same
1.7 million weights (the network of Mnih et al. 2015) and the addition to the cached parent. All take turns in
one run, on one thread; medians of processor time are compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from germline.genome import Genome, Mutation, float32
from germline.weights import Layout
from worker.networks.parent_cache import ParentCache
from worker.networks.policies.dqn2015 import Dqn2015

_POWER = float32(0.002)
_CACHE_BYTES = 64 << 20
_SHORT_LINE, _LONG_LINE = 10, 1_000


@dataclass(frozen=True, slots=True)
class RebuildFigures:
    """Medians over all rounds.

    Attributes:
        weights: of the network.
        rounds: how often each was measured, in turns.
        reference_ms: one pass of ``RandomState(seed).normal``.
        child_ms: a child at 10 mutations, with its parent cached.
        long_line_child_ms: a child at 1,000 mutations, with its parent cached.
        share_of_reference: child_ms / reference_ms; at most 1/6 is asked for.
        long_line_ratio: long_line_child_ms / child_ms; at most 1.1 is asked for.
    """

    weights: int
    rounds: int
    reference_ms: float
    child_ms: float
    long_line_child_ms: float
    share_of_reference: float
    long_line_ratio: float


def measure(rounds: int = 25) -> RebuildFigures:
    """Measure on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(rounds)
    finally:
        torch.set_num_threads(threads)


def _measure(rounds: int) -> RebuildFigures:
    layout = Layout.of(Dqn2015(observation_shape=(4, 84, 84), outputs=18))
    reference, short, long = _take_turns(
        rounds,
        _Reference(layout.size),
        _Children(layout, _SHORT_LINE),
        _Children(layout, _LONG_LINE),
    )
    return RebuildFigures(
        weights=layout.size,
        rounds=rounds,
        reference_ms=reference,
        child_ms=short,
        long_line_child_ms=long,
        share_of_reference=short / reference,
        long_line_ratio=long / short,
    )


class _Reference:
    """The common way: a generator for each seed. Only the draw is timed, not what is done with it."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, seed: int) -> None:
        np.random.RandomState(seed).normal(size=self._size)


class _Children:
    """Our way: children of one cached parent, written into the same slot."""

    def __init__(self, layout: Layout, mutations: int) -> None:
        self._parent = Genome.founder(0)
        for seed in range(mutations - 1):
            self._parent = self._parent.child(Mutation(seed, _POWER))
        self._slot = torch.zeros(layout.size)
        self._cache = ParentCache(layout, torch.device("cpu"), _CACHE_BYTES)
        self(0)  # the parent goes into the cache

    def __call__(self, seed: int) -> None:
        self._cache.write_child(self._parent, self._parent.child(Mutation(seed + 2**32, _POWER)), self._slot)


def _take_turns(rounds: int, *contestants: Callable[[int], None]) -> list[float]:
    """Median processor milliseconds of each, measured in turns so that a busy moment hits all alike."""
    taken: list[list[float]] = [[] for _ in contestants]
    for turn in range(rounds + 2):
        for times, contestant in zip(taken, contestants, strict=True):
            start = time.thread_time()
            contestant(turn)
            times.append(1e3 * (time.thread_time() - start))
    return [statistics.median(times[2:]) for times in taken]
