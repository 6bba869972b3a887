"""Holds both clients against the same nodes: good ones, and one in trouble. Prints what each makes of it.

`python tests/peers/model_runner_trouble.py well busy slow refused hanging` takes five minutes, most of which
crunchdao's client waits.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc

from germline.ports import free_port

sys.path.insert(0, str(Path(__file__).parents[2]))

from germline.models import AsyncModels
from germline.models.announcements import Announced
from germline.models.paths import SERVICE
from germline.models.variants import encode
from germline.peers.model_runner_pb2 import CallRequest, CallResponse, SetupRequest, SetupResponse, Status
from tests.peers.model_runner import DRIVER, client_python
from worker.serving.node import Protection
from worker.serving.orchestrator import Orchestrator
from worker.serving.telling import Offer

ROUNDS = 6
GOOD = 10
SUCCESS = Status(code="SUCCESS")


class Node:
    """A node that is well, busy two times of three, slow, or hangs when it is set up."""

    def __init__(self, kind: str) -> None:
        self.kind, self.calls = kind, 0

    async def setup(self, request: SetupRequest, context: Any) -> SetupResponse:
        if self.kind == "hanging":
            await asyncio.sleep(3_600)
        return SetupResponse(status=SUCCESS)

    async def call(self, request: CallRequest, context: Any) -> CallResponse:
        self.calls += 1
        if self.kind == "busy" and self.calls % 3:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server busy")
        if self.kind == "slow":
            await asyncio.sleep(3)
        return CallResponse(status=SUCCESS, method_response=encode(1))


async def serve(kind: str, stack: AsyncExitStack) -> int:
    """A node's port; nobody listens on that of one that is to refuse connections."""
    if kind == "refused":
        return free_port()
    node, server = Node(kind), grpc.aio.server()
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Setup": grpc.unary_unary_rpc_method_handler(
            node.setup, SetupRequest.FromString, SetupResponse.SerializeToString
        ),
        "Call": grpc.unary_unary_rpc_method_handler(
            node.call, CallRequest.FromString, CallResponse.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, None)
    return port


@asynccontextmanager
async def announced(kind: str) -> AsyncIterator[int]:
    """The port of a WebSocket that announces good nodes and one of a kind."""
    async with AsyncExitStack() as stack:
        names = [*(f"good-{number}" for number in range(GOOD)), kind]
        ports = [await serve(name.partition("-")[0], stack) for name in names]
        orchestrator = Orchestrator(Protection(), lambda report: None)
        orchestrator.offers = {
            name: Offer(Announced(name, f"{name}_1", name, "127.0.0.1", port), name)
            for name, port in zip(names, ports, strict=True)
        }
        await orchestrator.open("127.0.0.1", 0, stack)
        yield orchestrator.port


async def ours(port: int, kind: str) -> dict[str, Any]:
    """What our client makes of it."""
    begun_s = time.monotonic()
    async with AsyncModels(f"127.0.0.1:{port}") as models:
        start_s, heard, latencies = time.monotonic() - begun_s, [], []
        for _ in range(ROUNDS):
            answers = await models.call("x", deadline_s=1.0)
            heard.append(str(answers[kind].status) if kind in answers else "not there")
            latencies += [each.latency_s for name, each in answers.items() if name != kind]
    return shown(start_s, heard, latencies)


async def theirs(port: int, kind: str) -> dict[str, Any]:
    """What crunchdao's makes of it."""
    process = await asyncio.create_subprocess_exec(
        client_python(), str(DRIVER), "127.0.0.1", str(port), "all", "1", "report",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None

    async def say(do: str, **order: object) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write((json.dumps({"do": do, **order}) + "\n").encode())
        return json.loads(await process.stdout.readline())

    await say("models")  # it has been imported
    begun_s = time.monotonic()
    await say("init")
    start_s, heard, latencies = time.monotonic() - begun_s, [], []
    for _ in range(ROUNDS):
        answers = await say("call", method="x")
        heard.append(answers[kind][0] if kind in answers else "not there")
        latencies += [each[3] / 1e6 for name, each in answers.items() if name != kind]
    process.kill()
    await process.wait()
    return shown(start_s, heard, latencies)


def shown(start_s: float, heard: list[str], latencies: list[float]) -> dict[str, Any]:
    """What came of a client, to be printed."""
    good_ms = round(1_000 * statistics.median(latencies), 2) if latencies else None
    return {"start_s": round(start_s, 2), "in_trouble": heard, "good_ms": good_ms}


async def main(kinds: list[str]) -> None:
    """Hold both clients against each kind of trouble."""
    for kind in kinds:
        async with announced(kind) as port:
            for name, client in (("ours", ours), ("theirs", theirs)):
                sys.stdout.write(
                    json.dumps({"node": kind, "client": name, **await client(port, kind)}) + "\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
