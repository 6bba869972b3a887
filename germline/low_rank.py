"""Low-rank noise as tensors: the factors of a pair's or a mutation's matrices, and the step that they make.

Source: EGGROLL, arXiv 2511.16652, section 4. Where a factor lies in the streams says :mod:`germline.pairs`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from germline import noise_torch
from germline.pairs import Block, NoiseKey, ParameterNoise


def low_rank_step(a: Tensor, b: Tensor, power: float) -> Tensor:
    """``power / sqrt(rank) * A B^T``, `[pairs, m * n]` float32; `a [pairs, m, rank]`, `b [pairs, n, rank]`.

    The product is exact in float64; it is scaled once and rounded once, so its bits are the same everywhere.
    """
    product = torch.bmm(a.double(), b.double().transpose(1, 2))
    return product.mul_(power / math.sqrt(a.shape[2])).float().flatten(1)


class Drawn:
    """The noise of `count` neighbouring pairs, drawn as it is asked for and then kept.

    Values are those of :mod:`germline.noise`, unscaled, float32, with equal bits on every device.
    """

    def __init__(self, key: NoiseKey, count: int, device: torch.device) -> None:
        self.key = key
        self.count = count
        self.device = device
        self._kept: dict[int, Tensor] = {}  # by stream

    def factors(self, noise: ParameterNoise) -> tuple[Tensor, Tensor]:
        """`A [count, m, rank]` and `B [count, n, rank]` of a matrix."""
        if noise.a is None:
            raise ValueError(f"parameter {noise.name} has dense noise, not factors")
        m, n = noise.matrix_shape
        return (
            self._values(noise.a).view(self.count, m, noise.rank),
            self._values(noise.b).view(self.count, n, noise.rank),
        )

    def dense(self, noise: ParameterNoise) -> Tensor:
        """The noise of a parameter that is no matrix, `[count, size]`."""
        return self._values(noise.b)

    def part(self, first: int, count: int) -> Drawn:
        """The noise of some of these pairs; what is drawn already is shared."""
        key = self.key._replace(pair=self.key.pair + first)
        return _Part(self, first, key, count)

    def _values(self, block: Block) -> Tensor:
        """`[count, size]` values of one block."""
        kept = self._kept.get(block.stream)
        if kept is None:
            start, total = block.window(self.key.pair, self.count)
            drawn = noise_torch.draw(
                self.key.seed, block.stream, start, total, epoch=self.key.word, device=self.device
            )
            kept = drawn.as_strided((self.count, block.size), (block.stride, 1))
            self._kept[block.stream] = kept
        return kept


class _Part(Drawn):
    """A window on the noise of more pairs."""

    def __init__(self, whole: Drawn, first: int, key: NoiseKey, count: int) -> None:
        super().__init__(key, count, whole.device)
        self._whole, self._window = whole, slice(first, first + count)

    def _values(self, block: Block) -> Tensor:
        return self._whole._values(block)[self._window]
