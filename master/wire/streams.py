"""What the streams of workers have in common: how they begin, how they are written, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeAlias

import grpc.aio

from germline.limits import HELLO_S
from master.errors import SilentStreamError

Stream: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_LAST_WRITE_S = 2.0


async def write(context: Stream, message: object) -> None:
    """Write a message to its end, even if the stream ends meanwhile: during a write there can be no status.

    A worker that does not read at all is waited for no longer than a moment.
    """
    writing = asyncio.ensure_future(context.write(message))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing], timeout=_LAST_WRITE_S)
        writing.cancel()
        raise


async def first_message(context: Stream) -> object:
    """Wait for the worker to say who it is, and not for ever. Raises SilentStreamError."""
    try:
        async with asyncio.timeout(HELLO_S):
            return await context.read()
    except TimeoutError:
        raise SilentStreamError(f"the stream had no first message, hello, within {HELLO_S:g} s") from None


async def first_done(*sides: Coroutine[None, None, None]) -> None:
    """Run both sides of a stream until one is done, then cancel the other; raise what went wrong."""
    tasks = [asyncio.ensure_future(side) for side in sides]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()
