"""The noise of :mod:`germline.noise` as torch tensors, with equal bits on every device.

On a CPU numpy draws the Philox words and looks the table up, in chunks that stay in the cache. Elsewhere the
same integers are computed with torch's int64 operations, which wrap like the unsigned ones that Philox wants.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from germline import noise

Table: TypeAlias = Callable[[], npt.NDArray[np.float32]]
"""What indices select from: :func:`germline.noise.table_values`, or another table of as many values."""

_CHUNK = 1 << 16  # values; the table, a chunk's words and its products fit a core's second-level cache
_LOW32 = 0xFFFFFFFF
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10


def draw(
    seed: int, stream: int, start: int, count: int, *, epoch: int = 0, device: torch.device | None = None
) -> Tensor:
    """Standard normal noise, `[count]` float32 on the device, equal to :func:`germline.noise.draw`."""
    if device is None or device.type == "cpu":
        return torch.from_numpy(noise.draw(seed, stream, start, count, epoch))
    return _table_on(noise.table_values, device)[lanes(seed, stream, start, count, epoch, device)]


def add_scaled(
    out: Tensor, base: Tensor, power: float, seed: int, stream: int, table: Table = noise.table_values
) -> None:
    """``out = base + power * noise``: one float32 multiplication, then one float32 addition.

    The product is rounded before the sum, on every device; a fused operation would give other weights.

    Args:
        out: `[n]` float32, contiguous; may be `base` itself.
        base: `[n]` float32, contiguous, on the same device.
        power: the mutation's power.
        seed: the mutation's seed.
        stream: the parameter's stream.
        table: what the noise is taken from.
    """
    if out.device.type != "cpu":
        values = _table_on(table, out.device)[lanes(seed, stream, 0, out.numel(), 0, out.device)]
        torch.add(base, values.mul_(_float32(power)), out=out)
    elif out.numel() < noise.TABLE_SIZE:
        step = table().take(noise.lanes(seed, stream, 0, out.numel())) * np.float32(power)
        np.add(base.numpy(), step, out=out.numpy())
    else:
        # A scaled table gives the same products, with fewer multiplications.
        _add_in_chunks(out.numpy(), base.numpy(), table() * np.float32(power), seed, stream)


def _add_in_chunks(
    out: npt.NDArray[np.float32],
    base: npt.NDArray[np.float32],
    scaled_table: npt.NDArray[np.float32],
    seed: int,
    stream: int,
) -> None:
    """Draw, scale and add, a cacheful at a time."""
    source = noise.generator(seed, stream)
    products = np.empty(min(_CHUNK, out.size), np.float32)
    for start in range(0, out.size, _CHUNK):
        window = slice(start, min(start + _CHUNK, out.size))
        product = products[: window.stop - start]
        # No index can be out of bounds; "clip" spares numpy the check, and a buffer for the result.
        scaled_table.take(noise.next_lanes(source, product.size), out=product, mode="clip")
        np.add(base[window], product, out=out[window])


def _float32(power: float) -> float:
    return float(np.float32(power))


@cache
def _table_on(table: Table, device: torch.device) -> Tensor:
    return torch.from_numpy(table().copy()).to(device)


def lanes(seed: int, stream: int, start: int, count: int, epoch: int, device: torch.device) -> Tensor:
    """The table indices of a window of values, `[count]` int64 (see :func:`germline.noise.lanes`)."""
    first_block, skipped = divmod(start, noise.LANES_PER_BLOCK)
    blocks = -(-(skipped + count) // noise.LANES_PER_BLOCK)
    block = torch.arange(blocks, device=device, dtype=torch.int64) + _signed(first_block)
    words = _philox(block, epoch, (seed, stream))
    shifts = torch.arange(0, 64, 16, device=device)
    return ((words.unsqueeze(-1) >> shifts) & 0xFFFF).flatten()[skipped : skipped + count]


def _philox(block: Tensor, epoch: int, key: tuple[int, int]) -> Tensor:
    """Philox4x64-10 with counters ``(block, epoch, 0, 0)``: `[blocks]` int64 -> `[blocks, 4]` int64."""
    zero = torch.zeros_like(block)
    c0, c1, c2, c3 = block, zero + _signed(epoch), zero, zero
    for round_number in range(_ROUNDS):
        k0, k1 = (_signed(k + round_number * step) for k, step in zip(key, _WEYL, strict=True))
        high0, low0 = _multiply(c0, _MULTIPLIERS[0])
        high1, low1 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
    return torch.stack((c0, c1, c2, c3), dim=-1)


def _multiply(a: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """High and low 64 bits of an unsigned 128-bit product, from 32-bit halves."""
    a_low, a_high = a & _LOW32, _shift32(a)
    f_low, f_high = factor & _LOW32, factor >> 32
    low, middle = a_low * f_low, a_high * f_low
    cross = a_low * f_high + _shift32(low) + (middle & _LOW32)
    high = a_high * f_high + _shift32(middle) + _shift32(cross)
    return high, a * _signed(factor)


def _shift32(a: Tensor) -> Tensor:
    """Logical right shift by 32; torch's own shift of int64 copies the sign."""
    return (a >> 32) & _LOW32


def _signed(value: int) -> int:
    """The int64 with the bits of a uint64."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value
