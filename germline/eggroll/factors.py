"""The noise of pairs as tensors: factors of matrices, dense values of the rest."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from germline import noise_torch
from germline.eggroll.space import Evolved, Space
from germline.pairs import Block, NoiseKey


class Drawn:
    """The noise of `count` neighbouring pairs, drawn as it is asked for and then kept.

    Values are those of :mod:`germline.noise`, unscaled, float32, with equal bits on every device.
    """

    def __init__(self, key: NoiseKey, count: int, device: torch.device) -> None:
        self.key = key
        self.count = count
        self.device = device
        self._kept: dict[Block, Tensor] = {}

    def factors(self, parameter: Evolved) -> tuple[Tensor, Tensor]:
        """`A [count, m, rank]` and `B [count, n, rank]` of a matrix."""
        noise = parameter.noise
        if noise.a is None:
            raise ValueError(f"parameter {parameter.name} has dense noise, not factors")
        m, n = noise.matrix_shape
        return (
            torch.unflatten(self._values(noise.a), 1, (m, noise.rank)),
            torch.unflatten(self._values(noise.b), 1, (n, noise.rank)),
        )

    def dense(self, parameter: Evolved) -> Tensor:
        """The noise of a parameter that is no matrix, `[count, size]`."""
        return self._values(parameter.noise.b)

    def part(self, first: int, count: int) -> Drawn:
        """The noise of some of these pairs; what is drawn already is shared."""
        key = self.key._replace(pair=self.key.pair + first)
        return _Part(self, first, key, count)

    def _values(self, block: Block) -> Tensor:
        """`[count, size]` values of one block."""
        if block not in self._kept:
            start, total = block.window(self.key.pair, self.count)
            drawn = noise_torch.draw(
                self.key.seed, block.stream, start, total, epoch=self.key.word, device=self.device
            )
            self._kept[block] = drawn.view(self.count, block.stride)[:, : block.size]
        return self._kept[block]


class _Part(Drawn):
    """A window on the noise of more pairs."""

    def __init__(self, whole: Drawn, first: int, key: NoiseKey, count: int) -> None:
        super().__init__(key, count, whole.device)
        self._whole, self._window = whole, slice(first, first + count)

    def _values(self, block: Block) -> Tensor:
        return self._whole._values(block)[self._window]


def materialise(out: Tensor, centre: Tensor, space: Space, key: NoiseKey, power: float) -> None:
    """Write a member's exact weights: ``out = centre + power * E``, both `[space.size]` float32.

    A matrix's E is exact in float64, scaled once and rounded once to float32; dense noise is one float32
    multiplication; then one float32 addition. So the weights have equal bits on every machine.

    Args:
        out: `[space.size]` float32; may be `centre`.
        centre: `[space.size]` float32.
        space: what evolves.
        key: the noise of the pair.
        power: sign times sigma, or the power of a mutation.
    """
    materialise_drawn(out.unsqueeze(0), centre, space, Drawn(key, 1, out.device), 0, power)


def materialise_drawn(
    out: Tensor, centre: Tensor, space: Space, drawn: Drawn, first: int, power: float
) -> None:
    """The same for neighbouring pairs, drawn already: `out [pairs, space.size]`, from the `first` on."""
    window = slice(first, first + len(out))
    for p in space:
        span = slice(p.offset, p.offset + p.size)
        torch.add(centre[span], _steps(p, drawn, window, power), out=out[:, span])


def _steps(parameter: Evolved, drawn: Drawn, window: slice, power: float) -> Tensor:
    """``power * E`` of one parameter, `[pairs, size]` float32."""
    if parameter.noise.a is None:
        return drawn.dense(parameter)[window] * torch.tensor(power, dtype=torch.float32).item()
    a, b = (factor[window].double() for factor in drawn.factors(parameter))
    product = torch.bmm(a, b.transpose(1, 2))
    return product.mul_(power / math.sqrt(parameter.noise.rank)).float().flatten(1)
