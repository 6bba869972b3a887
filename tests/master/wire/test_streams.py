"""What is written on a stream while it ends, and to callers that do not read, over real connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest
from grpc import aio

from master.errors import FullError
from master.wire import streams
from master.wire.interceptors import Context, ErrorInterceptor

FULL = grpc.StatusCode.RESOURCE_EXHAUSTED
PATIENCE_S = 30.0
Call = aio.StreamStreamCall[bytes, bytes]


Handler = Callable[[object, Context], Awaitable[None]]


@contextlib.asynccontextmanager
async def talking(handler: Handler) -> AsyncIterator[Callable[[], Call]]:
    """A server that talks as the handler does; what opens another stream to it."""
    server = aio.server(interceptors=[ErrorInterceptor()])
    talk: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(handler)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Talker", {"Talk": talk}),))
    port = server.add_insecure_port("localhost:0")
    await server.start()
    try:
        async with aio.insecure_channel(f"localhost:{port}") as channel, asyncio.timeout(PATIENCE_S):
            yield channel.stream_stream("/Talker/Talk")
    finally:
        await server.stop(0)


async def write_all(context: Context, message: bytes) -> None:
    while True:
        await streams.write(context, message)


async def heard(call: Call) -> tuple[list[bytes], grpc.StatusCode, str]:
    """Everything that is to be read, and how it ends."""
    messages = []
    with contextlib.suppress(aio.AioRpcError):
        while isinstance(message := await call.read(), bytes):
            messages.append(message)
    return messages, await call.code(), str(await call.details())


async def test_whenever_a_stream_is_ended_its_reason_follows_the_last_whole_message() -> None:
    steps = iter(range(40))

    async def talk(messages: object, context: Context) -> None:
        async def end() -> None:
            for _ in range(next(steps)):  # somewhere before, in the middle of, or behind a write
                await asyncio.sleep(0)
            raise FullError("that is enough")

        await streams.first_done(write_all(context, b"ten bytes."), end())

    async with talking(talk) as call:
        for _ in range(40):
            messages, code, sentence = await heard(call())
            assert set(messages) <= {b"ten bytes."}
            assert (code, sentence) == (FULL, "that is enough")


async def test_who_reads_nothing_for_too_long_finds_the_reason_behind_what_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "UNREAD_S", 0.1)
    given_up = asyncio.Event()

    async def talk(messages: object, context: Context) -> None:
        try:
            await write_all(context, b"x" * 400_000)  # some of them fill whatever lies between two who talk
        finally:
            given_up.set()

    async with talking(talk) as call:
        silent = call()
        await given_up.wait()
        messages, code, sentence = await heard(silent)
    assert messages
    assert (code, sentence) == (FULL, "the caller does not read: it has read nothing for 0.1 s")
