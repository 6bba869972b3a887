"""Carries what was played from the thread that plays to the event loop, many scores at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from worker.playing.lease_work import Failure, Notice, Score

ENOUGH = (
    256  # scores that are worth a message; with 16, a worker of tiny tasks spent a third of its time talking
)
PATIENCE_S = 0.05  # longest wait of a score for company


class Outbox:
    """Filled by the playing thread, emptied by the event loop.

    The loop is woken at most twice for each time it empties the outbox, however many scores lie in it: when
    the first arrives (which starts its patience) and when there are enough.
    """

    def __init__(self, ready: Callable[[], None], patience_s: float = PATIENCE_S) -> None:
        """Belong to the running event loop, on which `ready` is called when it is time to empty it."""
        self._loop = asyncio.get_running_loop()
        self._ready = ready
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._scores: list[Score] = []
        self._failures: list[Failure] = []
        self._notices: list[Notice] = []
        self._called = False
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many scores lie in it."""
        return len(self._scores)

    def put(self, scores: list[Score], *, urgent: bool = False) -> None:
        """From the playing thread: hand over scores; `urgent` if no more are coming soon."""
        with self._lock:
            first = not self._scores
            self._scores.extend(scores)
            now = (urgent or len(self._scores) >= ENOUGH) and not self._called
            self._called |= now
        if now:
            self._call(self._ring)
        elif first and scores:
            self._call(self._wait)

    def nudge(self) -> None:
        """From the playing thread: something else has changed that the loop should look at."""
        self._call(self._ring)

    def fail(self, failure: Failure) -> None:
        """From the playing thread: say that an experiment cannot be played here."""
        with self._lock:
            self._failures.append(failure)
        self._call(self._ring)

    def notify(self, notice: Notice) -> None:
        """From the playing thread: something to tell the master about an evolution strategy's centre."""
        with self._lock:
            self._notices.append(notice)
        self._call(self._ring)

    def take_notices(self) -> list[Notice]:
        """On the event loop: empty the outbox of notices."""
        with self._lock:
            taken, self._notices = self._notices, []
        return taken

    def take(self) -> tuple[list[Score], list[Failure]]:
        """On the event loop: empty the outbox."""
        with self._lock:
            taken = self._scores, self._failures
            self._scores, self._failures, self._called = [], [], False
        return taken

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop has closed: the worker is leaving and nobody reads the outbox
            return

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience_s, self._ring)

    def _ring(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ready()
