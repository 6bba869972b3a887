"""What Python's gRPC streams carry at all: a server that sends back what it gets, and nothing else.

Run ``python -m germline.bench.echo serve`` (prints its port) and ``python -m germline.bench.echo load
PORT``, which prints how many messages a second came back on all streams together, and the processor time of
one of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator

import grpc
import grpc.aio

from germline.connection import options_for

_METHOD = "/germline.bench.Echo/Talk"
_BODY = bytes(200)


async def serve() -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(_talk)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("germline.bench.Echo", {"Talk": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)  # noqa: T201 - for whoever started this
    await server.wait_for_termination()


async def _talk(_requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
    while isinstance(message := await context.read(), bytes):
        await context.write(message)


async def load(port: int, streams: int, seconds: float) -> float:
    """Messages a second that came back."""
    address = f"127.0.0.1:{port}"
    async with grpc.aio.insecure_channel(address, options=options_for(address)) as channel:
        talk: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(_METHOD)
        start = time.monotonic()
        counts = await asyncio.gather(*(_stream(talk, start + seconds) for _ in range(streams)))
        return sum(counts) / (time.monotonic() - start)


async def _stream(talk: grpc.aio.StreamStreamMultiCallable[bytes, bytes], end: float) -> int:
    call = talk()
    count = 0
    while time.monotonic() < end:
        await call.write(_BODY)
        await call.read()
        count += 1
    await call.done_writing()
    return count


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("serve", "load"))
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    if given.role == "serve":
        asyncio.run(serve())
    else:
        rate = asyncio.run(load(given.port, given.streams, given.seconds))
        print(json.dumps(rate))  # noqa: T201 - the figure


if __name__ == "__main__":
    main()
