"""How often workers are lost whatever they play: where machines are taken away, that is no work's fault.

Work that was alone with a lost worker may be why. It may also have been there when the machine went, and the
longer it plays, the more often it is: without this, long episodes, which good policies play, would be
set aside for the fate of their machines.
"""

from __future__ import annotations

import math
from typing import NamedTuple

_ASSUMED_S = 1_200.0  # of workers' time without a loss, before anything is known
_REMEMBERED_S = 1e6


class Odds(NamedTuple):
    """How likely a worker was to be lost anyway.

    Attributes:
        losses_a_second: of one worker, whatever it plays; 0 where the worker itself says that it broke.
        silent_s: how long nothing had been heard of it when it was given up.
    """

    losses_a_second: float = 0.0
    silent_s: float = 0.0

    def within(self, seconds: float) -> float:
        """The probability of a loss while it held something that it was given so many seconds ago."""
        return -math.expm1(-self.losses_a_second * max(0.0, seconds - self.silent_s))


NO_CHANCE = Odds()


class Churn:
    """Counts the losses of workers with ordinary work, and the time that workers live.

    A worker that was lost while it tried work under suspicion is not counted: that may be the work's doing.
    """

    def __init__(self) -> None:
        self._lived_s = _ASSUMED_S
        self._losses = 0.0

    def live(self, workers: int, seconds: float) -> None:
        """So many workers were there for so long."""
        self._lived_s += workers * seconds
        if self._lived_s > _REMEMBERED_S:
            self._lived_s, self._losses = self._lived_s / 2, self._losses / 2

    def lose(self) -> None:
        """A worker was lost."""
        self._losses += 1

    def odds(self, silent_s: float = 0.0) -> Odds:
        """How likely a worker is to be lost, whatever it plays."""
        return Odds(self._losses / self._lived_s, silent_s)
