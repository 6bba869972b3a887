"""From an emulator's screen to the policy's: shrink by area, exactly.

A shrunk pixel is the mean of the area it covers. The sums are of integers below 2**24, so they are exact in
float32 whatever the order of a matrix product, and only the final division rounds: every machine sees the
same picture. OpenCV's INTER_AREA, which ``AtariVectorEnv`` uses, agrees but for about one pixel in 100,000,
by one grey level, where the exact mean lies half way between two.
"""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]


def overlaps(source: int, target: int) -> npt.NDArray[np.float32]:
    """How much of each source cell falls into each target cell, `[target, source]`, in units of 1/target.

    `source` cells of width `target` and `target` cells of width `source` cover the same length.
    """
    starts, ends = np.arange(target)[:, None] * source, np.arange(1, target + 1)[:, None] * source
    low = np.maximum(starts, np.arange(source)[None, :] * target)
    high = np.minimum(ends, np.arange(1, source + 1)[None, :] * target)
    return np.asarray(np.maximum(high - low, 0), np.float32)


class Shrink:
    """Shrinks grey pictures of one size to another, `[height, width]` uint8."""

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        """Prepare for pictures of the size `source`, both as (height, width)."""
        row_blocks, column_blocks = gcd(source[0], target[0]), gcd(source[1], target[1])
        rows, columns = source[0] // row_blocks, source[1] // column_blocks
        new_rows, new_columns = target[0] // row_blocks, target[1] // column_blocks
        # The pattern of overlaps repeats: 210 to 84 rows is 42 times 5 to 2, 160 to 84 columns 4 x 40 to 21.
        self._rows = overlaps(rows, new_rows)
        self._columns = np.ascontiguousarray(overlaps(columns, new_columns).T)
        self._area = np.float32(rows * columns)
        self._source = np.empty((row_blocks, rows, source[1]), np.float32)
        self._tall = np.empty((row_blocks, new_rows, source[1]), np.float32)
        self._small = np.empty((target[0] * column_blocks, new_columns), np.float32)
        self._tall_blocks = self._tall.reshape(-1, columns)
        self._flat_source, self._result = self._source.reshape(source), self._small.reshape(target)

    def __call__(self, picture: Gray, out: Gray) -> None:
        """Write the shrunk picture into `out`; half way rounds to the even level."""
        np.copyto(self._flat_source, picture)
        np.matmul(self._rows, self._source, out=self._tall)
        np.matmul(self._tall_blocks, self._columns, out=self._small)
        np.divide(self._small, self._area, out=self._small)
        np.rint(self._small, out=self._small)
        np.copyto(out, self._result, casting="unsafe")


class Screens(NamedTuple):
    """Scratch space of consoles that step one after another.

    They share it because it is larger than all else that a step touches: with a set for each lane, a core's
    cache would hold none of them.

    Attributes:
        last: what a console showed in a step's last frame.
        before_last: in the frame before; black where nobody looks at it.
        shrink: from the size of these to that of an observation.
    """

    last: Gray
    before_last: Gray
    shrink: Shrink

    @classmethod
    def of(cls, source: tuple[int, int], target: tuple[int, int]) -> Screens:
        """Allocate them for screens of the size `source` and pictures of the size `target`."""
        return cls(np.zeros(source, np.uint8), np.zeros(source, np.uint8), Shrink(source, target))
