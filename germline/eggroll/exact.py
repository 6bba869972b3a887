"""Members' exact weights: the centre plus the noise of their pairs, written out."""

from __future__ import annotations

import torch
from torch import Tensor

from germline.eggroll.space import Evolved, Space
from germline.low_rank import Drawn, low_rank_step
from germline.pairs import NoiseKey


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
    materialise_signed(out.unsqueeze(0), centre, space, drawn, first, power)


def materialise_signed(
    out: Tensor, centre: Tensor, space: Space, drawn: Drawn, first: int, power: float
) -> None:
    """The same for one sign or for both, `out [signs, pairs, space.size]`: plus before minus."""
    window = slice(first, first + out.shape[1])
    for p in space:
        span = slice(p.offset, p.offset + p.size)
        steps = _steps(p, drawn, window, power)
        torch.add(centre[span], steps, out=out[0, :, span])
        if len(out) == 2:
            torch.sub(centre[span], steps, out=out[1, :, span])


def _steps(parameter: Evolved, drawn: Drawn, window: slice, power: float) -> Tensor:
    """``power * E`` of one parameter, `[pairs, size]` float32."""
    if parameter.noise.a is None:
        return drawn.dense(parameter.noise)[window] * torch.tensor(power, dtype=torch.float32).item()
    a, b = drawn.factors(parameter.noise)
    return low_rank_step(a[window], b[window], power)
