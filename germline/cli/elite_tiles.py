"""MAP-Elites' cells as tiles of a picture: two numbers of the behaviour, and on each tile the fittest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from germline.algorithms.cells import nearest_points, spread_points
from germline.behaviour import LEVELS, unpack
from germline.client import Individual
from germline.spec.behaviour import behaviour_dimensions
from germline.v1 import spec_pb2

MOST_TILES = 128
"""Along each number."""
NOBODY = -1

Tiles = npt.NDArray[np.int64]


def tiles_of(spec: spec_pb2.ExperimentSpec, found: Sequence[Individual], x: int = 0, y: int = 1) -> Tiles:
    """Who is shown where.

    A grid's cells are the tiles, or share one where there are more than 128 along a number, or other numbers
    beside these two. A CVT of two numbers is drawn as it lies: each tile has the elite of the cell that its
    middle lies in. Of a CVT of more, elites are where they are themselves.

    Args:
        spec: with MAP-Elites.
        found: its elites.
        x: which number of the behaviour is across, from 0.
        y: and which upwards; a behaviour of one number is drawn as one row.

    Returns:
        `[columns, rows]` places in `found`; -1 where nobody is.

    Raises:
        ValueError: if there is no such number.
    """
    dimensions = behaviour_dimensions(spec)
    for name, number in (("x", x), ("y", y if dimensions > 1 else 0)):
        if not 0 <= number < dimensions:
            raise ValueError(f"{name} is {number}; allowed: 0 to {dimensions - 1}")
    elites = spec.algorithm.map_elites
    if not elites.grid and dimensions == 2:
        return _of_cvt(elites.points, found, x, y)
    parts = [min(MOST_TILES, each) for each in elites.grid] or [MOST_TILES // 2] * dimensions
    return _binned(found, (x, y if dimensions > 1 else None), parts)


def _binned(found: Sequence[Individual], axes: tuple[int, int | None], parts: Sequence[int]) -> Tiles:
    """Each elite where its behaviour lies; of those on one tile the fittest, of equals the first."""
    tiles = np.full([1 if axis is None else parts[axis] for axis in axes], NOBODY, np.int64)
    for place in sorted(range(len(found)), key=lambda each: found[each].fitness):
        behaviour = unpack(found[place].behaviour).astype(np.int64)
        at = [0 if axis is None else int(behaviour[axis]) * parts[axis] // LEVELS for axis in axes]
        tiles[at[0], at[1]] = place
    return tiles


def _of_cvt(points: int, found: Sequence[Individual], x: int, y: int) -> Tiles:
    """Each tile's middle lies in a cell; of an empty one nobody is shown."""
    elite_of = np.full(points, NOBODY, np.int64)
    for place, each in enumerate(found):
        elite_of[each.cell or 0] = place
    middles = (2 * np.arange(MOST_TILES) + 1) * LEVELS // (2 * MOST_TILES)
    samples = np.empty((MOST_TILES, MOST_TILES, 2), np.int64)
    samples[..., x], samples[..., y] = middles[:, None], middles[None, :]
    if x == y:
        samples[...] = middles[:, None, None]
    cells = nearest_points(samples.reshape(-1, 2), spread_points(points, 2))
    tiles: Tiles = elite_of[cells].reshape(MOST_TILES, MOST_TILES)
    return tiles


def fitness_of(tiles: Tiles, found: Sequence[Individual]) -> npt.NDArray[np.float64]:
    """Fitness by tile, NaN where nobody is."""
    scores = np.array([*(each.fitness for each in found), np.nan])
    shown: npt.NDArray[np.float64] = scores[tiles]
    return shown
