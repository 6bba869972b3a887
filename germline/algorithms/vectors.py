"""From a genome to plain weights, in numpy alone: for whoever asks and tells in a program of their own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from germline import noise
from germline.genome import Genome

_STREAM = noise.stream_id("vector")  # as the parameter of the policy "vector" is called

Weights = npt.NDArray[np.float32]


class Vectors:
    """Builds weights, and keeps those of the last individuals, so that a child costs one pass of noise.

    The same genome is the same weights, bit for bit, as those of policy "vector" on a worker. Mutations have
    to be dense.
    """

    def __init__(self, dimension: int, keep: int = 10_000) -> None:
        """Build vectors of so many weights; keep so many of them."""
        self.dimension = dimension
        self._keep = keep
        self._kept: dict[int, Weights] = {}

    def __call__(self, genome: Genome) -> Weights:
        """The weights of a genome, `[dimension]` float32; not to be changed."""
        missing: list[Genome] = []
        ancestor: Genome | None = genome
        while ancestor is not None and ancestor.id not in self._kept:
            missing.append(ancestor)
            ancestor = ancestor.parent()
        for each in reversed(missing):
            self._note(each, self._made(each))
        return self._kept[genome.id]

    def _made(self, genome: Genome) -> Weights:
        parent, last = genome.parent(), genome.last
        if parent is None or last is None:
            return noise.draw(genome.init_seed, _STREAM, 0, self.dimension)
        if last.rank:
            raise ValueError(f"mutation of rank {last.rank}; allowed: dense ones, of rank 0")
        step = np.float32(last.power) * noise.draw(last.seed, _STREAM, 0, self.dimension)
        made: Weights = self._kept[parent.id] + step
        return made

    def _note(self, genome: Genome, weights: Weights) -> None:
        weights.setflags(write=False)
        self._kept[genome.id] = weights
        if len(self._kept) > self._keep:
            self._kept.pop(next(iter(self._kept)))
