"""How much work to hold beyond the slots: what the worker plays in the time that an exchange takes."""

from __future__ import annotations

import math

WINDOW_S = 0.25
COVER_S = 0.15  # batching, the way to the master, its turn and the way back
MAX_PREFETCH = 4096


class Prefetch:
    """Turns the speed of play into a prefetch, so that slots never wait and long episodes are not hoarded."""

    def __init__(self, now_s: float) -> None:
        """Start at a standstill."""
        self._since_s = now_s
        self._played = 0
        self._per_s = 0.0

    def note(self, evaluations: int, now_s: float) -> None:
        """Count evaluations that were played up to `now_s`, on a monotonic clock."""
        self._played += evaluations
        elapsed_s = now_s - self._since_s
        if elapsed_s >= WINDOW_S:
            self._per_s = self._played / elapsed_s
            self._since_s = now_s
            self._played = 0

    def beyond(self, slots: int) -> int:
        """Evaluations to hold beyond `slots`: an eighth of them, or what `COVER_S` takes if that is more."""
        return min(MAX_PREFETCH, max(1, slots // 8, math.ceil(self._per_s * COVER_S)))
