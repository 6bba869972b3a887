"""Who may call a node: decided before a message is read, since strangers may have large ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import grpc
import grpc.aio

_HEALTH = "/grpc.health.v1.Health/"
_CHECK = f"{_HEALTH}Check"

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Door(grpc.aio.ServerInterceptor):
    """Lets calls in; the question whether a node is well is for everybody.

    A node has room for so many calls at a time, so nobody may wait here for news of its health, for ever.
    """

    def __init__(self, why_not: Callable[[Mapping[str, str | bytes]], str]) -> None:
        """`why_not` says of a call's metadata why it is refused, in words; empty if it is not."""
        self._why_not = why_not

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Let the call in, or refuse it."""
        if details.method.startswith(_HEALTH) and details.method != _CHECK:
            return _refusing(grpc.StatusCode.UNIMPLEMENTED, "a node's health is to be had by Check alone")
        refused = details.method != _CHECK and self._why_not(dict(details.invocation_metadata or ()))
        if refused:
            return _refusing(grpc.StatusCode.UNAUTHENTICATED, refused)
        return await continuation(details)  # type: ignore[return-value]  # None: no such method


def _refusing(code: grpc.StatusCode, sentence: str) -> Handler:
    async def refuse(messages: object, context: Context) -> None:
        await context.abort(code, sentence)

    return grpc.stream_stream_rpc_method_handler(refuse)
