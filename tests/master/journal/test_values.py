"""Large values are packed at leisure, and at once when somebody waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import cast

import pytest

from germline import leisure
from master.journal.fenced import FencedStore
from master.journal.values import Values

PATIENCE_S = 10.0


class Packing:
    """Work on a thread that rests for 40 s after its first moments, unless somebody hurries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leisure, "_LONGEST_S", 40.0)
        monkeypatch.setattr(leisure, "_RESTS", 1e9)
        self.began, self.ended = threading.Event(), threading.Event()

    def __call__(self) -> bytes:
        time.sleep(2 * leisure._AT_A_TIME_S)  # work
        self.began.set()
        leisure.rest()
        self.ended.set()
        return b""


async def begun(packing: Packing) -> tuple[Values, asyncio.Task[None]]:
    """What stores values, in the middle of packing one."""
    values = Values(cast(FencedStore, None), lambda: None)  # nothing comes as far as the store here

    async def publish() -> None:
        raise OSError("no store")

    values.put("key", 1, "snapshot", packing, publish, lambda: None)
    task = asyncio.create_task(values.run())
    assert await asyncio.to_thread(packing.began.wait, PATIENCE_S)
    return values, task


async def test_a_process_that_ends_does_not_wait_for_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    packing = Packing(monkeypatch)
    _, task = await begun(packing)
    assert not packing.ended.is_set()
    task.cancel()
    assert await asyncio.to_thread(packing.ended.wait, PATIENCE_S)
    with suppress(asyncio.CancelledError):
        await task


async def test_whoever_waits_for_all_values_ends_their_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    packing = Packing(monkeypatch)
    values, task = await begun(packing)
    assert not packing.ended.is_set()
    with values.hurrying():
        assert await asyncio.to_thread(packing.ended.wait, PATIENCE_S)
    task.cancel()
    with suppress(asyncio.CancelledError, AttributeError):
        await task
