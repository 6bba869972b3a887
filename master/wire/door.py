"""A door that is open while this master owns its store; whoever calls meanwhile is sent on, and not kept."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import grpc
import grpc.aio

from master.errors import NotOwnerError
from master.wire.interceptors import OPEN_TO_ALL, Context, Continuation, Handler, replaced
from master.wire.open_calls import Task, end_call
from master.wire.streams import write


class Door(grpc.aio.ServerInterceptor):
    """Refuses calls while this master does not own its store, and ends those that run when that begins.

    What is answered was true while this master owned the store: that is looked at once more when an answer is
    made, so a process that stood still for too long tells nobody what was true before.
    """

    def __init__(self, why_shut: Callable[[], str]) -> None:
        """Let calls in while `why_shut` says nothing."""
        self._why_shut = why_shut
        self._inside: set[Task] = set()

    def shut(self) -> None:
        """End the calls that run."""
        reason = self._why_shut() or "this master did not own its store for a while"
        for task in self._inside:
            end_call(task, NotOwnerError(reason))

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler:
        """Put the door before a call; of its health, a master that waits tells everybody."""
        handler = await continuation(details)
        if handler is None or details.method.startswith(OPEN_TO_ALL):
            return handler  # type: ignore[return-value]  # None is grpc's own: no such method
        return replaced(handler, self._guard)

    def _guard(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def call(request: object, context: Context) -> Any:
            with self._visit():
                made = inner(request, context)
                if isinstance(made, AsyncGenerator):
                    return await self._write_all(made, context)
                answer = await made
                self._check()
                return answer

        return call

    async def _write_all(self, parts: AsyncGenerator[object, None], context: Context) -> None:
        async with contextlib.aclosing(parts):
            async for part in parts:
                self._check()
                await write(context, part)

    @contextlib.contextmanager
    def _visit(self) -> Iterator[None]:
        """One call's time behind the door."""
        self._check()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a call runs in a task
        self._inside.add(task)
        try:
            yield
        finally:
            self._inside.discard(task)

    def _check(self) -> None:
        why = self._why_shut()
        if why:
            raise NotOwnerError(why)
