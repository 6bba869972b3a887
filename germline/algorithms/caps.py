"""After how many frames the games of new individuals are cut; it may grow as they learn to live longer.

Beginners are told apart early in a game, and short games are cheap. A progressive cap (after Fuks et al.,
IJCAI 2019) begins at half of the length of a random player's game and doubles when more than a quarter of
the games hit it. It is a function of the told results alone, so a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from germline.algorithms.base import Ask, Result

MEASURED = 20  # evaluations in whole games whose length is measured first
_LARGEST = 1 << 30  # frames; no game is so long


class Caps:
    """The cap of new individuals.

    Attributes:
        now: in frames; 0: whole games.

    Args:
        first: the cap at the start; 0: none, or half of what the first whole games show.
        grows: whether it is progressive.
        window: P; every P/2 evaluations are looked at together.
    """

    def __init__(self, first: int, *, grows: bool, window: int) -> None:
        self.now = first
        self._grows = grows
        self._enough = max(1, window // 2)
        self._clear()

    def tell(self, ask: Ask, result: Result) -> None:
        """Take in what a new individual played; games under an earlier cap say nothing of this one."""
        if not self._grows or ask.cap_frames != self.now:
            return
        self._evaluations += 1
        self._episodes += len(result.returns)
        self._frames += result.frames
        self._cut += result.cut or 0
        if not self.now and self._evaluations == MEASURED:
            self._become(self._frames // (2 * self._episodes))
        elif self.now and self._evaluations == self._enough:
            self._become(2 * self.now if 4 * self._cut > self._episodes else self.now)

    def snapshot(self) -> list[int]:
        """The cap, and what is counted under it."""
        return [self.now, self._evaluations, self._episodes, self._frames, self._cut]

    def restore(self, numbers: Sequence[int]) -> None:
        """Become what :meth:`snapshot` wrote."""
        self.now, self._evaluations, self._episodes, self._frames, self._cut = numbers

    def _become(self, cap_frames: int) -> None:
        self.now = min(max(1, cap_frames), _LARGEST)
        self._clear()

    def _clear(self) -> None:
        self._evaluations = self._episodes = self._frames = self._cut = 0
