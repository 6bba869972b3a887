"""The estimate of the gradient, exact: the same bits on every machine, in any order of pairs.

``estimate = sigma * sqrt(N) * mean over N members of z_i E_i`` (signs inside E), the scaling of the authors'
own code. With plain ascent theta moves by ``learning_rate * estimate``, so the paper's alpha (arXiv
2511.16652, eq. 6) is ``learning_rate * sigma * sqrt(N)``, and with uninformative fitness every weight moves
by about ``learning_rate * sigma`` a step, whatever N and the rank.

Why exact: noise is a multiple of 2**-10 and at most 4.33 in size, shaped weights are integers, so every
partial sum of ``weight * a * b`` is a multiple of 2**-20 with at most 53 bits, which float64 holds without
rounding: order, chunks, threads and devices cannot matter. :func:`check_budget` refuses settings that could
need more bits.
What follows the sum is a fixed sequence of single IEEE operations.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from germline import noise, shaping
from germline.eggroll.space import Evolved, Space
from germline.low_rank import Drawn
from germline.pairs import NoiseKey
from germline.shaping import Shaped

FLOAT64_BITS = 53
_PRODUCTS_AT_ONCE = 1 << 16  # float64 values of a factor in one product: they stay in the cache
_CPU = torch.device("cpu")
_VALUES_AT_ONCE = 1 << 21  # of noise, while an update is summed: 8 MB, and 16 MB in float64


def check_budget(rank: int, pairs: int, shaping_name: shaping.ShapingName) -> None:
    """Refuse settings whose update could need more than the 53 bits of an exact float64.

    Raises:
        ValueError: says how many bits, and what would fit.
    """
    largest = int(noise.table_units().max())  # in units of 2**-10
    need = shaping.largest_weight_sum(shaping_name, pairs) * rank * largest * largest
    if need > 1 << FLOAT64_BITS:
        raise ValueError(
            f"{pairs} pairs of rank {rank} with shaping {shaping_name} may sum to {need.bit_length()} bits; "
            f"an exact update has {FLOAT64_BITS}: take fewer pairs, a lower rank, or pair_sign"
        )


def estimate(
    space: Space,
    key: NoiseKey,
    shaped: Shaped,
    sigma: float,
    drawn: Drawn | None = None,
    device: torch.device = _CPU,
) -> Tensor:
    """The gradient estimate of an epoch, `[space.size]` float64, pointing uphill.

    Args:
        space: what evolves.
        key: seed and counter word; its pair is that of the first weight.
        shaped: the epoch's weights.
        sigma: scale of the noise.
        drawn: the noise of all pairs on the device, if it is at hand.
        device: where to sum.
    """
    sums = _exact_sums(space, key, shaped, drawn, device)
    scale = sigma * shaped.unit * math.sqrt(shaped.members) / max(shaped.members, 1)
    for p in space:
        factor = scale / math.sqrt(p.noise.rank) if p.noise.a else scale
        p.view(sums).mul_(factor)
    return sums


def _exact_sums(
    space: Space, key: NoiseKey, shaped: Shaped, drawn: Drawn | None, device: torch.device
) -> Tensor:
    """``sum over pairs of weight * A B^T`` (or of ``weight * noise``), `[space.size]` float64, exact."""
    sums = torch.zeros(space.size, dtype=torch.float64, device=device)
    weights = torch.from_numpy(shaped.weights).to(device, torch.float64)
    if drawn:
        _add(sums, space, drawn, weights)
        return sums
    at_once = max(1, _VALUES_AT_ONCE // space.values_per_pair)
    for start in range(0, len(weights), at_once):
        part = weights[start : start + at_once]
        _add(sums, space, Drawn(key._replace(pair=key.pair + start), len(part), device), part)
    return sums


def _add(sums: Tensor, space: Space, drawn: Drawn, weights: Tensor) -> None:
    """Add the pairs' weighted noise."""
    for p in space:
        out = p.view(sums)
        if p.noise.a is None:
            out.view(-1).addmv_(drawn.dense(p.noise).double().T, weights)
        else:
            _add_matrix(out.view(p.noise.matrix_shape), p, drawn, weights)


def _add_matrix(out: Tensor, parameter: Evolved, drawn: Drawn, weights: Tensor) -> None:
    """``out += sum of weight * A B^T`` as one product over the axis of pairs and ranks."""
    a, b = drawn.factors(parameter.noise)
    at_once = max(1, _PRODUCTS_AT_ONCE // (max(out.shape) * parameter.noise.rank))
    for start in range(0, len(weights), at_once):
        part = slice(start, start + at_once)
        weighted = a[part] * weights[part, None, None]  # float64, as the weights are
        left, right = (f.transpose(1, 2).flatten(0, 1) for f in (weighted, b[part].double()))
        out.addmm_(left.T, right)
