"""Two master processes on one real store, a cable from each to it, and whatever else runs beside them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from germline.bench.cable import Cable
from germline.client import Client, MasterError
from germline.ports import free_port

PATIENCE_S = 120.0
_ONE_SERVES = ([True, False], [False, True])
Process = asyncio.subprocess.Process
_Answer = TypeVar("_Answer")


class Place(NamedTuple):
    """Where a process runs.

    Attributes:
        host: its address.
        gateway: an address that it reaches, on which the cables that lead away from it listen.
        within: what its command begins with.
    """

    host: str = "127.0.0.1"
    gateway: str = "127.0.0.1"
    within: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine's own network."""
        return not self.within


HERE = Place()
MakeCable = Callable[[str, int, str], Cable]


class Pair:
    """Two masters, a store, and a cable from each to it.

    Attributes:
        folder: where processes run, with a log each.
        owner: which master owned the store when that was last looked at, 0 or 1.
        addresses: of both masters, with nothing between.
        cables: from each master to the store.
        masters: their processes.
        fallen: of masters that ended by themselves and were started again, the last line of their log.
        store: the store's.
    """

    def __init__(
        self,
        folder: Path,
        ownership_s: float,
        places: Sequence[Place] = (HERE, HERE, HERE),
        make_cable: MakeCable = Cable,
        *,
        supervised: bool = False,
    ) -> None:
        """Start nothing yet.

        Args:
            folder: where processes run.
            ownership_s: of the masters.
            places: those of the store and of the masters.
            make_cable: from host, port and the address to listen on.
            supervised: whether a master that ends by itself is started again, as a service's supervisor does.
        """
        self.fallen: list[str] = []
        self._supervised = supervised
        self._down: int | None = None  # a master that is broken on purpose
        self.folder = folder
        self.owner = 0
        self._ownership_s = ownership_s
        self._store_place, *self._places = places
        self.targets = [(place.host, free_port()) for place in self._places]
        self.addresses = ",".join(f"{host}:{port}" for host, port in self.targets)
        self._store_port = free_port()
        self.cables = [
            make_cable(self._store_place.host, self._store_port, place.gateway) for place in self._places
        ]
        self.masters: list[Process] = []
        self.store: Process | None = None
        self._processes: list[Process] = []

    async def begin(self) -> None:
        """Start the store, a master that owns it, and one that waits."""
        await self.start_store()
        for cable in self.cables:  # which take ports of their own, when that of the store is taken
            await cable.lay()
        for which in (0, 1):
            self.masters.append(await self._start_master(which))
            await self.until(which, serves=which == 0)

    async def end(self) -> None:
        """End everything."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        for cable in self.cables:
            await cable.take_away()

    # The store

    async def start_store(self) -> None:
        """Start the store on what is in its folder; all that was ever written to it stays in its log."""
        from master.journal.own_store import find_server

        where = (
            () if self._store_place.is_here else ("--bind", self._store_place.host, "--protected-mode", "no")
        )
        folder = ("--dir", str(self.folder), "--save", "", "--auto-aof-rewrite-percentage", "0")
        durably = ("--appendonly", "yes", "--appendfsync", "always")
        command = (find_server(), "--port", str(self._store_port), *where, *folder, *durably)
        self.store = await self.start("store", *command, place=self._store_place)
        await self._until_it_listens()

    async def restart_store(self, how: signal.Signals) -> None:
        """End the store by a signal, and start it again."""
        if self.store is not None:
            self.store.send_signal(how)
            await self.store.wait()
        await self.start_store()

    async def _until_it_listens(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection(self._store_place.host, self._store_port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    # The masters

    async def take_over(self, fault: str, heal_after_s: float = 0.0) -> float:
        """Do this to the owner, a "kill", "stop", "cut" or "term"; seconds until the other one serves.

        Then, or after so many seconds if that is later, heal it; it is to wait from now on.
        """
        faulty, other = self.owner, 1 - self.owner
        began_s, self._down = time.monotonic(), faulty
        await self._break(faulty, fault)
        await self.until(other, serves=True)
        took_s = time.monotonic() - began_s
        self.owner = other
        await asyncio.sleep(max(0.0, heal_after_s - took_s))
        await self._heal(faulty, fault)
        self._down = None
        return took_s

    async def find_owner(self) -> None:
        """Wait until one master serves and the other one waits, whichever it is."""
        async with asyncio.timeout(PATIENCE_S):
            while (serving := [await self.serves(which) for which in (0, 1)]) not in _ONE_SERVES:
                await self._raise_fallen()
                await asyncio.sleep(0.05)
        self.owner = serving.index(True)

    async def _break(self, which: int, fault: str) -> None:
        if fault == "cut":
            self.cables[which].hold()
            return
        signals = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}
        self.masters[which].send_signal(signals[fault])

    async def _heal(self, which: int, fault: str) -> None:
        if fault == "cut":
            self.cables[which].let_go()
        elif fault == "stop":
            self.masters[which].send_signal(signal.SIGCONT)
        else:
            await self.masters[which].wait()
            self.masters[which] = await self._start_master(which)

    async def until(self, which: int, *, serves: bool) -> None:
        """Wait until a master's health says that it serves, or that it waits."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.serves(which) is not serves:
                await self._raise_fallen()
                await asyncio.sleep(0.05)

    async def serves(self, which: int) -> bool | None:
        """What a master's health says; None if it says nothing."""
        host, port = self.targets[which]
        async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
            try:
                answer = await health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=1.0
                )
            except grpc.aio.AioRpcError:
                return None
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def _raise_fallen(self) -> None:
        for which, process in enumerate(self.masters):
            if self._supervised and process.returncode is not None and which != self._down:
                lines = (self.folder / f"master-{which}.log").read_text().splitlines()
                self.fallen.append(lines[-1] if lines else "it said nothing")
                self.masters[which] = await self._start_master(which)

    async def ask(self, question: Callable[[Client], _Answer]) -> _Answer:
        """Ask whichever master serves, until one answers."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(MasterError), Client(self.addresses, deadline_s=20.0) as client:
                    return await asyncio.to_thread(question, client)
                await asyncio.sleep(0.1)

    async def _start_master(self, which: int) -> Process:
        host, port = self.targets[which]
        place, cable = self._places[which], self.cables[which]
        flags = ("--listen", f"{host}:{port}", "--metrics-port", "-1", "--heartbeat-s", "2")
        owning = ("--ownership-s", str(self._ownership_s), "--snapshot-interval-s", "5")
        openly = () if place.is_here else ("--insecure",)
        store = {"GERMLINE_STORE": f"redis://{cable.host}:{cable.port}/0"}
        command = (sys.executable, "-m", "master", *flags, *owning, *openly)
        return await self.start(f"master-{which}", *command, place=place, **store)

    # Processes

    async def start(self, name: str, *command: str, place: Place = HERE, **environment: str) -> Process:
        """Start a process at a place; what it says goes to a file of that name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *place.within, *command, cwd=self.folder, env=os.environ | environment, stdout=log, stderr=log
            )
        self._processes = [other for other in self._processes if other.returncode is None]
        self._processes.append(process)
        return process
