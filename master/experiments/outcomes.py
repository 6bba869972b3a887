"""How much of the last work could be scored: too little, and an experiment pauses."""

from __future__ import annotations

from collections import deque

LAST = 100
"""Pieces of work that are looked at."""
FAILED_SHARE = 0.5
"""Of their individuals, so many may be set aside ..."""
FEW_FAILED = 20
"""... and so few always."""


class Outcomes:
    """How many individuals of the last pieces of work were scored, and how many were set aside."""

    def __init__(self) -> None:
        self.scored = self.failed = 0
        self._last: deque[tuple[int, int]] = deque()

    def note(self, scored: int, failed: int = 0) -> None:
        """A piece of work is done: so many individuals of it were scored, and so many were not."""
        self._last.append((scored, failed))
        self.scored += scored
        self.failed += failed
        if len(self._last) > LAST:
            scored, failed = self._last.popleft()
            self.scored -= scored
            self.failed -= failed

    def clear(self) -> None:
        """Begin anew."""
        self._last.clear()
        self.scored = self.failed = 0

    @property
    def are_hopeless(self) -> bool:
        """Whether too many individuals were set aside."""
        return self.failed >= FEW_FAILED and self.failed > FAILED_SHARE * (self.scored + self.failed)
