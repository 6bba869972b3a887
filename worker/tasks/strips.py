"""Where things are to each other on a picture, in a few whole numbers: a small policy's way to see.

The picture is cut into upright strips. In each, what stands out from its row counts, and the row about which
it lies is where the strip's thing is; so a wall, which fills its row, does not count, and a ball or a paddle
does. A policy sees how far apart the things of every two strips are, and how far each moved in the last step.
All of it is whole, so the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from worker.tasks.base import SetupError
from worker.tasks.screen import Gray

STANDS_OUT = 32  # levels of grey apart from the row's mean
UNIT = 32  # rows; numbers of about 1 are what networks start well with
Numbers = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]


class Strips:
    """How pictures of one size are cut, and what is seen in the strips."""

    def __init__(self, cuts: Sequence[int], rows: Sequence[int], height: int, width: int) -> None:
        """Cut pictures of `height` x `width` at these columns, from the first of `rows` to before the second.

        Raises:
            SetupError: unless the cuts ascend from 1 to the last column, and there are rows between the two.
        """
        edges = [0, *cuts, width]
        if any(a >= b for a, b in pairwise(edges)):
            raise SetupError(
                f"task.atari.strips is {list(cuts)}; allowed: ascending columns from 1 to {width - 1}"
            )
        bounds = tuple(rows or (0, height))
        if len(bounds) != 2 or not 0 <= bounds[0] < bounds[1] <= height:
            raise SetupError(
                f"task.atari.strip_rows is {list(rows)}; allowed: two ascending rows from 0 to {height}"
            )
        top, bottom = bounds
        self.count = len(cuts) + 1
        self.numbers = self.count * (self.count - 1) // 2 + self.count
        self._first_columns = edges[:-1]
        self._seen_rows = slice(top, bottom)
        self._rows = np.arange(top, bottom, dtype=np.int64)
        self._middle = (top + bottom) // 2
        self._width = width
        self._one, self._other = np.triu_indices(self.count, 1)

    def nowhere(self) -> Places:
        """Where things are before any was seen: in the middle, `[count]`."""
        return np.full(self.count, self._middle, np.int64)

    def look(self, picture: Gray, places: Places) -> None:
        """Write where each strip's thing is over where it was; what is not to be seen stays where it was."""
        grey = picture[self._seen_rows].astype(np.int16)
        means = grey.sum(axis=1, dtype=np.int64)[:, None] // self._width
        apart = np.abs(grey - means.astype(np.int16))
        apart[apart < STANDS_OUT] = 0
        masses = np.add.reduceat(apart, self._first_columns, axis=1, dtype=np.int64)
        total = masses.sum(axis=0)
        np.floor_divide(self._rows @ masses, total, out=places, where=total > 0)

    def write(self, places: Places, before: Places, out: Numbers) -> None:
        """Write what a policy sees into `out`, `[numbers]`: distances, then moves, in units of 32 rows."""
        pairs = self.numbers - self.count
        np.subtract(places[self._one], places[self._other], out=out[:pairs], casting="unsafe")
        np.subtract(places, before, out=out[pairs:], casting="unsafe")
        out /= UNIT
