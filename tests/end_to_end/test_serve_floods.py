"""Floods of a real `germline serve`: its memory stays bounded, and who is honest is served meanwhile."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from germline.models import AsyncModels
from tests.peers.model_runner import card
from worker.serving.orchestrator import MAX_CLIENTS, MAX_FRAME_BYTES

GERMLINE = "from germline.cli import main; main()"
UPRIGHT = [0.0, 0.1, 0.02, -0.1]
PATIENCE_S = 60.0
MOST_MIB = 50.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Served:
    """A process that serves one model."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.port = port
        self._process = process

    @property
    def memory_mib(self) -> float:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    words = (
        "serve",
        card(tmp_path / "cart.toml", "cart"),
        "--listen",
        "127.0.0.1:0",
        "--device",
        "cpu",
        "--json",
    )
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", GERMLINE, *words],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=tmp_path,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    yield Served(process, int(json.loads(line)["listen"].rpartition(":")[2]))
    process.kill()
    process.communicate()


async def play(served: Served) -> None:
    """An honest client comes, finds the model, calls it, and leaves."""
    async with asyncio.timeout(PATIENCE_S), AsyncModels(f"127.0.0.1:{served.port}", "cart") as models:
        await models.until(1)
        (answer,) = (await models.call("predict", UPRIGHT)).values()
        assert answer.status.name == "OK"


@contextlib.asynccontextmanager
async def crowd(served: Served, count: int) -> AsyncIterator[list[ClientConnection]]:
    """So many clients that come and read nothing but what they have to; those who were let in."""
    async with contextlib.AsyncExitStack() as stack:
        inside = []
        for _ in range(count):
            with contextlib.suppress(InvalidStatus):
                coming = connect(f"ws://127.0.0.1:{served.port}/all", max_queue=1)
                inside.append(await stack.enter_async_context(coming))
        yield inside


async def pour(client: ClientConnection, frame: str, times: int) -> None:
    with contextlib.suppress(ConnectionClosed):
        for _ in range(times):
            await client.send(frame)


async def test_a_crowd_that_pours_frames_and_reads_nothing_costs_little_and_keeps_nobody_out(
    served: Served,
) -> None:
    await play(served)
    before = served.memory_mib
    report = json.dumps({"event": "report_failure", "data": [{"model_id": "nobody", "failure_code": "X"}]})
    large = "x" * (MAX_FRAME_BYTES - 1)
    async with crowd(served, 200) as clients:
        assert len(clients) == 200
        frames = (report, large, "{", "[" * 10_000)
        pouring = [
            asyncio.create_task(pour(client, frames[number % len(frames)], 200))
            for number, client in enumerate(clients)
        ]  # half a gigabyte
        for _ in range(3):
            await play(served)
        await asyncio.gather(*pouring)
        assert served.memory_mib - before < MOST_MIB
    await play(served)


async def test_there_is_room_for_so_many_and_again_when_they_have_left(served: Served) -> None:
    await play(served)
    before = served.memory_mib
    async with crowd(served, MAX_CLIENTS + 20) as clients:
        assert len(clients) == MAX_CLIENTS
    await play(served)
    assert served.memory_mib - before < MOST_MIB


async def test_connections_that_say_nothing_or_no_sense_keep_nobody_out(served: Served) -> None:
    await play(served)
    before = served.memory_mib
    silent = []
    for number in range(500):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        if number % 2:
            writer.write(b"GET /all HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 4_000)  # and no end
        silent.append(writer)
    for _ in range(3):
        await play(served)
    assert served.memory_mib - before < MOST_MIB
    for writer in silent:
        writer.close()
