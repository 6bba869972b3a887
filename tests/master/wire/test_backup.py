"""Experiments leave a store as bytes and go on in another one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc import aio

from germline import backup_file
from germline.algorithms.base import Result
from germline.archive import part as layout
from germline.archive.part import read_numbers, read_records
from germline.archive.record import RECORD
from germline.backup_file import Backup, BackupError
from germline.client import Experiment
from germline.spec import loads
from germline.v1 import experiment_pb2 as pb
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub
from master.centres.centre import Checkpoint
from master.centres.consequences import keep_checkpoint
from master.config import MasterConfig
from master.experiments.events import returns_of
from master.experiments.workers import WorkerIdentity
from master.server import Master
from master.wire import archive_service
from master.work.leases import Key

HEAD = """
name = "kept"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
"""
GA = HEAD + "[algorithm.ga]\nwindow = 20\nparents = 4\n"
EGGROLL = HEAD + (
    "[algorithm.eggroll]\npairs = 2\nslice_pairs = 1\ncheckpoint_epochs = 1\nvalidation_epochs = 0\n"
)


class House:
    """A master with a store of its own."""

    def __init__(self, master: Master, channel: aio.Channel) -> None:
        self.master = master
        self.people = ExperimentServiceStub(channel)

    async def create(self, spec: str) -> None:
        await self.people.CreateExperiment(pb.CreateExperimentRequest(spec=loads(spec)))

    def play(self, evaluations: int, name: str = "kept") -> None:
        experiment = self.master.registry.named(name)
        for ask, lease in experiment.lend("w", evaluations, (), 0):
            key = Key(experiment.number, ask.ticket, lease.attempt)
            returns = tuple(float(ask.ticket + n) for n in range(returns_of(ask)))
            assert not experiment.tell(
                WorkerIdentity("w", "cpu", {}), [(key, Result(ask.ticket, returns, 40, 10))]
            )

    async def back_up(self, name: str = "kept") -> bytes:
        parts = self.people.BackUpExperiment(pb.BackUpExperimentRequest(name=name))
        return b"".join([part.data async for part in parts])

    async def restore(self, data: bytes, name: str = "", archive: Sequence[bytes] = ()) -> Experiment:
        parts = [pb.RestoreExperimentRequest(name=name), pb.RestoreExperimentRequest(data=data)]
        parts += [pb.RestoreExperimentRequest(archive=part) for part in archive]
        return Experiment.of((await self.people.RestoreExperiment(iter(parts))).experiment)

    async def archive(self, name: str = "kept") -> list[bytes]:
        return [each.part async for each in self.people.ReadArchive(pb.ReadArchiveRequest(name=name))]

    async def look(self, name: str = "kept") -> Experiment:
        got = await self.people.GetExperiment(pb.GetExperimentRequest(name=name))
        return Experiment.of(got.experiment)


Open = Callable[[str], AbstractAsyncContextManager[House]]


@pytest.fixture
def open_house(tmp_path: Path) -> Open:
    @asynccontextmanager
    async def begin(store: str) -> AsyncIterator[House]:
        config = MasterConfig(
            listen="localhost:0", metrics_port=-1, store_folder=tmp_path / store,
            archive="none" if store == "none" else "",
        )  # fmt: skip
        async with Master.serving(config) as master, aio.insecure_channel(master.address) as channel:
            yield House(master, channel)

    return begin


@pytest.mark.parametrize("spec", [GA, EGGROLL])
async def test_an_experiment_goes_on_in_another_store_exactly_as_in_its_own(
    open_house: Open, spec: str
) -> None:
    async with open_house("one") as one, open_house("two") as two:
        await two.create(spec.replace("kept", "other"))
        await one.create(spec)
        one.play(12)
        if spec is EGGROLL:
            keep_checkpoint(one.master.registry.named("kept"), Checkpoint(1, "digest", b"centre"))
            assert await one.master.journal.flush(20.0)
        restored = await two.restore(await one.back_up())
        before = await one.look()
        assert (restored.number, restored.name, restored.evaluations) == (2, "kept", before.evaluations)
        assert restored.fitness_quantiles == before.fitness_quantiles
        one.play(8)
        two.play(8)
        after = await one.look()
        assert (await two.look()).fitness_quantiles == after.fitness_quantiles
        assert await two.master.journal.flush(20.0)
    async with open_house("two") as two:
        assert (await two.look()).evaluations == after.evaluations > before.evaluations
        if spec is EGGROLL:
            assert await two.master.journal.checkpoints.get(2, 1) == b"centre"


async def test_work_that_was_lent_in_one_store_counts_for_nothing_in_the_other(open_house: Open) -> None:
    async with open_house("one") as one, open_house("two") as two:
        await one.create(GA)
        one.play(4)
        restored = await two.restore(await one.back_up())
        identities = [each.master.registry.named("kept").identity for each in (one, two)]
        assert restored.number == 1
        assert identities[0] != identities[1]
        assert two.master.registry.find(1, identities[0]) is None


async def test_what_a_restored_experiment_lends_counts_after_a_restart_however_old_its_first_store_was(
    open_house: Open,
) -> None:
    for _ in range(4):
        async with open_house("one") as one:
            await one.create(GA)
            one.play(4)
            assert await one.master.journal.flush(20.0, with_snapshots=True)
            data = await one.back_up()
    async with open_house("two") as two:
        await two.restore(data)
        experiment = two.master.registry.named("kept")
        (ask, lease), *_ = experiment.lend("w", 1, (), 0)
        await two.master.journal.durable()
    async with open_house("two") as two:
        experiment = two.master.registry.named("kept")
        key = Key(experiment.number, ask.ticket, lease.attempt, experiment.identity)
        result = Result(ask.ticket, (1.0,) * returns_of(ask), 40, 10)
        assert experiment.tell(WorkerIdentity("w", "cpu", {}), [(key, result)]) == []


async def test_a_restored_experiment_may_have_another_name_and_no_name_that_is_taken(
    open_house: Open,
) -> None:
    async with open_house("one") as one:
        await one.create(GA)
        one.play(4)
        data = await one.back_up()
        with pytest.raises(aio.AioRpcError, match="an experiment is called 'kept' already") as taken:
            await one.restore(data)
        assert taken.value.code() is grpc.StatusCode.ALREADY_EXISTS
        assert (await one.restore(data, "again")).evaluations == 4
        with pytest.raises(aio.AioRpcError, match="name") as bad:
            await one.restore(data, "no/name")
        assert bad.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        one.play(3, "again")
        assert ((await one.look()).evaluations, (await one.look("again")).evaluations) == (4, 7)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-9], lambda data: b"\xff" + data])
async def test_damaged_bytes_are_refused_and_leave_nothing_behind(
    open_house: Open, damage: Callable[[bytes], bytes]
) -> None:
    async with open_house("one") as one, open_house("two") as two:
        await one.create(GA)
        data = damage(await one.back_up())
        with pytest.raises(aio.AioRpcError, match="data ") as refused:
            await two.restore(data)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert list(two.master.registry) == []


async def test_an_archive_that_was_thinned_comes_along_with_its_gaps(open_house: Open) -> None:
    async with open_house("one") as one, open_house("two") as two:
        await one.create(GA)
        one.play(40)
        data = await one.back_up()
        numbers, records = read_records((await one.archive())[0])
        thinned = layout.write_part(0, 40, numbers[::3], records[::3])
        await two.restore(data, "", [thinned])
        assert read_numbers((await two.archive())[0]).tolist() == numbers[::3].tolist()


async def test_a_fitness_that_is_no_number_is_refused(open_house: Open) -> None:
    async with open_house("one") as one, open_house("two") as two:
        await one.create(GA)
        one.play(4)
        data = await one.back_up()
        numbers, records = read_records((await one.archive())[0])
        records["fitness"][1] = np.nan
        with pytest.raises(aio.AioRpcError, match="it holds a fitness that is no number"):
            await two.restore(data, "", [layout.write_part(0, 4, numbers, records)])


def archived(parts: Sequence[bytes]) -> bytes:
    """Every record of some parts."""
    return np.concatenate([read_records(part)[1] for part in parts]).tobytes()


async def test_the_archive_comes_along_and_goes_on_where_the_experiment_does(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "ROWS", 16)
    monkeypatch.setattr(archive_service, "ROWS", 16)
    async with open_house("one") as one, open_house("two") as two:
        await one.create(GA)
        one.play(40)
        data = await one.back_up()
        one.play(20)  # the archive is read a moment later, and has more than the experiment counts
        parts = await one.archive()
        assert len(parts) == 4
        await two.restore(data, "again", parts)
        two.play(20, "again")
        assert (
            archived(await two.archive("again"))[: 40 * RECORD.itemsize]
            == archived(parts[:3])[: 40 * RECORD.itemsize]
        )
        assert await two.master.journal.flush(20.0, with_snapshots=True)
    async with open_house("two") as two:
        numbers = np.concatenate([read_numbers(part) for part in await two.archive("again")])
        assert numbers.tolist() == list(range(60))


@pytest.mark.parametrize(
    "damage",
    [lambda parts: [parts[0][:-1]], lambda parts: [parts[1], parts[0]], lambda parts: [parts[0], parts[0]]],
    ids=["cut", "out of order", "twice"],
)
async def test_a_damaged_archive_is_refused_and_leaves_nothing_behind(
    open_house: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[list[bytes]], list[bytes]],
) -> None:  # fmt: skip
    monkeypatch.setattr(layout, "ROWS", 16)
    monkeypatch.setattr(archive_service, "ROWS", 16)
    async with open_house("one") as one, open_house("two") as two:
        await one.create(GA)
        one.play(40)
        data = await one.back_up()
        parts = await one.archive()
        with pytest.raises(aio.AioRpcError, match="archive holds no part") as refused:
            await two.restore(data, "", damage(parts))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert list(two.master.registry) == []
        async with asyncio.timeout(20.0):
            while (tmp_path / "two" / "archive").exists() and any((tmp_path / "two" / "archive").iterdir()):
                await asyncio.sleep(0.01)
        assert (await two.restore(data, "", parts)).evaluations == 40


async def test_a_master_without_an_archive_takes_the_experiment_alone(open_house: Open) -> None:
    async with open_house("one") as one, open_house("none") as two:
        await one.create(GA)
        one.play(4)
        data = await one.back_up()
        with pytest.raises(aio.AioRpcError, match="keeps no archive") as refused:
            await two.restore(data, "", await one.archive())
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert list(two.master.registry) == []
        assert (await two.restore(data)).evaluations == 4


def test_archives_lie_behind_their_experiments_and_a_foreign_one_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "all.backup"
    held = [Backup("one", b"abc"), Backup("one", b"d", is_archive=True), Backup("two", b"e")]
    with path.open("wb") as file:
        assert backup_file.write(file, held, with_archives=True) == 2
    assert list(backup_file.read(path)) == held
    with path.open("wb") as file:
        backup_file.write(file, [held[0], Backup("two", b"d", is_archive=True)], with_archives=True)
    with pytest.raises(BackupError, match="an archive of two follows experiment one"):
        list(backup_file.read(path))


def test_a_file_holds_experiments_and_knows_when_it_was_changed_or_cut_off(tmp_path: Path) -> None:
    path, held = tmp_path / "all.backup", [Backup("one", b"abc"), Backup("two", bytes(5_000))]
    with path.open("wb") as file:
        assert backup_file.write(file, held) == 2
    whole = path.read_bytes()
    assert list(backup_file.read(path)) == held
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at])
        with pytest.raises(BackupError, match=r"damaged|no backup"):
            list(backup_file.read(path))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BackupError):
            list(backup_file.read(path))
    path.write_bytes(whole + b"x")
    with pytest.raises(BackupError, match="behind its end"):
        list(backup_file.read(path))
