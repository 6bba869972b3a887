"""How long a step of play may take before it is taken for one that hangs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FEW = 10
TIMES, LEAST_S = 100.0, 600.0


class Patience:
    """As long as the spec says; where steps are alike, a hundred times the longest of those that were seen.

    A step of an emulator or an environment takes the same time in a short episode as in a long one, so nobody
    is given up for living long. An evaluation that is one call, as a function is, may take whatever the spec
    says. The first steps may take that, too: an empty cache is filled then. No step is given up within 600 s.
    """

    def __init__(
        self, most_s: float = math.inf, *, alike: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Wait for `most_s` at most; `alike`: a step does not take longer because the episode does."""
        self._most_s = most_s
        self._alike = alike
        self._clock = clock
        self._seen = 0
        self._longest_seen_s = 0.0
        self._is_stepping = False

    @property
    def longest_s(self) -> float:
        """For how long to wait now; from any thread."""
        if not (self._alike and self._is_stepping and self._seen >= FEW):
            return self._most_s
        return min(self._most_s, max(LEAST_S, TIMES * self._longest_seen_s))

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around one step of play, and nothing else: what is done between steps has its own time."""
        began_s, self._is_stepping = self._clock(), True
        try:
            yield
        finally:
            self._is_stepping = False
            self._seen += 1
            self._longest_seen_s = max(self._longest_seen_s, self._clock() - began_s)
