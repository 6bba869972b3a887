"""The archive follows a real journal: behind it, once, and before anything is trimmed."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from germline.algorithms.base import Result
from germline.destinations import DestinationError, Folder
from germline.spec import loads
from master.archive import writer
from master.archive.writer import ArchiveWriter
from master.experiments.experiment import Experiment
from master.experiments.registry import Registry
from master.experiments.workers import WorkerIdentity
from master.journal.connection import connect
from master.journal.journal import Journal
from master.journal.keys import Keys
from master.journal.own_store import OwnStore
from master.work.leases import Key

PATIENCE_S = 30.0
IDENTITY = WorkerIdentity("w", "cpu", {})
SPEC = loads("""
name = "archived"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 20
parents = 4
""")


class Shut(Folder):
    """A folder that takes nothing until it is opened."""

    is_open = False

    def write(self, name: str, data: bytes) -> None:
        if not self.is_open:
            raise DestinationError("the disk is full")
        super().write(name, data)


class Life:
    """One life of a master, without its network: a journal, its experiments, their archive."""

    def __init__(self, client: Redis, keys: Keys, folder: Folder) -> None:
        self.journal = Journal(client, keys, snapshot_interval_s=1e9)
        self.may_write = True
        self.archive = ArchiveWriter(
            folder, self.journal.when_durable, max_bytes=1 << 30, may_write=lambda: self.may_write
        )
        self.journal.snapshots.when_archived = self.archive.when_stored
        self.registry = Registry(self.journal, lambda: 0.0, self.archive)

    @contextlib.asynccontextmanager
    async def lived(self) -> AsyncIterator["Life"]:
        """It ends as a crash does: nothing is flushed."""
        await self.registry.recover()
        tasks = [asyncio.create_task(each) for each in (self.archive.run(), self.journal.run())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    @property
    def experiment(self) -> Experiment:
        return self.registry.named("archived")

    async def create(self) -> None:
        self.registry.create(SPEC)
        await self.journal.durable()

    async def play(self, evaluations: int) -> None:
        """Tell so many results, and wait until they are durable."""
        for ask, lease in self.experiment.lend("w", evaluations, (), 0):
            result = Result(ask.ticket, (float(ask.ticket % 13),), 100, 25)
            self.experiment.tell(IDENTITY, [(Key(self.experiment.number, ask.ticket, lease.attempt), result)])
        await self.journal.durable()

    async def archived(self) -> tuple[list[int], list[float]]:
        view = await self.archive.view(self.experiment.number)
        return view.numbers().tolist(), view.column("fitness").tolist()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                await asyncio.sleep(0.01)

    async def until_archived(self, evaluations: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len((await self.archived())[0]) < evaluations:
                await asyncio.sleep(0.01)


@pytest.fixture
async def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Life]]:
    """Begins a life on one store and one folder."""
    monkeypatch.setattr(writer, "_LOOK_S", 0.02)
    keys = Keys(secrets.token_hex(4))
    async with OwnStore(tmp_path / "store") as store:
        client = connect(store.url)
        yield lambda folder=None: Life(client, keys, folder or Folder(tmp_path / "archive"))
        await client.aclose()


async def test_what_was_told_is_archived_in_the_journals_order(begin: Callable[..., Life]) -> None:
    async with begin().lived() as life:
        await life.create()
        await life.play(50)
        await life.until_archived(50)
        numbers, fitness = await life.archived()
        records = (await life.archive.view(life.experiment.number)).records()
    assert numbers == list(range(50))
    assert fitness == [float(ticket % 13) for ticket in range(50)]
    assert set(records["frames"]) == {100}
    assert set(records["worker"]) == {1}
    founders = records[records["parent"] == 0]
    assert len(founders)
    assert set(records["parent"]) - {0} <= set(records["individual"])


async def test_a_crash_before_anything_was_written_costs_no_record(begin: Callable[..., Life]) -> None:
    async with begin().lived() as life:
        await life.create()
        await life.play(30)
    async with begin().lived() as life:
        await life.until_archived(30)
        await life.play(20)
        await life.until_archived(50)
        assert (await life.archived())[0] == list(range(50))


async def test_crash_after_crash_with_snapshots_between_gives_each_record_once(
    begin: Callable[..., Life],
) -> None:
    async with begin().lived() as life:
        await life.create()
    for round_ in range(6):
        async with begin().lived() as life:
            await life.play(15)
            if round_ % 2:
                assert await life.journal.flush(PATIENCE_S, with_snapshots=True)
            await life.play(10)
    async with begin().lived() as life:
        await life.until_archived(150)
        numbers, _ = await life.archived()
        records = (await life.archive.view(life.experiment.number)).records()
    assert numbers == list(range(150))
    assert len(set(records["individual"])) > 30


async def test_the_journal_is_not_trimmed_before_the_archive_has_it(
    begin: Callable[..., Life], tmp_path: Path
) -> None:
    place = Shut(tmp_path / "archive")
    async with begin(place).lived() as life:
        await life.create()
        await life.play(40)
        asked = asyncio.create_task(life.journal.flush(PATIENCE_S, with_snapshots=True))
        await life.until(lambda: life.archive.trouble == "the disk is full")
        snapshot, _ = await life.journal.load(life.experiment.number)
        assert snapshot is None
        place.is_open = True
        await life.until(lambda: not life.archive.trouble)
        await asked
        assert await life.journal.flush(PATIENCE_S, with_snapshots=True)
        snapshot, _ = await life.journal.load(life.experiment.number)
        assert snapshot is not None
        assert snapshot.progress["records"] == 40
    async with begin(place).lived() as life:
        assert (await life.archived())[0] == list(range(40))


async def test_an_archive_that_fails_keeps_nobody_from_being_told_and_acknowledged(
    begin: Callable[..., Life], tmp_path: Path
) -> None:
    async with begin(Shut(tmp_path / "archive")).lived() as life:
        await life.create()
        for _ in range(3):
            await life.play(20)
        assert life.experiment.progress.evaluations == 60


async def test_a_master_that_lost_its_store_writes_nothing(
    begin: Callable[..., Life], tmp_path: Path
) -> None:
    async with begin().lived() as life:
        life.may_write = False
        await life.create()
        await life.play(20)
        await life.until_archived(20)
        await life.journal.flush(0.5, with_snapshots=True)
    assert not (tmp_path / "archive").exists()


async def test_two_masters_one_after_the_other_and_late_files_of_the_first_give_each_record_once(
    begin: Callable[..., Life],
) -> None:
    first = begin()
    async with first.lived() as life:
        await life.create()
        await life.play(30)
        await life.until_archived(30)
        async with begin().lived() as second:
            await second.play(20)
            await second.until_archived(50)
            desk = next(iter(first.archive._desks.values()))
            await desk.archive.write(1 << 30)  # it was about to, and stood still meanwhile
            assert await second.journal.flush(PATIENCE_S, with_snapshots=True)
            assert (await second.archived())[0] == list(range(50))
    async with begin().lived() as third:
        assert (await third.archived())[0] == list(range(50))


async def test_a_deleted_experiment_takes_its_archive_with_it(
    begin: Callable[..., Life], tmp_path: Path
) -> None:
    async with begin().lived() as life:
        await life.create()
        await life.play(20)
        assert await life.journal.flush(PATIENCE_S, with_snapshots=True)
        assert list((tmp_path / "archive").iterdir())
        life.experiment.stop()
        life.registry.delete("archived")
        await life.until(lambda: not list((tmp_path / "archive").iterdir()))


async def test_a_snapshot_of_a_build_without_an_archive_is_gone_on_from(begin: Callable[..., Life]) -> None:
    async with begin().lived() as life:
        await life.create()
        await life.play(30)
        life.experiment.recorder.restore({"evaluations": 30})
        assert life.experiment.recorder.begin == 30
