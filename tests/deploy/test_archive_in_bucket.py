"""Two masters share an archive in a bucket: whoever is killed or cut off, each record is there once."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from germline import destinations
from germline.archive.files import ArchiveFiles
from germline.archive.view import ColumnCache, View
from germline.bench.cable import Cable
from germline.client import Client
from germline.spec import loads
from tests.buckets import Bucket, served
from tests.masters import PATIENCE_S, Pair, Process

PLACE = "s3://records/fleet"
FLAGS = ("--archive", PLACE, "--snapshot-interval-s", "0.3")
SPEC = loads("""
name = "archived"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 200
parents = 10
""")


@pytest.fixture
async def bucket(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bucket]:
    with served("records", monkeypatch) as bucket:
        yield bucket


@pytest.fixture
async def pair(tmp_path: Path, bucket: Bucket) -> AsyncIterator[Pair]:
    pair = Pair(tmp_path)
    pair.environment |= bucket.environment
    try:
        await pair.begin()
        yield pair
    finally:
        await pair.end()


@contextlib.asynccontextmanager
async def fleet(port: int, evaluations: int) -> AsyncIterator[Process]:
    """Workers that play nothing, until they had so many evaluations acknowledged."""
    sizes = ("--streams", "4", "--batch", "8", "--in-flight", "64", "--evaluations", str(evaluations))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "germline.bench.fleet", f"127.0.0.1:{port}", *sizes,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def acknowledged(workers: Process, evaluations: int) -> None:
    assert workers.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        async for line in workers.stdout:
            if float(line.decode().strip("[]\n").split(",")[1]) >= evaluations:
                return


async def played(port: int, evaluations: int) -> None:
    async with fleet(port, evaluations) as workers:
        await acknowledged(workers, evaluations)


def archived(bucket: Bucket) -> View:
    """What lies in the bucket now."""
    (folder,) = {name.split("/")[1] for name in bucket.names()}
    files = ArchiveFiles(destinations.destination(PLACE), folder)
    files.open()
    return View.of_files(files, ColumnCache())


def read_by_pages(client: Client) -> list[int]:
    """The numbers of all records, as a page of evaluations after the other tells them."""
    numbers: list[int] = []
    after = ""
    while True:
        page = client.evaluations("archived", "oldest", 1_000, after, with_replays=True)
        numbers += page.evaluations.number
        after = page.next
        if not after:
            return numbers


class Held(Cable):
    """A cable that says when it keeps something back."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.keeps = asyncio.Event()

    async def _admit(self) -> None:
        await self._pass()

    async def _pass(self) -> None:
        if not self._flows.is_set():
            self.keeps.set()
        await super()._pass()


async def all_is_there_once(pair: Pair, bucket: Bucket) -> None:
    await pair.ask(lambda client: client.stop("archived"))
    evaluations = (await pair.ask(lambda client: client.experiment("archived"))).evaluations
    async with asyncio.timeout(PATIENCE_S):  # they can be read a moment after they were told
        while sum((await pair.ask(lambda client: client.bands("archived"))).records) < evaluations:
            pass
    assert await pair.ask(read_by_pages) == list(range(evaluations))
    for process in pair.processes[1:]:  # but the store: its masters write what is left
        if process.returncode is None:
            process.terminate()
            await process.wait()
    view = archived(bucket)
    assert view.numbers().tolist() == list(range(evaluations))
    records = view.records()
    assert set(records["parent"].tolist()) - {0} <= set(records["individual"].tolist())
    assert np.all(np.diff(records["running_cs"].astype(np.int64)) >= 0)


async def test_after_kill_9_the_standby_goes_on_with_the_same_archive(pair: Pair, bucket: Bucket) -> None:
    masters = [await pair.master(0, *FLAGS)]
    await pair.until(0, "serving")
    await pair.ask(lambda client: client.create(SPEC))
    masters.append(await pair.master(1, *FLAGS))
    await pair.until(1, "waiting")
    for round_ in range(4):
        one, other = round_ % 2, 1 - round_ % 2
        async with fleet(pair.ports[one], 100_000) as workers:
            await acknowledged(workers, 1_500)
            masters[one].kill()
        await pair.until(other, "serving")
        masters[one] = await pair.master(one, *FLAGS)
    await played(pair.ports[0], 500)
    await all_is_there_once(pair, bucket)


async def test_what_a_master_was_writing_when_it_was_cut_off_takes_nothing_away_from_the_next(
    pair: Pair, bucket: Bucket
) -> None:
    cable = Held("127.0.0.1", bucket.port)
    await cable.lay()
    try:
        pair.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{cable.port}"
        await pair.master(0, *FLAGS)
        await pair.until(0, "serving")
        await pair.ask(lambda client: client.create(SPEC))
        pair.environment |= bucket.environment
        await pair.master(1, *FLAGS)
        await pair.until(1, "waiting")
        await played(pair.ports[0], 1_000)
        cable.hold()
        await played(pair.ports[0], 1_000)
        async with asyncio.timeout(PATIENCE_S):
            await cable.keeps.wait()
        pair.cables[0].hold()
        await pair.until(1, "serving")
        await played(pair.ports[1], 1_000)
        cable.let_go()
        pair.cables[0].let_go()
        await pair.until(0, "waiting")
        await played(pair.ports[1], 1_000)
        await all_is_there_once(pair, bucket)
    finally:
        await cable.take_away()
