"""From raw fitness to whole numbers: the weights with which pairs enter an EGGROLL update.

The update is an exact sum only if its weights are integers, so every shaping here yields one integer a pair,
``weight = (z+ - z-) / unit``, and the float `unit` apart. Shaped fitness z has mean 0 and variance 1 over the
members (at most 1 within groups), whichever shaping is chosen, so that a learning rate means the same to all.

One rule for all: a pair with a missing (NaN) or infinite fitness is dropped, both members of it, and the rest
is shaped as if it had never been asked for. Where no fitness differs, every weight is 0: nothing moves.
All sums are correctly rounded (`math.fsum`), so every machine shapes to the same integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

ShapingName = Literal["centred_rank", "z_score", "group_mean", "pair_sign", "weighted_ranks"]
SHAPINGS: tuple[str, ...] = get_args(ShapingName)

WHOLE = 64
"""The weights of several rankings together, see :func:`weighted_ranks`."""
Z_UNIT = 2.0**-10  # standardised fitness is rounded to a multiple of this
_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]


class Shaped(NamedTuple):
    """What a list of scores says about its pairs.

    Attributes:
        weights: `[pairs]` int64; 0 for a dropped pair.
        unit: what one step of a weight is worth: ``z+ - z- = weight * unit``.
        members: how many members counted: twice the pairs that were not dropped.
    """

    weights: _Ints
    unit: float
    members: int


def shape(fitness: npt.ArrayLike, shaping: ShapingName = "centred_rank", group_pairs: int = 0) -> Shaped:
    """Shape the fitness of an epoch.

    Args:
        fitness: `[2 * pairs]`, always maximised, in the order of :func:`germline.pairs.members`.
        shaping: ``centred_rank`` (ties share their average rank), ``z_score``, ``group_mean`` (each group's
            own mean is subtracted; one standard deviation for all), or ``pair_sign`` (who won, pair by pair).
            ``weighted_ranks``: it is shaped already, by :func:`weighted_ranks`, and whole numbers.
        group_pairs: pairs in a group, for ``group_mean`` only.

    Raises:
        ValueError: if the list is empty or odd, a shaping is unknown, groups do not fit, or what should be
            ranks already is not whole numbers.
    """
    scores = np.asarray(fitness, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0 or scores.size % 2:
        raise ValueError(f"fitness has shape {scores.shape}; it is a flat list of an even number of members")
    check(shaping, scores.size // 2, group_pairs)
    by_pair = scores.reshape(-1, 2)
    alive = np.isfinite(by_pair).all(axis=1)
    groups = np.arange(alive.size) // group_pairs if group_pairs else np.zeros(alive.size, dtype=np.int64)
    weights = np.zeros(alive.size, dtype=np.int64)
    unit = 0.0
    if alive.any():
        counted = by_pair[alive] if shaping == "weighted_ranks" else _scaled(by_pair[alive])
        weights[alive], unit = _SHAPERS[shaping](counted, groups[alive])
    return Shaped(weights, unit, 2 * int(alive.sum()))


def check(shaping: str, pairs: int, group_pairs: int) -> None:
    """Refuse a shaping that an epoch of `pairs` pairs cannot have.

    Raises:
        ValueError: names the setting, its value and what is allowed.
    """
    if shaping not in SHAPINGS:
        raise ValueError(f"shaping is {shaping!r}; known are {', '.join(SHAPINGS)}")
    if (shaping == "group_mean") != (group_pairs > 0):
        raise ValueError(
            f"group_pairs is {group_pairs} with shaping {shaping}; only group_mean has groups, of 1 or more"
        )
    if group_pairs and pairs % group_pairs:
        raise ValueError(f"group_pairs is {group_pairs}; it must divide the {pairs} pairs of an epoch")


def largest_weight_sum(shaping: ShapingName, pairs: int) -> int:
    """A bound on ``sum(abs(weights))`` over an epoch, whatever the scores: for the budget of exact bits."""
    if shaping == "pair_sign":
        return pairs
    if shaping == "centred_rank":
        return 2 * pairs * pairs  # winners hold the upper ranks: sum of 2 * (rank+ - rank-) = 2 * pairs**2
    if shaping == "weighted_ranks":
        return WHOLE * 2 * pairs * pairs
    # The sum of |z| is at most that of the members, as the sum of z**2 is; half a unit each for the rounding.
    return math.ceil(2 * pairs / Z_UNIT) + pairs


def _scaled(by_pair: _Floats) -> _Floats:
    """Fitness over a power of two: squares neither overflow nor vanish, and every shaping ignores scale."""
    _, exponent = math.frexp(float(np.abs(by_pair).max()))
    return np.ldexp(by_pair, -exponent)


def _centred_rank(by_pair: _Floats, _groups: _Ints) -> tuple[_Ints, float]:
    """Twice the average rank, of variance ``(n*n - 1) / 3`` without ties; centring cancels within a pair."""
    twice_rank = _twice_rank(by_pair)
    n = by_pair.size
    return twice_rank[:, 0] - twice_rank[:, 1], math.sqrt(3.0 / (n * n - 1.0))


def weighted_ranks(columns: Sequence[npt.ArrayLike], weights: Sequence[int]) -> _Floats:
    """The weighted sum of several rankings of an epoch's members: whole numbers, to be shaped as they are.

    Args:
        columns: each `[2 * pairs]`; a pair with a missing or infinite number in one of them does not count.
        weights: of each ranking; together :data:`WHOLE`.

    Returns:
        `[2 * pairs]` float64; NaN for both members of a pair that does not count.
    """
    by_pair = [np.asarray(column, np.float64).reshape(-1, 2) for column in columns]
    alive = np.logical_and.reduce([np.isfinite(column).all(axis=1) for column in by_pair])
    summed = np.full(by_pair[0].shape, np.nan)
    if alive.any():
        ranks = [_twice_rank(column[alive]) for column in by_pair]
        summed[alive] = sum(weight * rank for weight, rank in zip(weights, ranks, strict=True))
    return summed.ravel()


def _twice_rank(by_pair: _Floats) -> _Ints:
    """Twice the average rank of each, ties shared."""
    _, inverse, counts = np.unique(by_pair, return_inverse=True, return_counts=True)
    twice: _Ints = (2 * (np.cumsum(counts) - counts) + counts)[inverse].reshape(by_pair.shape)
    return twice


def _ranks_as_they_are(by_pair: _Floats, _groups: _Ints) -> tuple[_Ints, float]:
    """Whole numbers already; their variance is at most that of ranks at the whole weight."""
    if (by_pair != np.rint(by_pair)).any():
        raise ValueError(
            "shaping is 'weighted_ranks', and fitness is not made of whole numbers; allowed: what "
            "weighted_ranks() makes of rankings; scores of a task want another shaping"
        )
    n = by_pair.size
    return (by_pair[:, 0] - by_pair[:, 1]).astype(np.int64), math.sqrt(3.0 / (n * n - 1.0)) / WHOLE


def _standardised(by_pair: _Floats, groups: _Ints) -> tuple[_Ints, float]:
    """``(fitness - mean of its group) / std of all``, rounded to multiples of the unit."""
    means = np.array([_mean(by_pair[groups == group]) for group in range(int(groups[-1]) + 1)])
    centre = by_pair - _mean(by_pair)
    variance = math.fsum((centre * centre).ravel()) / by_pair.size
    if by_pair.min() == by_pair.max():  # not by the variance, which rounding may lift above zero
        return np.zeros(len(by_pair), dtype=np.int64), Z_UNIT
    z = (by_pair - means[groups][:, None]) / math.sqrt(variance)
    steps = np.rint(z / Z_UNIT).astype(np.int64)
    return steps[:, 0] - steps[:, 1], Z_UNIT


def _mean(values: _Floats) -> float:
    return math.fsum(values.ravel()) / values.size if values.size else 0.0


def _pair_sign(by_pair: _Floats, _groups: _Ints) -> tuple[_Ints, float]:
    """Winner +1, loser -1: the members of a tie get 0."""
    return np.sign(by_pair[:, 0] - by_pair[:, 1]).astype(np.int64), 2.0


_SHAPERS: dict[str, Callable[[_Floats, _Ints], tuple[_Ints, float]]] = {
    "centred_rank": _centred_rank,
    "z_score": _standardised,
    "group_mean": _standardised,
    "pair_sign": _pair_sign,
    "weighted_ranks": _ranks_as_they_are,
}
