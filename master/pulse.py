"""How late the master's loop is: while one turn takes long, every worker and every client waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

_BEAT_S = 0.02


async def beat(observe: Callable[[float], None]) -> None:
    """Tell for ever by how many seconds each of fifty beats a second was late."""
    while True:
        due = monotonic() + _BEAT_S
        await asyncio.sleep(_BEAT_S)
        observe(max(monotonic() - due, 0.0))
