"""Tasks end, also those that swallow a cancellation."""

from __future__ import annotations

import asyncio

from master.endings import cancelled


async def test_a_task_that_swallows_a_cancellation_gets_another() -> None:
    swallowed: list[bool] = []

    async def stubborn() -> None:
        while len(swallowed) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(True)
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.wait([task], timeout=0.01)
    await cancelled([task])
    assert task.cancelled()
    assert len(swallowed) == 2
