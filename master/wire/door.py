"""A door that is open while this master owns its store; whoever calls meanwhile is sent on, and not kept."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio

from master.errors import NotOwnerError
from master.wire.interceptors import OPEN_TO_ALL, Continuation, Handler, replaced


class Door(grpc.aio.ServerInterceptor):
    """Refuses calls while this master does not own its store, and ends those that run when that begins.

    What is answered was true while this master owned the store: that is looked at once more when an answer is
    made, so a process that stood still for too long tells nobody what was true before.
    """

    def __init__(self, why_shut: Callable[[], str]) -> None:
        """Let calls in while `why_shut` says nothing."""
        self._why_shut = why_shut
        self._inside: set[asyncio.Task[Any]] = set()
        self._shown_out: set[asyncio.Task[Any]] = set()

    def shut(self) -> None:
        """End the calls that run."""
        for task in self._inside - self._shown_out:
            self._shown_out.add(task)
            task.cancel()

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler:
        """Put the door before a call; of its health, a master that waits tells everybody."""
        handler = await continuation(details)
        if handler is None or details.method.startswith(OPEN_TO_ALL):
            return handler  # type: ignore[return-value]  # None is grpc's own: no such method
        return replaced(handler, self._guard)

    def _guard(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def one(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            with self._visit():
                made = await inner(request, context)
                self._check()
                return made

        async def each(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            with self._visit():
                async for made in inner(request, context):
                    self._check()
                    yield made

        return each if inspect.isasyncgenfunction(inner) else one

    @contextmanager
    def _visit(self) -> Iterator[None]:
        """One call's time behind the door."""
        self._check()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a call runs in a task
        self._inside.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._shown_out:
                raise
            task.uncancel()
            raise NotOwnerError(self._why_shut() or "this master did not own its store for a while") from None
        finally:
            self._inside.discard(task)
            self._shown_out.discard(task)

    def _check(self) -> None:
        why = self._why_shut()
        if why:
            raise NotOwnerError(why)
