"""One epoch of a population whose members somebody else evaluates: what is told, and what is to be had."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_MOST_WRITTEN = 20  # slices in a sentence


class Slice(NamedTuple):
    """Consecutive members of a population: from `start` up to, and without, `end`."""

    start: int
    end: int


class Part(NamedTuple):
    """What came of the members from `start` on: one return each."""

    start: int
    returns: tuple[float, ...]

    @property
    def slice(self) -> Slice:
        """The members that it tells."""
        return Slice(self.start, self.start + len(self.returns))


class OwnEpoch:
    """The members of one epoch, each of them free, lent or told, and never two of these at a time.

    Attributes:
        returns: `[population]` float64, NaN for a member that is not told.
    """

    def __init__(self, population: int) -> None:
        """Nobody is told, and all are free."""
        self.returns: npt.NDArray[np.float64] = np.full(population, math.nan)
        self._told = np.zeros(population, dtype=np.bool_)
        self._free = [Slice(0, population)]  # apart from each other, in order

    @property
    def is_complete(self) -> bool:
        """Whether all members are told."""
        return bool(self._told.all())

    @property
    def free(self) -> int:
        """How many members nobody has."""
        return sum(end - start for start, end in self._free)

    def take(self, members: int, most_slices: int = 0) -> tuple[Slice, ...]:
        """Lend at most so many members, the first ones that are free, in at most so many slices (0: any)."""
        taken: list[Slice] = []
        while members and self._free and (not most_slices or len(taken) < most_slices):
            start, end = self._free.pop(0)
            cut = min(end, start + members)
            taken.append(Slice(start, cut))
            members -= cut - start
            if cut < end:
                self._free.insert(0, Slice(cut, end))
        return tuple(taken)

    def give_back(self, slices: Iterable[Slice]) -> None:
        """Slices that were lent are free again."""
        self._free = joined([*self._free, *slices])

    def tell(self, part: Part) -> None:
        """Take in what came of members that were lent."""
        self.returns[part.start : part.slice.end] = part.returns
        self._told[part.start : part.slice.end] = True

    def told(self) -> list[Part]:
        """All that is told, in order."""
        edges = np.flatnonzero(np.diff(np.concatenate(([False], self._told, [False]))))
        runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        return [Part(start, tuple(self.returns[start:end].tolist())) for start, end in runs]

    def recall(self, parts: Iterable[Part]) -> None:
        """What was told before a restart; everybody else is free.

        Raises:
            ValueError: a part is not of this population.
        """
        for part in parts:
            if not 0 <= part.start <= part.slice.end <= len(self._told):
                raise ValueError(f"members {part.start} to {part.slice.end} of {len(self._told)} are told")
            self.tell(part)
        edges = np.flatnonzero(np.diff(np.concatenate(([True], self._told, [True]))))
        self._free = [
            Slice(start, end) for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        ]


def joined(slices: Iterable[Slice]) -> list[Slice]:
    """The same members in as few slices as they make, in order."""
    found: list[Slice] = []
    for start, end in sorted(slices):
        if found and found[-1].end == start:
            found[-1] = Slice(found[-1].start, end)
        else:
            found.append(Slice(start, end))
    return found


def check_parts(lent: Sequence[Slice], parts: Sequence[Part]) -> None:
    """Whether an answer tells every member that was lent, once, and nobody else.

    Raises:
        ValueError: saying what it tells and what is allowed.
    """
    members, empty = sum(end - start for start, end in lent), [part for part in parts if not part.returns]
    if empty or len(parts) > members:
        raise ValueError(
            f"there are {len(parts):,} slices, {len(empty):,} of them without rewards; allowed: the "
            f"{members:,} members that were lent, in slices of 1 or more"
        )
    wanted, given = joined(lent), joined(part.slice for part in parts)
    if given != wanted:
        raise ValueError(
            f"rewards are given for members {_written(given)}; allowed: each of {_written(wanted)}, once"
        )


def _written(slices: Sequence[Slice]) -> str:
    some = ", ".join(f"[{start}, {end})" for start, end in slices[:_MOST_WRITTEN])
    return (some or "none") + (" ..." if len(slices) > _MOST_WRITTEN else "")
