"""From the fitness of members to whole numbers, one for each noise, as the packages' users expect it.

:mod:`germline.shaping` shapes pairs; these packages standardise with the unbiased deviation, in groups if
asked, and have members without a partner. What comes out goes into the same exact update.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from germline import noise
from germline.eggroll.update import FLOAT64_BITS
from germline.shaping import Shaped

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Spread(NamedTuple):
    """What centred fitness is divided by.

    Attributes:
        floor: a standard deviation up to this is none: fitness is only centred.
        added: to the standard deviation.
    """

    floor: float = 0.0
    added: float = 0.0


def counted(fitness: Floats, signs: int) -> Bools:
    """Which members count: those with a finite fitness, and where noises have two, both or none of a pair."""
    finite = np.isfinite(fitness)
    if signs == 2:
        whole = finite.size // 2 * 2
        both = finite[:whole].reshape(-1, 2).all(axis=1)
        finite[:whole] = np.repeat(both, 2)
    return finite


def standardised(fitness: Floats, alive: Bools, spread: Spread | None, group_size: int = 0) -> Floats:
    """Fitness minus its mean over its standard deviation, 0 for whom does not count: `[members]` twice.

    Args:
        fitness: `[members]`.
        alive: which of them count.
        spread: see :class:`Spread`; None only centres.
        group_size: neighbours that have a mean and a deviation of their own; 0 for one of all.
    """
    z = np.zeros(fitness.size)
    size = group_size or fitness.size
    for start in range(0, fitness.size, size):
        mine = np.flatnonzero(alive[start : start + size]) + start
        if mine.size:
            z[mine] = _standardised(fitness[mine], spread)
    return z


def _standardised(fitness: Floats, spread: Spread | None) -> Floats:
    """The same of those that count; sums are correctly rounded, so that machines agree."""
    _, exponent = math.frexp(float(np.abs(fitness).max()))
    scaled = np.ldexp(fitness, -exponent)  # squares neither overflow nor vanish
    centred = scaled - math.fsum(scaled) / scaled.size
    if fitness.min() == fitness.max():
        return np.zeros(fitness.size)
    if spread is None:
        return np.asarray(np.ldexp(centred, exponent))
    deviation = math.sqrt(math.fsum(centred * centred) / (centred.size - 1))
    if np.ldexp(deviation, exponent) <= spread.floor:
        return np.asarray(np.ldexp(centred, exponent))
    return np.asarray(centred / (deviation + float(np.ldexp(spread.added, -exponent))))


def shaped(z: Floats, signs: int, rank: int, members: int) -> Shaped:
    """Whole numbers, one for each noise, as fine as an exact update of this rank allows.

    Args:
        z: `[members]`, in the order plus, minus, plus, minus ... if there are two signs.
        signs: members of a noise.
        rank: the highest of the noise on matrices.
        members: how many count.

    Raises:
        ValueError: if there are so many noises that an update cannot be exact.
    """
    if signs == 2:
        z = z[::2] - np.append(z[1::2], np.zeros(z.size % 2))
    room = (1 << FLOAT64_BITS) // (max(rank, 1) * _largest_product() * max(z.size, 1))
    if room < 1:
        raise ValueError(f"{z.size} noises of rank {rank} are more than an exact update can sum")
    top = float(np.abs(z).max(initial=0.0))
    unit = math.ldexp(1.0, math.frexp(top)[1] - (room.bit_length() - 1))
    return Shaped(np.rint(z / unit).astype(np.int64), unit, members)


@cache
def _largest_product() -> int:
    """The square of the largest value of noise, in the units of an exact update."""
    return int(noise.table_units().max()) ** 2
