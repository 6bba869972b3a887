"""Where the noise of an evolution strategy's pairs lies in the streams: pure numbers, no arrays of weights.

An epoch of EGGROLL (arXiv 2511.16652) plays `N` antithetic pairs: members ``+E`` and ``-E`` of one noise E.
The noise of pair k is a function of (experiment seed, epoch, k, parameter name, element):

- a matrix `[m, n]` (any parameter of two or more dimensions, outputs by everything else) has
  ``E = A B^T / sqrt(rank)``; `A [m, rank]` comes from the stream of ``name:A``, `B [n, rank]` from that
  of ``name:B``;
- any other parameter has dense noise from the stream of its own name;
- within a stream, under the counter word ``epoch // noise_reuse``, pair k owns the values from
  ``k * stride`` on, where the stride is what a pair needs, rounded up to whole Philox blocks. So the factors
  of neighbouring pairs are one contiguous draw, and those of any pair can be drawn alone.

A low-rank mutation of a genome (:func:`germline.weights.mutate`) is pair 0 of epoch 0 under its own seed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from germline.noise import LANES_PER_BLOCK, stream_id

PLUS, MINUS = 1, -1
_NAME = re.compile(r"([0-9]+)\.([0-9]+)([+-])")


class Member(NamedTuple):
    """One network of an epoch: the centre plus `sign` times the noise of a pair."""

    epoch: int
    pair: int
    sign: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.pair}{'+' if self.sign == PLUS else '-'}"

    @classmethod
    def parse(cls, name: str) -> Member:
        """The member with this name, such as ``12.345+``.

        Raises:
            ValueError: if the text is no member's name.
        """
        match = _NAME.fullmatch(name)
        if not match:
            raise ValueError(
                f"member {name!r} is not of the form EPOCH.PAIR+ or EPOCH.PAIR-, such as 12.345+"
            )
        epoch, pair, sign = match.groups()
        return cls(int(epoch), int(pair), PLUS if sign == "+" else MINUS)


class Slice(NamedTuple):
    """Consecutive antithetic pairs of an evolution strategy's epoch; no pairs mean the centre itself."""

    epoch: int
    first_pair: int
    pairs: int


def members(epoch: int, first_pair: int, count: int) -> list[Member]:
    """The members of `count` pairs, in the order of every score list: pair by pair, plus before minus."""
    return [Member(epoch, k, s) for k in range(first_pair, first_pair + count) for s in (PLUS, MINUS)]


class NoiseKey(NamedTuple):
    """The noise of one pair: key and counter words of its streams, and its place in them.

    Attributes:
        seed: uint64 of the experiment, or of a mutation.
        word: the counter word, see :func:`noise_epoch`; 0 for a mutation.
        pair: its number; 0 for a mutation.
    """

    seed: int
    word: int = 0
    pair: int = 0


def noise_epoch(epoch: int, noise_reuse: int) -> int:
    """The counter word of an epoch whose noise is kept for `noise_reuse` epochs (1: fresh every epoch)."""
    if noise_reuse < 1:
        raise ValueError(f"noise_reuse is {noise_reuse}; it counts epochs, from 1 (fresh noise every epoch)")
    return epoch // noise_reuse


@dataclass(frozen=True, slots=True)
class Block:
    """What a pair owns of one stream: `size` values, at multiples of `stride`."""

    stream: int
    size: int

    @property
    def stride(self) -> int:
        """The distance between neighbouring pairs: the size in whole blocks of the generator."""
        return -(-self.size // LANES_PER_BLOCK) * LANES_PER_BLOCK

    def window(self, first_pair: int, count: int) -> tuple[int, int]:
        """First index and number of the values of `count` neighbouring pairs."""
        return first_pair * self.stride, count * self.stride


@dataclass(frozen=True, slots=True)
class ParameterNoise:
    """How one parameter's noise is made: two factors, or one dense block.

    `a` is None where the noise is dense; then `b` is the block of all values.
    """

    name: str
    shape: tuple[int, ...]
    rank: int
    a: Block | None
    b: Block

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...], rank: int) -> ParameterNoise:
        """The noise of a parameter; `rank` applies if it has two or more dimensions."""
        if len(shape) < 2:
            return cls(name, shape, 0, None, Block(stream_id(name), math.prod(shape)))
        m, n = shape[0], math.prod(shape[1:])
        a, b = Block(stream_id(name + ":A"), m * rank), Block(stream_id(name + ":B"), n * rank)
        return cls(name, shape, rank, a, b)

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """`(m, n)`: outputs by everything else."""
        return self.shape[0], math.prod(self.shape[1:])

    @property
    def values_per_pair(self) -> int:
        """How many values a pair draws for this parameter."""
        return self.b.stride + (self.a.stride if self.a else 0)
