"""What holds for every call: who may make it, and one table from errors to statuses."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from master.access import Access, Role, role_of_certificate
from master.errors import STATUS_CODES, ForbiddenError, InvalidFieldError, MasterError, NotAllowedError
from master.wire.open_calls import OpenStreams, why_ended

logger = logging.getLogger(__name__)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
RoleOf: TypeAlias = Callable[[str], Role | None]

OPEN_TO_ALL = "/grpc.health.v1.Health/"  # probes cannot send a token
_FOR_WORKERS = ("/germline.v1.WorkerService/", "/germline.v1.OwnService/", "/grpc.reflection.")


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls of those who may not make them; the master's health is for everybody.

    Streams that it lets in are looked at again when tokens are exchanged.
    """

    def __init__(
        self, access: Access, streams: OpenStreams, role_for: Callable[[str], Role | None] | None = None
    ) -> None:
        """Ask `role_for` who may make a call, None for everybody; the master's own rule by default."""
        self._access = access
        self._streams = streams
        self._role_for = role_for or role_of_method

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler:
        """Have the call looked at before it does anything; a stranger's message is not even read."""
        handler = await continuation(details)
        needed = self._role_for(details.method)
        if handler is None or needed is None:
            return handler  # type: ignore[return-value]  # None is grpc's own: no such method
        if self._access.tokens is not None:
            try:
                _role_of_token(self._access.tokens.role_of, details)
            except NotAllowedError as error:
                return refusing(error)
        is_stream = handler.request_streaming or handler.response_streaming
        return replaced(handler, lambda inner: self._guarded(inner, details, needed, is_stream))

    def _guarded(
        self, inner: Callable[..., Any], details: grpc.HandlerCallDetails, needed: Role, is_stream: bool
    ) -> Callable[..., Any]:
        def check(context: Context, role_of: RoleOf | None) -> None:
            role = self._role(details, context, role_of)
            if role < needed:
                raise ForbiddenError(
                    f"{details.method} is for the role {needed.name.lower()}; the caller showed the role "
                    f"{role.name.lower()}"
                )

        def call(request: object, context: Context) -> Any:
            tokens = self._access.tokens
            check(context, tokens.role_of if tokens else None)
            if is_stream and tokens is not None:
                self._streams.enter(lambda: check(context, tokens.role_still))
            return inner(request, context)

        return call

    def _role(self, details: grpc.HandlerCallDetails, context: Context, role_of: RoleOf | None) -> Role:
        """The caller's role: the lower one where token and certificate name two."""
        shown = []
        if role_of is not None:
            shown.append(_role_of_token(role_of, details))
        if self._access.certificates:
            names = context.auth_context().get("x509_subject_alternative_name", ())
            role = role_of_certificate(names)
            if role is None and not shown:
                raise ForbiddenError(
                    "the client's certificate names no role; allowed: the URI germline:worker or "
                    "germline:operator among its subject alternative names"
                )
            shown += [] if role is None else [role]
        return min(shown, default=Role.OPERATOR)


class CallerInterceptor(grpc.aio.ServerInterceptor):
    """Has `check` look at who calls, which raises MasterError, before the message is read."""

    def __init__(self, check: Callable[[grpc.HandlerCallDetails], None]) -> None:
        self._check = check

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler:
        """Let the call in, or refuse it."""
        try:
            self._check(details)
        except MasterError as error:
            return refusing(error)
        return await continuation(details)  # type: ignore[return-value]  # None: no such method


class MessageInterceptor(grpc.aio.ServerInterceptor):
    """Refuses single messages that are larger than their method needs, or none at all, with a sentence."""

    def __init__(self, most_bytes: Callable[[str], int]) -> None:
        """`most_bytes` says how large a method's message may be."""
        self._most_bytes = most_bytes

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler:
        """Have the message looked at before it is decoded; bytes become objects many times as large."""
        handler: Any = await continuation(details)
        if handler is None or handler.request_streaming:
            return handler  # type: ignore[no-any-return]
        most, decode = self._most_bytes(details.method), handler.request_deserializer

        def checked(inner: Callable[..., Any]) -> Callable[..., Any]:
            return lambda data, context: inner(_decoded(data, decode, most), context)

        return replaced(handler._replace(request_deserializer=None), checked)


def _decoded(data: bytes, decode: Callable[[bytes], object], most: int) -> object:
    if len(data) > most:
        raise InvalidFieldError(f"the message has {len(data):,} bytes; allowed here: up to {most:,}")
    try:
        return decode(data)
    except DecodeError as error:
        raise InvalidFieldError(f"the message cannot be read: {error}") from None


def refusing(error: MasterError) -> Handler:
    """A handler that raises an error without waiting for a message, of which there may be very much."""

    async def refuse(messages: object, context: Context) -> None:
        raise error

    return grpc.stream_stream_rpc_method_handler(refuse)


def role_of_method(method: str) -> Role | None:
    """Who may make a call: what is not known to be for everybody, or for workers, is for operators."""
    if method.startswith(OPEN_TO_ALL):
        return None
    return Role.WORKER if method.startswith(_FOR_WORKERS) else Role.OPERATOR


def _role_of_token(role_of: RoleOf, details: grpc.HandlerCallDetails) -> Role:
    given = str(dict(details.invocation_metadata or ()).get("authorization", ""))
    scheme, _, token = given.partition(" ")
    role = role_of(token if scheme == "Bearer" else "")
    if role is None:
        sentence = "another token than the master's" if given else "no metadata 'authorization: Bearer TOKEN'"
        raise NotAllowedError(f"the call has {sentence}")
    return role


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
        return replaced(handler, lambda inner: _mapping(inner, details.method))


def replaced(handler: Handler, wrap: Callable[[Any], Any]) -> Handler:
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


def _mapping(inner: Callable[..., Any], method: str) -> Callable[..., Any]:
    async def call(request: object, context: Context) -> Any:
        try:
            return await inner(request, context)
        except asyncio.CancelledError:
            reason, task = why_ended(), asyncio.current_task()
            if reason is None or task is None:
                raise
            task.uncancel()
            await _abort(context, reason, method)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _abort(context, error, method)

    return call


async def _abort(context: Context, error: Exception, method: str) -> NoReturn:
    if isinstance(error, MasterError):
        await context.abort(STATUS_CODES[type(error)], str(error))
    number = secrets.token_hex(4)
    logger.error("%s failed, number %s", method, number, exc_info=error)
    await context.abort(
        grpc.StatusCode.INTERNAL, f"the master made a mistake; its log has it as number {number}"
    )
