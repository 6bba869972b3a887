"""How tasks end: cancelled until they are done."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

_AGAIN_S = 1.0


async def cancelled(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for them; one that swallows a cancellation gets another."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
