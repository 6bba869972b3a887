"""Products of int8 matrices with exact sums, by whichever arithmetic this processor is fast at.

A processor with VNNI or AMX multiplies bytes faster than floats. One without (AVX2 alone, say) has no such
kernel in torch, whose plain loop takes many times as long as float32; and that is exact, too, while no sum
reaches 2^24.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

_EXACT = 1 << 24  # below which every whole number is a float32
_MOST_BYTE = 128
_TRIAL = (64, 512, 64)  # rows, inputs, outputs: about a step of a small convolution


class Product(Protocol):
    """A matrix of small whole numbers."""

    def __call__(self, lines: Tensor, out: Tensor) -> None:
        """`[k, inputs]` int8 times the matrix, into `[k, outputs]` int32."""
        ...


class ByIntegers:
    """Bytes times bytes, summed in int32."""

    def __init__(self, weight: Tensor) -> None:
        """Keep `[outputs, inputs]`, whole numbers of at most 127."""
        self._weight = weight.to(torch.int8).t()

    def __call__(self, lines: Tensor, out: Tensor) -> None:
        """Multiply."""
        torch._int_mm(lines, self._weight, out=out)


class ByFloats:
    """The same in float32, in as few pieces as keep every partial sum exact, in any order."""

    def __init__(self, weight: Tensor) -> None:
        """Keep `[outputs, inputs]`, whole numbers of at most 127."""
        pieces = 1
        while max(int(piece.abs().sum(1).max()) for piece in weight.chunk(pieces, 1)) * _MOST_BYTE > _EXACT:
            pieces *= 2
        self._pieces = [piece.float().t() for piece in weight.chunk(pieces, 1)]
        self._widths = [len(piece) for piece in self._pieces]

    def __call__(self, lines: Tensor, out: Tensor) -> None:
        """Multiply piece by piece; the pieces are added as integers."""
        first, *others = zip(torch.split(lines.float(), self._widths, 1), self._pieces, strict=True)
        out.copy_(torch.mm(*first))
        for each, piece in others:
            out.add_(torch.mm(each, piece).int())


@cache
def floats_are_faster() -> bool:
    """Whether this processor multiplies floats faster than bytes: a trial of a few milliseconds."""
    rows, inputs, outputs = _TRIAL
    weight, lines = torch.ones(outputs, inputs), torch.ones(rows, inputs, dtype=torch.int8)
    out = torch.empty(rows, outputs, dtype=torch.int32)
    return _least_s(ByFloats(weight), lines, out) < _least_s(ByIntegers(weight), lines, out)


def _least_s(product: Product, lines: Tensor, out: Tensor) -> float:
    taken: list[float] = []
    for _ in range(5):
        begun = time.perf_counter()
        product(lines, out)
        taken.append(time.perf_counter() - begun)
    return min(taken)
