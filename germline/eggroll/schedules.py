"""Settings that change over the epochs, computed with single IEEE operations: the same value everywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decay:
    """Geometric: ``first * factor ** epoch``, never below `least`."""

    first: float
    factor: float
    least: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what would not stay positive."""
        if not 0 < self.factor < math.inf or not self.least >= 0:
            raise ValueError(
                f"factor is {self.factor} and least is {self.least}; "
                f"allowed: a finite factor above 0, and a least of 0 or more"
            )

    def __call__(self, epoch: int) -> float:
        """The value in this epoch."""
        return max(self.least, self.first * power(self.factor, epoch))


@dataclass(frozen=True, slots=True)
class Ramp:
    """A straight line from `first` to `last` over so many epochs; `last` from then on."""

    first: float
    last: float
    epochs: int

    def __post_init__(self) -> None:
        """Refuse what would not stay positive."""
        if not 0 <= self.last < math.inf or self.epochs < 0:
            raise ValueError(
                f"last is {self.last} and epochs is {self.epochs}; allowed: finite, and 0 or more"
            )

    def __call__(self, epoch: int) -> float:
        """The value in this epoch."""
        if epoch >= self.epochs:
            return self.last
        return self.first + (self.last - self.first) * (epoch / self.epochs)


Schedule = Decay | Ramp


def value_at(setting: float | Schedule, epoch: int) -> float:
    """A setting's value in an epoch; a number is the same in all."""
    return setting(epoch) if isinstance(setting, Decay | Ramp) else setting


def power(base: float, exponent: int) -> float:
    """``base ** exponent`` by multiplications only: libraries differ in the last bit of pow."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result
