"""What a run's episodes saw, added up exactly: what observations are normalised by is learned from it.

What an evaluation saw is told as sums in float64, each episode's in the order of its steps. They are added
up as whole numbers, 2^-40 of a unit for the sums and 2^-80 for those of the squares, so that the totals are
exact, in any order; mean and deviation are computed from them by operations that IEEE-754 fixes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from germline.algorithms.base import JsonValue
from germline.genome import float32
from germline.normalisation import Normalisation

LARGEST = 2.0**20
"""What is seen counts as no more than this, in either direction; NaN counts as 0."""

MOST_NUMBERS = 4_096
"""Numbers of one observation that can be normalised."""

_EVERY = 4  # one ticket of so many tells what was seen
_LEAST_VARIANCE = 1e-8  # of what never changes
_COUNT = struct.Struct("<Q")
_SUM_BITS, _SQUARE_BITS = 40, 80

Floats = npt.NDArray[np.float64]


def is_observed(ticket: int) -> bool:
    """Whether the result of this ticket tells what was seen."""
    return ticket % _EVERY == 0


class Observed(NamedTuple):
    """What some episodes saw.

    Attributes:
        seen: how many observations.
        sums: of each of their numbers, `[size]`.
        squares: sums of the squares, `[size]`.
    """

    seen: int
    sums: Floats
    squares: Floats

    def pack(self) -> bytes:
        """As bytes; nothing at all where nothing was seen."""
        if not self.seen:
            return b""
        return (
            _COUNT.pack(self.seen) + self.sums.astype("<f8").tobytes() + self.squares.astype("<f8").tobytes()
        )

    @classmethod
    def unpack(cls, packed: bytes) -> Observed:
        """What :meth:`pack` wrote.

        Raises:
            ValueError: with what is allowed, for what no episodes can have seen.
        """
        size, rest = divmod(len(packed) - _COUNT.size, 2 * 8)
        if rest or not 1 <= size <= MOST_NUMBERS:
            raise ValueError(
                f"observed has {len(packed)} bytes; allowed: 8, and 16 for each number of an observation"
            )
        (count,) = _COUNT.unpack_from(packed)
        sums, squares = np.frombuffer(packed, "<f8", offset=_COUNT.size).reshape(2, size)
        most = float(count) * LARGEST
        fits = (np.abs(sums) <= most).all() and (squares >= 0).all() and (squares <= most * LARGEST).all()
        if not count or not fits:  # NaN fits nowhere
            raise ValueError(
                f"observed has sums of {count:,} observations that no numbers up to {LARGEST:g} have"
            )
        return cls(count, sums, squares)


def add_up(parts: Sequence[bytes]) -> bytes:
    """What all of these saw together; the sums in this order."""
    seen = [Observed.unpack(part) for part in parts if part]
    if not seen:
        return b""
    count, sums, squares = seen[0]
    for each in seen[1:]:
        count, sums, squares = count + each.seen, sums + each.sums, squares + each.squares
    return Observed(count, sums, squares).pack()


class Totals:
    """What a run saw, exactly.

    Attributes:
        count: observations.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sums: list[int] = []
        self._squares: list[int] = []

    def add(self, packed: bytes) -> None:
        """Add what an evaluation saw; passed over if its observations are of another size than the first."""
        seen = Observed.unpack(packed)
        size = len(seen.sums)
        self._sums, self._squares = self._sums or [0] * size, self._squares or [0] * size
        if size != len(self._sums):
            return
        self.count += seen.seen
        for place in range(size):
            self._sums[place] += _whole(float(seen.sums[place]), _SUM_BITS)
            self._squares[place] += _whole(float(seen.squares[place]), _SQUARE_BITS)

    def freeze(self) -> Normalisation | None:
        """Mean and deviation of all that was seen; None if nothing was."""
        if not self.count:
            return None
        means = [Fraction(total, self.count << _SUM_BITS) for total in self._sums]
        squares = [Fraction(total, self.count << _SQUARE_BITS) for total in self._squares]
        variances = [float(square - mean * mean) for square, mean in zip(squares, means, strict=True)]
        deviations = [math.sqrt(max(variance, _LEAST_VARIANCE)) for variance in variances]
        return Normalisation(
            tuple(float32(float(mean)) for mean in means), tuple(float32(each) for each in deviations)
        )

    def snapshot(self) -> list[JsonValue]:
        """The count, the sums and the sums of squares; whole numbers of any size as hexadecimal texts."""
        return [self.count, [f"{total:x}" for total in self._sums], [f"{total:x}" for total in self._squares]]

    def restore(self, snapshot: Sequence[JsonValue]) -> None:
        """Become what :meth:`snapshot` wrote."""
        count, sums, squares = snapshot
        self.count = int(str(count))
        self._sums = [int(total, 16) for total in _texts(sums)]
        self._squares = [int(total, 16) for total in _texts(squares)]


def _whole(value: float, bits: int) -> int:
    """A number as a whole multiple of 2^-bits, what is finer cut off."""
    return int(math.ldexp(value, bits))


def _texts(value: JsonValue) -> list[str]:
    if not isinstance(value, list):
        raise ValueError(f"totals hold {value!r}; allowed: a list of hexadecimal texts")
    return [str(item) for item in value]
