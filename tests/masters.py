"""Two masters on one store, as processes of their own, each with a cable to it that can be held."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.exceptions import RedisError

from germline.bench.cable import Cable
from germline.client import Client
from germline.ports import free_port
from master.journal.connection import connect
from master.journal.own_store import find_server

PATIENCE_S = 60.0
OWNERSHIP_S = 2.0
Process = asyncio.subprocess.Process
T = TypeVar("T")


class Pair:
    """A store, a cable to it for each of two masters, and the masters.

    Attributes:
        environment: of masters that are started from now on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = free_port()
        self.ports = [free_port(), free_port()]
        self.metrics = [free_port(), free_port()]
        self.cables = [Cable("127.0.0.1", self.store), Cable("127.0.0.1", self.store)]
        self.processes: list[Process] = []
        self.environment: dict[str, str] = {}

    @property
    def both(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    async def begin(self) -> None:
        flags = ("--port", str(self.store), "--appendonly", "yes", "--save", "", "--dir", str(self.folder))
        nowhere = asyncio.subprocess.DEVNULL
        server = await asyncio.create_subprocess_exec(find_server(), *flags, stdout=nowhere)
        self.processes.append(server)
        await self._until_it_answers()
        for cable in self.cables:  # which take ports of their own, when that of the store is taken
            await cable.lay()

    async def _until_it_answers(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                client = connect(f"redis://127.0.0.1:{self.store}")
                try:
                    await client.ping()
                except (RedisError, OSError):
                    await asyncio.sleep(0.02)
                else:
                    return
                finally:
                    await client.aclose()

    async def master(self, which: int, *flags: str, ownership_s: float = OWNERSHIP_S) -> Process:
        with (self.folder / f"master-{which}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "master", "--listen", f"127.0.0.1:{self.ports[which]}",
                "--metrics-port", str(self.metrics[which]), "--ownership-s", str(ownership_s), *flags,
                env=self.environment | {"GERMLINE_STORE": f"redis://127.0.0.1:{self.cables[which].port}/0"},
                stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        return process

    async def end(self) -> None:
        for process in reversed(self.processes):
            if process.returncode is None:
                process.kill()
            await process.wait()
        for cable in self.cables:
            await cable.take_away()

    async def state(self, which: int) -> str:
        """What a master's health says: "serving", "waiting", or "away"."""
        return await asyncio.to_thread(self._state, which)

    def _state(self, which: int) -> str:
        with grpc.insecure_channel(f"127.0.0.1:{self.ports[which]}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
            except grpc.RpcError:
                return "away"
        return "serving" if answer.status == health_pb2.HealthCheckResponse.SERVING else "waiting"

    async def until(self, which: int, state: str) -> float:
        """Wait for that; how long it took."""
        began_s = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            while await self.state(which) != state:
                await asyncio.sleep(0.05)
        return time.monotonic() - began_s

    async def ask(self, question: Callable[[Client], T], addresses: str = "") -> T:
        with Client(addresses or self.both, deadline_s=20.0) as client:
            return await asyncio.to_thread(question, client)
