"""Means of numbers that somebody else made: whatever is finite has a finite mean, and nothing overflows.

Where nothing is near the ends of what a float holds, these give the very bits of the plain formulas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LARGEST_SQUARE = 1e290  # what a square counts for that is larger or no float any more: sums of it stay finite


def mean_of(values: Sequence[float]) -> float:
    """The mean, its sum correctly rounded."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        half = math.fsum(value / 2 / len(values) for value in values)
        return min(max(2 * half, min(values)), max(values))  # rounded up, the double may be no float any more


def mean_with(mean: float, count: int, values: Sequence[float]) -> float:
    """The mean of `count` numbers that have this mean and of these, all together."""
    total = count + len(values)
    change = (sum(values) - len(values) * mean) / total
    if math.isfinite(change):
        return mean + change
    return math.fsum((mean * (count / total), *(value / total for value in values)))


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean; infinite for a single value, which says nothing of it."""
    if len(values) < 2:
        return math.inf
    _, exponent = math.frexp(max(map(abs, values)))
    scaled = [math.ldexp(value, -exponent) for value in values]  # no larger than 1: squares are floats
    mean = mean_of(scaled)
    variance = math.fsum((value - mean) ** 2 for value in scaled) / (len(values) - 1)
    return math.ldexp(math.sqrt(variance / len(values)), exponent)
