"""What holds for every call: the token, and one table from errors to statuses."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio

from master.errors import STATUS_CODES, MasterError, NotAllowedError

logger = logging.getLogger(__name__)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

_OPEN_TO_ALL = "/grpc.health.v1.Health/"  # probes cannot send a token


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls without the master's token, `authorization: Bearer TOKEN`, except for its health."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler:
        """Let a call through, or put a refusal in its place."""
        handler = await continuation(details)
        given = dict(details.invocation_metadata or ()).get("authorization", "")
        allowed = hmac.compare_digest(str(given).encode(), self._expected)
        if allowed or details.method.startswith(_OPEN_TO_ALL) or handler is None:
            return handler  # type: ignore[return-value]  # None is grpc's own: no such method
        sentence = "another token than the master's" if given else "no metadata 'authorization: Bearer TOKEN'"
        return _replaced(handler, lambda _: _refusing(f"the call has {sentence}"))


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns errors into statuses, on unary calls and streams alike.

    The master's own errors carry their sentence to the caller. Anything else is a mistake of ours: the
    caller gets INTERNAL and a number under which the log has the traceback.
    """

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler:
        """Wrap the call."""
        handler = await continuation(details)
        if handler is None:  # no such method; grpc says so
            return None  # type: ignore[return-value]
        return _replaced(handler, lambda inner: _mapping(inner, details.method))


def _replaced(handler: Handler, wrap: Callable[[Any], Any]) -> Handler:
    """The same kind of handler around another behaviour, which is a coroutine or yields answers."""
    inner: Any
    make: Any
    if handler.unary_unary is not None:
        inner, make = handler.unary_unary, grpc.unary_unary_rpc_method_handler
    elif handler.unary_stream is not None:
        inner, make = handler.unary_stream, grpc.unary_stream_rpc_method_handler
    elif handler.stream_unary is not None:
        inner, make = handler.stream_unary, grpc.stream_unary_rpc_method_handler
    else:
        inner, make = handler.stream_stream, grpc.stream_stream_rpc_method_handler
    replaced: Handler = make(
        wrap(inner),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return replaced


def _refusing(sentence: str) -> Callable[..., Awaitable[None]]:
    async def refuse(_request: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await _abort(context, NotAllowedError(sentence), "")

    return refuse


def _mapping(inner: Callable[..., Any], method: str) -> Callable[..., Any]:
    async def call(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            answer = inner(request, context)
            if not isinstance(answer, AsyncIterator):
                return await answer
            async for part in answer:
                await context.write(part)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as error:
            await _abort(context, error, method)

    return call


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception, method: str) -> NoReturn:
    if isinstance(error, MasterError):
        await context.abort(STATUS_CODES[type(error)], str(error))
    number = secrets.token_hex(4)
    logger.error("%s failed, number %s", method, number, exc_info=error)
    await context.abort(
        grpc.StatusCode.INTERNAL, f"the master made a mistake; its log has it as number {number}"
    )
