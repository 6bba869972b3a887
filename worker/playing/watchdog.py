"""Sees that the playing thread hangs: native code cannot be interrupted, only left behind."""

from __future__ import annotations

import asyncio
import faulthandler
import math
import time
from collections.abc import Callable

from worker.playing.lease_work import Hang
from worker.playing.playing_thread import PlayingThread

LOOK_S = 1.0
_STARVED_S = 60.0  # beyond the longest step: so long the event loop may be kept from looking


class Watchdog:
    """Watches from the event loop how long each step of play takes."""

    def __init__(self, playing: PlayingThread, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to watch; see :meth:`look`."""
        self._playing = playing
        self._clock = clock
        self._looked_s = clock()
        self._since_s = math.nan  # when the step began that is watched,
        self._watched_s = 0.0  # and how long it was seen to go on

    def look(self) -> Hang | None:
        """Look, about once a second; what hangs, if something does.

        Time in which nobody looked does not count: the whole process may have stood still.
        """
        now_s, step = self._clock(), self._playing.step
        passed_s, self._looked_s = min(now_s - self._looked_s, 2 * LOOK_S), now_s
        if self._playing.broke:
            return Hang([], f"the playing thread has ended: {self._playing.broke}")
        if step is None or step.since_s != self._since_s:
            self._since_s, self._watched_s = (math.nan if step is None else step.since_s), 0.0
            return None
        self._watched_s += passed_s
        if self._watched_s <= step.most_s:
            return None
        return Hang(step.playing, f"a step of play has not come back for {step.most_s:g} s")

    async def wait(self) -> Hang:
        """Look until something hangs.

        Native code that keeps the interpreter's lock keeps this from looking, too: the process ends then,
        with a traceback on its standard error.
        """
        try:
            while (hang := self.look()) is None:
                if math.isfinite(longest_s := self._playing.longest_s):
                    faulthandler.dump_traceback_later(longest_s + _STARVED_S, exit=True)
                await asyncio.sleep(LOOK_S)
        finally:
            faulthandler.cancel_dump_traceback_later()
        return hang
