"""What a dashboard costs: one upstream for all who look, and short answers however long the run was."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from germline.client import Client, Experiment
from germline.dashboard.server import serving
from germline.dashboard.settings import DashboardSettings
from master.server import Master
from tests.germline.dashboard.house import fetch, hand_worker, spec_of

BROWSERS = 20


class Counting(Client):
    """A client that knows how often it was asked to watch, and for a curve."""

    watches = 0

    def watch(self, name: str, interval_s: float = 1.0, *, patience_s: float = 30.0) -> Iterator[Experiment]:
        self.watches += 1
        return super().watch(name, interval_s, patience_s=patience_s)


@asynccontextmanager
async def stream(address: str, path: str) -> AsyncIterator[asyncio.StreamReader]:
    """Server-sent events, as they come over the wire."""
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
    try:
        yield reader
    finally:
        writer.close()


async def event(reader: asyncio.StreamReader) -> bytes:
    """The data of the next event."""
    async with asyncio.timeout(20):
        while not (line := await reader.readline()).startswith(b"data: "):
            assert line
    return line.removeprefix(b"data: ").strip()


async def test_twenty_browsers_cost_the_master_one_watch(master: Master) -> None:
    source = Counting(master.address)
    await asyncio.to_thread(source.create, spec_of())
    settings = DashboardSettings(host="127.0.0.1", port=0)
    async with serving(source, settings) as dashboard, AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(stream(dashboard.address, "/api/stream?experiment=one"))
            for _ in range(BROWSERS)
        ]
        looks = [json.loads(await event(each)) for each in streams]
        assert {look["evaluations"] for look in looks} == {0}
        assert source.watches == 1
        async with hand_worker(master.address) as worker:
            await worker.play(2)
        for each in streams:
            while json.loads(told := await event(each))["evaluations"] < 2:
                pass
            assert len(told) < 1_500
        assert source.watches == 1


async def test_a_long_curve_is_a_short_answer(master: Master) -> None:
    source = Client(master.address)
    await asyncio.to_thread(source.create, spec_of())
    async with (
        serving(source, DashboardSettings(host="127.0.0.1", port=0)) as dashboard,
        hand_worker(master.address) as worker,
    ):
        await worker.play(700)
        answer = await fetch(
            dashboard.address, "/api/experiments/one/curve", headers={"accept-encoding": "gzip"}
        )
        told = json.loads(gzip.decompress(answer.body))
        places = told["columns"]["evaluations"]
        assert (len(places), places[-1]) == (350, 700)
        assert len(answer.body) < 20_000
        zoomed = (await fetch(dashboard.address, "/api/experiments/one/curve?from=100&to=120")).told
        assert zoomed["columns"]["evaluations"] == list(range(101, 121))
