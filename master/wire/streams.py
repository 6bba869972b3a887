"""What the streams of workers have in common: how they begin, how they are written, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeAlias

import grpc.aio

from germline.limits import HELLO_S
from master.errors import FullError, SilentStreamError

Stream: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

UNREAD_S = 30.0
"""How long a caller may read nothing while something is written to it."""
_LAST_WRITE_S = 2.0


async def write(context: Stream, message: object) -> None:
    """Write a message to its end, even if the stream ends meanwhile: no message is cut in two by a status.

    A caller that does not read is waited for no longer than a moment then; its status lies behind what it has
    not read.

    Raises:
        FullError: it has read nothing for half a minute.
    """
    writing = asyncio.ensure_future(context.write(message))
    try:
        done, _ = await asyncio.wait([writing], timeout=UNREAD_S)
    except asyncio.CancelledError:
        await asyncio.wait([writing], timeout=_LAST_WRITE_S)
        raise
    finally:
        writing.cancel()
    if not done:
        raise FullError(f"the caller does not read: it has read nothing for {UNREAD_S:g} s")
    writing.result()


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
