"""When a worker leaves by itself: after a while without work, or after its time is up.

For jobs that end when there is nothing left to do (array jobs of a batch system, spot requests), and for
queues that give a job only so long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0


class Leases(Protocol):
    """The work of a worker's life."""

    came: int
    """Leases that ever came."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to play and no score to tell."""
        ...


async def watch_time(seconds: float, stop: asyncio.Event) -> None:
    """Set `stop` after so many seconds; 0 is never."""
    if seconds:
        await asyncio.sleep(seconds)
        logger.info("%g s are over (for): handing the leases back", seconds)
        stop.set()


async def watch_idleness(
    seconds: float, leases: Leases, stop: asyncio.Event, clock: Callable[[], float] = time.monotonic
) -> None:
    """Set `stop` once there was no work for so many seconds, with or without a master; 0 is never."""
    since_s, came = clock(), leases.came
    while seconds and not stop.is_set():
        await asyncio.sleep(min(_LOOK_EVERY_S, seconds / 4))
        if not leases.is_empty or leases.came != came:  # work may come and be over between two looks
            since_s, came = clock(), leases.came
        elif clock() - since_s >= seconds:
            logger.info("no work for %g s (exit_when_idle): leaving", seconds)
            stop.set()
