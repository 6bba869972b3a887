"""What everybody did, as a map of cells: by two numbers of behaviours, or principal components."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from germline.archive.record import BEHAVIOUR_NUMBERS
from germline.archive.view import NUMBER, HeldRange, Piece, View

CELLS: Final = 128
"""Along each axis."""
_SCALE: Final = 65_535.0
_REACH: Final = 3.5  # standard deviations
_NO_CELLS = np.zeros(
    0,
    [
        ("cell", "i8"),
        ("best", "f8"),
        ("number", "i8"),
        ("individual", "u8"),
        ("size", "i8"),
        ("newest", "i8"),
    ],
)


class Axes(NamedTuple):
    """Where a map's axes lie in the space of behaviours, whose numbers count as 0 to 1 there.

    Attributes:
        weights: `[2, 8]`, one row an axis.
        low: `[2]` the lowest place on each axis, and
        high: `[2]` the highest.
    """

    weights: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class Map(NamedTuple):
    """Cells in which anybody was, and what is known of each.

    Attributes:
        axes: where they lie.
        x: `[K]` column of each cell, 0 to 127, and
        y: `[K]` its row.
        size: `[K]` evaluations in it.
        best: `[K]` the highest fitness of these, and
        number: `[K]` the record of that, the first of equal ones, and
        individual: `[K]` who that was.
        newest: `[K]` the highest record number in it.
        evaluations: records with a behaviour in all.
    """

    axes: Axes
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    size: NDArray[np.int64]
    best: NDArray[np.float64]
    number: NDArray[np.int64]
    individual: NDArray[np.uint64]
    newest: NDArray[np.int64]
    evaluations: int


def plain_axes(x: int, y: int) -> Axes:
    """Two numbers of the behaviour, by their places in it. Raises ValueError if there are no such places."""
    for name, place in (("x", x), ("y", y)):
        if not 0 <= place < BEHAVIOUR_NUMBERS:
            raise ValueError(f"{name} is {place}; allowed: 0 to {BEHAVIOUR_NUMBERS - 1}")
    weights = np.zeros((2, BEHAVIOUR_NUMBERS))
    weights[0, x] = weights[1, y] = 1.0
    return Axes(weights, np.zeros(2), np.ones(2))


def principal_axes(view: View) -> Axes:
    """The two directions in which behaviours differ most; each one's largest weight is positive.

    So the same records give the same axes, and none of them is turned round. They reach 3.5 standard
    deviations to either side; what lies beyond counts in the outermost cells.
    """
    moments = sum(view.partly("moments", _moments), np.zeros((BEHAVIOUR_NUMBERS + 1, BEHAVIOUR_NUMBERS + 1)))
    n = max(moments[-1, -1], 1.0)
    mean = moments[-1, :-1] / n
    spread, vectors = np.linalg.eigh(moments[:-1, :-1] / n - np.outer(mean, mean))
    weights = vectors[:, :-3:-1].T.copy()
    largest = np.take_along_axis(weights, np.abs(weights).argmax(axis=1)[:, None], axis=1)
    weights *= np.where(largest < 0, -1.0, 1.0)
    reach = np.maximum(_REACH * np.sqrt(np.maximum(spread[:-3:-1], 0.0)), 1e-6)
    return Axes(weights, weights @ mean - reach, weights @ mean + reach)


def behaviour_map(view: View, axes: Axes) -> Map:
    """Where the records of a view lie on these axes."""
    parts = np.concatenate([_NO_CELLS, *view.partly(_name("map", axes), partial(_cells_of, axes=axes))])
    parts = parts[np.lexsort((parts["number"], -parts["best"], parts["cell"]))]
    starts = np.flatnonzero(np.diff(parts["cell"], prepend=-1))
    size = np.add.reduceat(parts["size"], starts) if len(parts) else parts["size"]
    newest = np.maximum.reduceat(parts["newest"], starts) if len(parts) else parts["newest"]
    shown = parts[starts]
    return Map(
        axes, shown["cell"] % CELLS, shown["cell"] // CELLS, size, shown["best"], shown["number"],
        shown["individual"], newest, int(size.sum()),
    )  # fmt: skip


def _cells_of(piece: Piece | HeldRange, axes: Axes) -> NDArray[np.void]:
    """Each cell in which a record of a piece lies, and what is known of it there."""
    behaviour, rows = _behaviours(piece)
    cells, fitness, numbers = (
        _cells(behaviour, axes),
        piece.column("fitness")[rows],
        piece.column(NUMBER)[rows],
    )
    oldest_last = np.arange(len(rows))[::-1]
    rising = oldest_last[np.argsort(fitness[oldest_last], kind="stable")]
    best, newest = np.zeros(CELLS * CELLS, np.int64), np.zeros(CELLS * CELLS, np.int64)
    best[cells[rising]] = rising  # whoever comes last stays: the best, and of equals the oldest
    newest[cells] = numbers
    size = np.bincount(cells, minlength=CELLS * CELLS)
    filled = np.flatnonzero(size)
    found = np.zeros(len(filled), _NO_CELLS.dtype)
    chosen = best[filled]
    found["cell"], found["size"], found["newest"] = filled, size[filled], newest[filled]
    found["best"], found["number"] = fitness[chosen], numbers[chosen]
    found["individual"] = piece.column("individual")[rows[chosen]]
    return found


def _moments(piece: Piece | HeldRange) -> NDArray[np.float64]:
    """`[9, 9]` sums of the products of all behaviours, with a one behind each."""
    behaviour, rows = _behaviours(piece)
    with_one = np.concatenate([behaviour, np.ones((len(rows), 1))], axis=1)
    found: NDArray[np.float64] = with_one.T @ with_one
    return found


def rows_in(view: View, axes: Axes, x: tuple[int, int], y: tuple[int, int]) -> NDArray[np.int64]:
    """The rows of a view that lie in these columns and rows of cells, both ends among them."""
    cells = np.concatenate(
        [np.zeros(0, np.int16), *view.partly(_name("cells", axes), partial(_all_cells, axes=axes))]
    )
    column, row = cells % CELLS, cells // CELLS
    inside = (column >= x[0]) & (column <= x[1]) & (row >= y[0]) & (row <= y[1]) & (cells >= 0)
    return np.flatnonzero(inside)


def _all_cells(piece: Piece | HeldRange, axes: Axes) -> NDArray[np.int16]:
    """`[N]` the cell of each record of a piece; -1: it has no behaviour."""
    behaviour, rows = _behaviours(piece)
    found = np.full(len(piece.column(NUMBER)), -1, np.int16)
    found[rows] = _cells(behaviour, axes)
    return found


def _name(what: str, axes: Axes) -> str:
    return f"{what} " + ",".join(f"{number:.9g}" for row in axes for number in np.ravel(row))


def _behaviours(view: View | Piece | HeldRange) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """`[M, 8]` behaviours from 0 to 1, and `[M]` whose rows they are; not all records have one."""
    rows = np.flatnonzero(view.column("behaviours"))
    behaviour = view.column("behaviour")
    kept = behaviour if len(rows) == len(behaviour) else behaviour[rows]
    return kept.astype(np.float64) / _SCALE, rows


def _cells(behaviour: NDArray[np.float64], axes: Axes) -> NDArray[np.int64]:
    places = (behaviour @ axes.weights.T - axes.low) / (axes.high - axes.low) * CELLS
    x, y = np.clip(places, 0, CELLS - 1).astype(np.int64).T
    found: NDArray[np.int64] = y * CELLS + x
    return found
