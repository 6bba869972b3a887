"""Quantile bands of an archive: exact, in few points, along evaluations, frames or running time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from germline.archive import part as layout
from germline.archive.view import HeldRange, Piece, View

Axis = Literal["evaluations", "frames", "running"]

FRACTIONS: Final = (0.0, 0.1, 0.5, 0.9, 1.0)
MOST_POINTS: Final = 500
_BLOCK: Final = 1_024  # wider bins are a power of two of these, and kept


class Bands(NamedTuple):
    """What each of N bins of consecutive evaluations came to.

    Attributes:
        first: `[N]` number of the first evaluation of each, and
        end: `[N]` the number behind its last.
        records: `[N]` records in it; fewer than evaluations where the archive was thinned.
        quantiles: `[N, 5]` of the evaluations' fitness, at :data:`FRACTIONS`, as ``numpy.quantile`` has them.
        frames: `[N]` emulator frames of the experiment up to its end.
        running_s: `[N]` running time at its end.
    """

    first: NDArray[np.int64]
    end: NDArray[np.int64]
    records: NDArray[np.int64]
    quantiles: NDArray[np.float64]
    frames: NDArray[np.int64]
    running_s: NDArray[np.float64]


def bands(view: View, axis: Axis, low: float, high: float, points: int = MOST_POINTS) -> Bands:
    """Bands of the evaluations between two places on an axis, in at most so many bins of equal width.

    Bins of 1,024 evaluations and more begin at a multiple of their width, so the first and the last may reach
    beyond what was asked for.
    """
    first, end = _numbers(view, axis, low, high)
    width = _width(end - first, points)
    if width < _BLOCK:
        rows = _binned([HeldRange(view, first, end)], width, first)
        before = _frames_before(view, first)
    else:
        first = first // width * width
        end = -(-end // width) * width
        pieces = view.between(first, end).pieces
        rows = np.concatenate([_NO_BINS, *_of_pieces(pieces, width)])
        rows = rows[(rows[:, 0] >= first) & (rows[:, 0] < end)]
        before = _frames_before(view, first)
    return Bands(
        first=rows[:, 0].astype(np.int64),
        end=np.minimum(rows[:, 1], min(end, view.end)).astype(np.int64),
        records=rows[:, 2].astype(np.int64),
        quantiles=rows[:, 3:8],
        frames=(before + np.cumsum(rows[:, 8])).astype(np.int64),
        running_s=rows[:, 9],
    )


def _width(evaluations: int, points: int) -> int:
    """How many evaluations a bin has so that so many bins suffice."""
    width = max(1, -(-evaluations // max(points - 2, 1)))
    while width >= _BLOCK and width & (width - 1):
        width = 1 << width.bit_length()
    return width


def _numbers(view: View, axis: Axis, low: float, high: float) -> tuple[int, int]:
    """The record numbers between two places on an axis."""
    if axis == "evaluations":
        first, end = (max(0, int(min(place, view.end))) for place in (low, high))
        return first, end
    numbers = view.numbers()
    if axis == "frames":
        places = np.cumsum(view.column("frames"), dtype=np.float64)
    else:
        places = view.column("running_cs") / 100
    rows = np.searchsorted(places, (low, high), side="left")
    if not len(numbers):
        return 0, 0
    begin, end = (int(numbers[min(row, len(numbers) - 1)]) for row in rows)
    return begin, end + 1


def _of_pieces(pieces: Sequence[Piece], width: int) -> Iterator[NDArray[np.float64]]:
    """Bins of pieces: of one that holds only whole bins they are kept; the others are taken together."""
    for is_whole, group in groupby(pieces, key=lambda piece: _is_whole(piece, width)):
        if is_whole:
            for piece in group:
                made = piece.derived(f"bands {width}", lambda piece=piece: _binned([piece], width, 0))  # type: ignore[misc]
                yield made.astype(np.float64, copy=False)
        else:
            yield _binned(list(group), width, 0)


def _is_whole(piece: Piece, width: int) -> bool:
    return piece.first % width == 0 and piece.end % width == 0 and piece.end % layout.ROWS == 0


def _binned(pieces: Sequence[Piece | HeldRange], width: int, origin: int) -> NDArray[np.float64]:
    """`[N, 10]`: first, end, count, five quantiles, frames in it, running seconds at its end."""
    numbers, fitness, frames, running = (
        np.concatenate([piece.column(name) for piece in pieces])
        for name in ("number", "fitness", "frames", "running_cs")
    )
    bins = (numbers.astype(np.int64) - origin) // width
    if not len(bins):
        return _NO_BINS
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    rows = np.empty((len(starts), 10))
    for row, (start, stop) in enumerate(zip(starts, [*starts[1:], len(bins)], strict=True)):
        place = origin + bins[start] * width
        rows[row, :3] = place, place + width, stop - start
        rows[row, 3:8] = _quantiles(fitness[start:stop].astype(np.float64))
        rows[row, 8] = frames[start:stop].sum(dtype=np.int64)
        rows[row, 9] = int(running[stop - 1]) / 100
    return rows


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = np.sort(values)
    places = np.array(FRACTIONS) * (len(ordered) - 1)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, len(ordered) - 1)
    found: NDArray[np.float64] = ordered[below] + (ordered[above] - ordered[below]) * (places - below)
    return found


def _frames_before(view: View, first: int) -> int:
    total = sum(
        int(piece.derived("frames in all", lambda piece=piece: _total(piece))[0])  # type: ignore[misc]
        for piece in view.pieces
        if piece.end <= first
    )
    begun = [piece for piece in view.pieces if piece.first < first < piece.end]
    return total + sum(int(HeldRange(view, piece.first, first).column("frames").sum()) for piece in begun)


def _total(piece: Piece) -> NDArray[np.int64]:
    return np.array([piece.column("frames").sum(dtype=np.int64)])


_NO_BINS = np.empty((0, 10))
