"""What an evaluation says of what was done, beside its return: up to 512 numbers, as whole numbers.

Others call them measures, or a descriptor. A task names each, with the lowest and the highest value that it
can have; over that range it becomes a whole number 0 to 65,535. So the squared distance of two behaviours is
a whole number below 2^42, and sums of them are exact in float64 in any order: whoever computes it, wherever,
finds the same neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MOST_DIMENSIONS = 512
LEVELS = 65_536
RAM_BYTES = 128
RAM_PATH_MOMENTS = 4
PATH_MOMENTS = 16
BYTES = 2  # of one whole number, the lower byte first
_KIND = np.dtype("<u2")

Numbers = npt.NDArray[np.uint16]


class Measure(NamedTuple):
    """One number of a behaviour.

    Attributes:
        name: what people call it.
        low: its lowest value; what is below counts as this.
        high: its highest value, above `low`.
    """

    name: str
    low: float
    high: float


class Range:
    """The ranges of all numbers of a behaviour, to turn values into whole numbers."""

    def __init__(self, measures: Sequence[Measure]) -> None:
        """Take the ranges over.

        Raises:
            ValueError: if there are none or too many, or a range is none; the message names the number.
        """
        if not 1 <= len(measures) <= MOST_DIMENSIONS:
            raise ValueError(f"behaviour has {len(measures)} numbers; allowed: 1 to {MOST_DIMENSIONS}")
        for name, low, high in measures:
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise ValueError(
                    f"behaviour {name!r} is from {low} to {high}; allowed: finite, low below high"
                )
        self.names = tuple(measure.name for measure in measures)
        self._low = np.array([measure.low for measure in measures], np.float64)
        self._width = np.array([measure.high - measure.low for measure in measures], np.float64)

    @property
    def dimensions(self) -> int:
        """How many numbers there are."""
        return len(self.names)

    def quantise(self, values: npt.ArrayLike) -> Numbers:
        """Values as whole numbers 0 to 65,535, `[dimensions]`, each over its own range.

        Raises:
            ValueError: if there is another number of them, or one is no number.
        """
        found = np.asarray(values, np.float64).reshape(-1)
        if found.size != self.dimensions:
            raise ValueError(f"behaviour has {found.size} numbers; allowed: {self.dimensions}")
        if np.isnan(found).any():
            name = self.names[int(np.isnan(found).argmax())]
            raise ValueError(f"behaviour {name!r} is NaN; allowed: a number")
        share = np.clip((found - self._low) / self._width, 0.0, 1.0)
        return np.rint(share * (LEVELS - 1)).astype(_KIND)

    def values(self, numbers: Numbers) -> npt.NDArray[np.float64]:
        """What whole numbers stand for, `[..., dimensions]`: within half a step of what was told."""
        return self._low + self._width * (numbers.astype(np.float64) / (LEVELS - 1))


def quantise(values: npt.ArrayLike, low: float, high: float) -> bytes:
    """Values that all have one range, packed as a :class:`germline.algorithms.base.Result` has them."""
    count = np.asarray(values).size
    return pack(Range([Measure(str(place), low, high) for place in range(count)]).quantise(values))


def mean(episodes: Sequence[Numbers]) -> Numbers:
    """The mean of several episodes' whole numbers, rounded half up: a whole number again."""
    if len(episodes) == 1:
        return episodes[0]
    total: npt.NDArray[np.int64] = np.sum(np.stack(episodes).astype(np.int64), axis=0)
    rounded: Numbers = ((2 * total + len(episodes)) // (2 * len(episodes))).astype(_KIND)
    return rounded


def pack(numbers: Numbers) -> bytes:
    """Whole numbers as bytes, the lower byte of each first."""
    return numbers.astype(_KIND, copy=False).tobytes()


def unpack(packed: bytes) -> Numbers:
    """What :func:`pack` wrote. Raises ValueError for an odd number of bytes."""
    if len(packed) % BYTES:
        raise ValueError(f"behaviour has {len(packed)} bytes; allowed: {BYTES} for each number")
    return np.frombuffer(packed, _KIND)
