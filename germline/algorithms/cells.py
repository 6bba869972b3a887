"""MAP-Elites' cells: which part of behaviour space a behaviour falls into, exactly, on every machine.

A *grid* cuts each number's range into equal parts (Mouret and Clune 2015, arXiv 1504.04909). A *CVT* has as
many cells as wanted in any number of dimensions: those nearest to each of some well spread points
(Vassiliades et al. 2018, arXiv 1610.05729). The points come from whole numbers and exact distances, by
Lloyd's algorithm on samples that a digest draws, so that they need not be stored.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from germline.behaviour import LEVELS, unpack

MOST_CELLS = 1_000_000
MOST_POINTS = 20_000
_SAMPLES_A_POINT = 20
_ROUNDS = 10
_AT_A_TIME = 1_000  # samples whose distances to all points are in memory

Ties = Literal["newest", "first"]
_Points = npt.NDArray[np.int64]


class Cells(Protocol):
    """Parts of behaviour space."""

    count: int
    """How many there are."""

    def of(self, behaviour: bytes) -> int:
        """The number of the cell that a behaviour falls into, from 0."""
        ...


@dataclass(frozen=True, slots=True)
class MapSettings:
    """How behaviour space is cut into cells.

    Attributes:
        dimensions: whole numbers of a behaviour.
        grid: parts of each number's range; empty for a CVT.
        points: cells of a CVT; 0 for a grid.
        ties: who keeps a cell of two that are as fit, the "newest" or the "first". Where many are, as on
            plateaus, the newest lets the elites drift, and so search on; the first is as in the paper, and
            how searches of earlier builds go on.
    """

    dimensions: int
    grid: tuple[int, ...] = ()
    points: int = 0
    ties: Ties = "newest"

    def __post_init__(self) -> None:
        """Refuse what makes no sense, by the field's name."""
        if bool(self.grid) == bool(self.points):
            raise ValueError(f"grid is {self.grid} and points is {self.points}; allowed: exactly one of them")
        if self.grid and len(self.grid) != self.dimensions:
            raise ValueError(f"grid is {self.grid}; allowed: a count for each of {self.dimensions} numbers")
        if not all(1 <= parts <= LEVELS for parts in self.grid) or self.count > MOST_CELLS:
            raise ValueError(f"grid is {self.grid}; allowed: 1 to {MOST_CELLS:,} cells in all")
        if self.ties not in get_args(Ties):
            raise ValueError(f"ties is {self.ties!r}; allowed: one of {', '.join(get_args(Ties))}")
        if not 0 <= self.points <= MOST_POINTS:
            raise ValueError(f"points is {self.points}; allowed: 1 to {MOST_POINTS:,}")

    @property
    def count(self) -> int:
        """How many cells there are."""
        return math.prod(self.grid) if self.grid else self.points

    def make(self) -> Cells:
        """The cells themselves."""
        return Grid(self.grid) if self.grid else Cvt(self.points, self.dimensions)


class Grid:
    """Equal parts of each number's range, counted as numpy's `ravel_multi_index` does, and as pyribs does."""

    def __init__(self, parts: tuple[int, ...]) -> None:
        """Cut the range of each number into so many parts."""
        self.count = math.prod(parts)
        self._parts = np.array(parts, np.int64)

    def of(self, behaviour: bytes) -> int:
        """The number of the cell that a behaviour falls into."""
        places = unpack(behaviour).astype(np.int64) * self._parts // LEVELS
        return int(np.ravel_multi_index(tuple(places.tolist()), tuple(self._parts.tolist())))


class Cvt:
    """The cells around some well spread points; of two points as near, the first.

    Attributes:
        points: `[count, dimensions]` int64.
    """

    def __init__(self, count: int, dimensions: int) -> None:
        """Spread so many points."""
        self.count = count
        self.points = spread_points(count, dimensions)
        self._rows = self.points.astype(np.float64)
        self._norms = np.einsum("pd,pd->p", self._rows, self._rows)

    def of(self, behaviour: bytes) -> int:
        """The number of the cell that a behaviour falls into."""
        point = unpack(behaviour).astype(np.float64)
        return int(np.argmin(self._norms - 2.0 * (self._rows @ point)))


@lru_cache(maxsize=4)
def spread_points(count: int, dimensions: int) -> _Points:
    """Points that are spread over the whole space: the same ones wherever this runs."""
    samples = _samples(max(count * _SAMPLES_A_POINT, _AT_A_TIME), dimensions)
    points = samples[:count].copy()
    for _ in range(_ROUNDS):
        nearest = nearest_points(samples, points)
        members = np.bincount(nearest, minlength=count)
        sums = np.stack([_sums(nearest, column, count) for column in samples.T], axis=1)
        some = members > 0
        points[some] = (2 * sums[some] + members[some, None]) // (2 * members[some, None])
    points.setflags(write=False)
    return points


def _samples(count: int, dimensions: int) -> _Points:
    """Uniform whole numbers, `[count, dimensions]`, from a digest."""
    name = f"germline-cvt-1 {count} {dimensions}".encode()
    drawn = hashlib.shake_256(name).digest(2 * count * dimensions)
    return np.frombuffer(drawn, "<u2").reshape(count, dimensions).astype(np.int64)


def nearest_points(samples: _Points, points: _Points) -> npt.NDArray[np.intp]:
    """Of each sample the nearest point, the first of equals; exact in float64 whatever the order."""
    rows = points.astype(np.float64)
    norms = np.einsum("pd,pd->p", rows, rows)
    found = [
        np.argmin(norms - 2.0 * (samples[first : first + _AT_A_TIME].astype(np.float64) @ rows.T), axis=1)
        for first in range(0, len(samples), _AT_A_TIME)
    ]
    return np.concatenate(found)


def _sums(nearest: npt.NDArray[np.intp], column: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """The sum over each point's samples; below 2^53, so exact in the float64 of bincount."""
    return np.bincount(nearest, weights=column.astype(np.float64), minlength=count).astype(np.int64)
