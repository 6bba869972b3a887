"""Who waits until something is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class _Waiter(NamedTuple):
    """Whom to call when these experiments are stored up to these positions."""

    positions: dict[int, int]
    callback: Callable[[], None]


class Waiters:
    """Calls back, in the order in which they came, those whose positions are stored."""

    def __init__(self, is_stored: Callable[[int, int], bool]) -> None:
        """Nobody waits; `is_stored` says whether an experiment is stored up to a position."""
        self._is_stored = is_stored
        self._waiting: list[_Waiter] = []

    def add(self, positions: dict[int, int], callback: Callable[[], None]) -> None:
        """Call back once all of these are stored, at once if they are."""
        waiter = _Waiter(positions, callback)
        if self._is_done(waiter):
            callback()
        else:
            self._waiting.append(waiter)

    def call(self) -> None:
        """Something was stored: see whose turn it is."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if self._is_done(waiter):
                waiter.callback()
            else:
                self._waiting.append(waiter)

    def _is_done(self, waiter: _Waiter) -> bool:
        return all(self._is_stored(number, position) for number, position in waiter.positions.items())
