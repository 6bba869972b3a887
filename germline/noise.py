"""Noise that is the same on every machine, bit for bit: the numpy reference of noise version 1.

A value is a function of (seed, stream, epoch, index) and of nothing else. Philox4x64-10 (Salmon et al. 2011,
"Parallel random numbers: as easy as 1, 2, 3") with key ``(seed, stream)`` and counter ``(index // 16, epoch,
0, 0)`` gives four 64-bit words; cut into sixteen 16-bit lanes, low bits first, they select entries of a
frozen table of 65,536 quantiles of the standard normal, each rounded to a multiple of 2**-10. Integers to
the core: a value is exact in float32, and a sum of products of values is exact in float64, in any order.

Version 1 is frozen. Another layout would be another version beside it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

VERSION = 1
UNITS_PER_ONE = 1024  # a value is a whole number of units of 2**-10
LANES_PER_BLOCK = 16
TABLE_SIZE = 1 << 16

_TABLE_DIGEST = "9034fdafd5d230b73a732dbf9413520c"
_UINT64 = (1 << 64) - 1
_COUNTER_END = (1 << 256) - 1


@cache
def table_units() -> npt.NDArray[np.int16]:
    """The frozen table, `[65536]` int16, in units of 2**-10.

    Raises:
        RuntimeError: if this machine computes another table than every other machine did.
    """
    quantile = NormalDist().inv_cdf
    half = range(TABLE_SIZE // 2, TABLE_SIZE)
    upper = [round(quantile((i + 0.5) / TABLE_SIZE) * UNITS_PER_ONE) for i in half]
    table = np.array([-units for units in reversed(upper)] + upper, dtype="<i2")
    digest = hashlib.blake2b(table.tobytes(), digest_size=16).hexdigest()
    if digest != _TABLE_DIGEST:
        raise RuntimeError(
            f"noise table has digest {digest}, version {VERSION} has {_TABLE_DIGEST}: do not evolve here"
        )
    table.flags.writeable = False
    return table


@cache
def table_values() -> npt.NDArray[np.float32]:
    """The frozen table, `[65536]` float32 standard normal quantiles."""
    values = table_units().astype(np.float32) / np.float32(UNITS_PER_ONE)
    values.flags.writeable = False
    return values


@cache
def uniform_values() -> npt.NDArray[np.float32]:
    """Uniform values in the place of the normal ones, `[65536]` float32: ``(2 i - 65535) / 65536``."""
    values = (2 * np.arange(TABLE_SIZE) - (TABLE_SIZE - 1)).astype(np.float32) / np.float32(TABLE_SIZE)
    values.flags.writeable = False
    return values


@cache
def stream_id(name: str) -> int:
    """The stream that belongs to a parameter's name: a 64-bit digest, never a position in an iteration."""
    return int.from_bytes(
        hashlib.blake2b(name.encode(), digest_size=8, person=b"germline-noise-1").digest(), "little"
    )


def lanes(seed: int, stream: int, start: int, count: int, epoch: int = 0) -> npt.NDArray[np.uint16]:
    """The table indices of values `start .. start + count - 1`, `[count]` uint16.

    Args:
        seed: uint64, of a mutation, an initialisation or an experiment.
        stream: uint64 from :func:`stream_id`.
        start: index of the first value.
        count: how many values.
        epoch: uint64; 0 outside evolution strategies.
    """
    first_block, skipped = divmod(start, LANES_PER_BLOCK)
    source = generator(seed, stream, first_block, epoch)
    return next_lanes(source, skipped + count)[skipped:]


def generator(seed: int, stream: int, first_block: int = 0, epoch: int = 0) -> np.random.Philox:
    """A Philox whose next words are those of block `first_block`; for :func:`next_lanes`."""
    # numpy's generator steps its counter before it draws, so it is set one block back.
    before = ((first_block + (epoch << 64)) - 1) & _COUNTER_END
    counter = np.array([(before >> shift) & _UINT64 for shift in (0, 64, 128, 192)], dtype=np.uint64)
    return np.random.Philox(key=np.array([seed, stream], dtype=np.uint64), counter=counter)


def next_lanes(source: np.random.Philox, count: int) -> npt.NDArray[np.uint16]:
    """The next `count` table indices, drawn in whole blocks: `[count]` uint16."""
    blocks = -(-count // LANES_PER_BLOCK)
    return source.random_raw(4 * blocks).astype("<u8", copy=False).view("<u2")[:count]


def units(seed: int, stream: int, start: int, count: int, epoch: int = 0) -> npt.NDArray[np.int16]:
    """Noise as whole numbers of 2**-10, `[count]` int16; arguments as for :func:`lanes`."""
    return table_units().take(lanes(seed, stream, start, count, epoch))


def draw(seed: int, stream: int, start: int, count: int, epoch: int = 0) -> npt.NDArray[np.float32]:
    """Standard normal noise, `[count]` float32; arguments as for :func:`lanes`."""
    return table_values().take(lanes(seed, stream, start, count, epoch))


def self_test_digest() -> str:
    """A short digest of a fixed draw; a worker whose digest differs would evolve other networks."""
    drawn = units(seed=0x0123456789ABCDEF, stream=stream_id("self-test"), start=5, count=10_000, epoch=3)
    return hashlib.blake2b(drawn.astype("<i2").tobytes(), digest_size=8).hexdigest()
