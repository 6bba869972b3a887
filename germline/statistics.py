"""Honest summaries of noisy scores: means with confidence intervals, and the interquartile mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_RESAMPLES = 10_000
_MANY_DEGREES = 200  # of freedom: from here on a series around the normal quantile is exact to 1e-9


class Interval(NamedTuple):
    """An estimate and the interval that covers the truth with the asked confidence."""

    estimate: float
    low: float
    high: float


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean with Student's t interval.

    Args:
        values: independent scores.
        confidence: share of such intervals that hold the true mean.

    Returns:
        The interval; without bounds (NaN) for a single value, which says nothing of its spread.

    Raises:
        ValueError: if there are no values, one is not finite, or the confidence is not between 0 and 1.
    """
    scores, exponent = _scaled(_checked(values, confidence))
    mean = float(scores.mean())
    if scores.size == 1:
        return Interval(_back(mean, exponent), math.nan, math.nan)
    error = float(scores.std(ddof=1)) / math.sqrt(scores.size)
    half = half_width(error, scores.size, confidence)
    return Interval(*(_back(value, exponent) for value in (mean, mean - half, mean + half)))


def share_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """The share of trials that succeeded, with Wilson's score interval (1927), which holds for few trials.

    Raises:
        ValueError: if there are no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"successes is {successes} of {trials} trials; allowed: 0 to trials, of 1 or more")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, drag = successes / trials, z * z / trials
    middle = (share + drag / 2) / (1 + drag)
    half = math.sqrt(drag * (share * (1 - share) + drag / 4)) / (1 + drag)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def bootstrap_interval(values: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Interval:
    """The interquartile mean with its percentile bootstrap interval; arguments as for :func:`mean_interval`.

    For scores with outliers (Agarwal et al. 2021, arXiv 2108.13264); `seed` fixes the resamples.
    """
    scores, exponent = _scaled(_checked(values, confidence))
    random = np.random.default_rng(seed)
    resamples = np.sort(random.choice(scores, size=(_RESAMPLES, scores.size)), axis=1)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(_iqm_of_sorted(resamples), tails)
    return Interval(interquartile_mean(values), _back(float(low), exponent), _back(float(high), exponent))


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean of the middle half; values on its edges count in part, so that exactly half is cut away."""
    scores, exponent = _scaled(np.sort(_checked(values, 0.5)))
    return _back(float(_iqm_of_sorted(scores[np.newaxis, :])[0]), exponent)


@lru_cache(maxsize=1_024)
def t_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t distribution with `freedom` degrees.

    Raises:
        ValueError: if the probability is not between 0 and 1, or there is no degree of freedom.
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability is {probability}; it lies between 0 and 1")
    if freedom < 1:
        raise ValueError(f"freedom is {freedom}; allowed: 1 or more")
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    if freedom >= _MANY_DEGREES:
        return _near_normal(NormalDist().inv_cdf(probability), freedom)
    return _by_bisection(probability, freedom)


def half_width(standard_error: float, values: int, confidence: float = 0.95) -> float:
    """Half of the interval that Student's t gives the mean of so many values; NaN for a single one."""
    return t_quantile(0.5 + confidence / 2, values - 1) * standard_error if values > 1 else math.nan


def _near_normal(z: float, freedom: int) -> float:
    """The quantile of many degrees from the normal one: Abramowitz and Stegun 26.7.5."""
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


def _by_bisection(probability: float, freedom: int) -> float:
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < probability and high < 1e9:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if t_probability(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def t_probability(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0: the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(angle) ** 2
    odd = freedom % 2
    term = total = math.cos(angle) if odd else 1.0
    for k in range(2 + odd, freedom, 2):
        term *= cosine * (k - 1) / k
        total += term
    if odd:
        total = 2 / math.pi * (angle + math.sin(angle) * (total if freedom > 1 else 0.0))
    else:
        total *= math.sin(angle)
    return 0.5 + total / 2


def _iqm_of_sorted(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Interquartile mean of each sorted row of `[R, n]`."""
    n = rows.shape[1]
    edges = np.arange(n + 1)
    covered = np.clip(np.minimum(edges[1:], 0.75 * n) - np.maximum(edges[:-1], 0.25 * n), 0, None)
    mean: npt.NDArray[np.float64] = rows @ covered / covered.sum()
    return mean


def _checked(values: Sequence[float], confidence: float) -> npt.NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not scores.size:
        raise ValueError(f"values has shape {scores.shape}; it must be a list of at least one score")
    if not np.isfinite(scores).all():
        raise ValueError("values holds NaN or an infinity; every score must be finite")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it lies between 0 and 1")
    return scores


def _scaled(scores: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], int]:
    """Scores over a power of two, and its exponent: their squares are floats, and no bit is lost."""
    _, exponent = math.frexp(float(np.abs(scores).max()))
    return np.ldexp(scores, -exponent), exponent


def _back(value: float, exponent: int) -> float:
    """A scaled value as it is; infinite beyond all floats."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)
