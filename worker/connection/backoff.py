"""How long to wait before the next try: doubling, with jitter, so that a fleet does not knock all at once."""

from __future__ import annotations

import random

FIRST_S = 0.2
LONGEST_S = 5.0


class Backoff:
    """The waits between tries. Each is drawn evenly from the upper half of a span that doubles."""

    def __init__(self, chance: random.Random | None = None) -> None:
        """Draw from `chance`, by default one of this object's own."""
        self._chance = chance or random.Random()  # noqa: S311 (jitter is no secret)
        self._tries = 0

    def reset(self) -> None:
        """Start over, after a success."""
        self._tries = 0

    def next_s(self) -> float:
        """Seconds to wait now."""
        span_s = min(LONGEST_S, FIRST_S * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return span_s * self._chance.uniform(0.5, 1.0)
