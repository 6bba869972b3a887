"""What is stored of one experiment is damaged: it costs itself, and the master serves the others."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc import aio
from redis.asyncio import Redis

from germline.algorithms.base import Result
from germline.client import Experiment
from germline.spec import loads
from germline.v1 import experiment_pb2 as pb
from germline.v1 import journal_pb2, spec_pb2
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub
from master.centres.centre import Checkpoint
from master.centres.consequences import keep_checkpoint
from master.config import MasterConfig
from master.experiments.events import returns_of
from master.experiments.workers import WorkerIdentity
from master.journal.connection import connect
from master.journal.keys import Keys
from master.journal.own_store import OwnStore
from master.server import Master
from master.work.leases import Key

KEYS = Keys("germline")
SPEC = """
name = "{name}"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.eggroll]
pairs = 2
slice_pairs = 1
checkpoint_epochs = 1
validation_epochs = 0
"""


class House:
    def __init__(self, master: Master, channel: aio.Channel, store: Redis) -> None:
        self.master = master
        self.people = ExperimentServiceStub(channel)
        self.store = store

    async def create(self, name: str) -> pb.Experiment:
        request = pb.CreateExperimentRequest(spec=loads(SPEC.format(name=name)))
        return (await self.people.CreateExperiment(request)).experiment

    def play(self, name: str) -> None:
        """An epoch, and its checkpoint."""
        experiment = self.master.registry.named(name)
        for ask, lease in experiment.lend("w", 4, (), 0):
            key = Key(experiment.number, ask.ticket, lease.attempt)
            result = Result(ask.ticket, tuple(map(float, range(returns_of(ask)))), 40, 10)
            assert not experiment.tell(WorkerIdentity("w", "cpu", {}), [(key, result)])
        keep_checkpoint(experiment, Checkpoint(1, "digest", b"centre"))

    async def shown(self) -> list[Experiment]:
        listed = await self.people.ListExperiments(pb.ListExperimentsRequest())
        return [Experiment.of(message) for message in listed.experiments]


Open = Callable[[], AbstractAsyncContextManager[House]]


@pytest.fixture
async def open_house(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens a master, again and again, on one store."""
    async with OwnStore(tmp_path / "store") as store:
        config = MasterConfig(listen="localhost:0", metrics_port=-1, store=store.url)

        @asynccontextmanager
        async def begin() -> AsyncIterator[House]:
            client = connect(store.url)
            async with Master.serving(config) as master, aio.insecure_channel(master.address) as channel:
                yield House(master, channel, client)
                assert await master.journal.flush(20.0, with_snapshots=True)
            await client.aclose()

        yield begin


async def garbage(store: Redis) -> None:
    await store.set(KEYS.snapshot(1), b"\xff\xff\xff")


async def anothers_key(store: Redis) -> None:
    await store.delete(KEYS.snapshot(1), KEYS.entries(1))
    await store.set(KEYS.entries(1), "somebody else's")


async def a_later_format(store: Redis) -> None:
    await _change(store, lambda snapshot: setattr(snapshot, "format_version", 2))


async def another_algorithm(store: Redis) -> None:
    await _change(store, lambda snapshot: setattr(snapshot, "algorithm", b"\x78\x01"))


async def a_spec_that_does_not_hold(store: Redis) -> None:
    await _change(store, lambda snapshot: snapshot.created.spec.ClearField("task"))


async def a_missing_entry(store: Redis) -> None:
    await store.hincrby(KEYS.heads, "1", 1)


async def a_missing_checkpoint(store: Redis) -> None:
    await store.delete(KEYS.checkpoint(1, 1))


async def nothing_left(store: Redis) -> None:
    await store.delete(KEYS.snapshot(1), KEYS.entries(1))


async def _change(store: Redis, change: Callable[[journal_pb2.Snapshot], object]) -> None:
    stored = await store.hget(KEYS.snapshot(1), "0")
    assert isinstance(stored, bytes)
    snapshot = journal_pb2.Snapshot.FromString(stored)
    change(snapshot)
    await store.set(KEYS.snapshot(1), snapshot.SerializeToString())


Damage = Callable[[Redis], Awaitable[None]]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (garbage, "Snapshot of 3 bytes is damaged"),
        (anothers_key, "a key of it holds what no journal writes: WRONGTYPE"),
        (a_later_format, "Snapshot is of format version 2; this build reads 1"),
        (another_algorithm, "snapshot holds 2 bytes that are no packed JSON"),
        (a_spec_that_does_not_hold, "it does not replay: SpecError: the spec: task"),
        (a_missing_entry, "experiment 1 misses its journal entry"),
        (a_missing_checkpoint, "experiment 1 misses its checkpoint of epoch 1"),
        (nothing_left, "experiment 1 "),
    ],
)
async def test_a_damaged_experiment_is_set_aside_by_name_and_the_others_are_served(
    open_house: Open, damage: Damage, reason: str
) -> None:
    async with open_house() as house:
        for name in ("ill", "well"):
            await house.create(name)
            house.play(name)
    async with open_house() as house:
        await damage(house.store)
        assert await house.master.journal.flush(20.0)
        house.master.journal._channels.pop(1)  # which would write its snapshot again at the end
    async with open_house() as house:
        ill, well = await house.shown()
        assert (ill.number, ill.name, ill.state, ill.is_over) == (1, "ill", "damaged", True)
        assert ill.trouble.startswith(reason)
        assert (well.name, well.state, well.evaluations, well.epochs) == ("well", "running", 4, 1)
        house.play("well")
        got = await house.people.GetExperiment(pb.GetExperimentRequest(name="ill"))
        assert Experiment.of(got.experiment) == ill


@pytest.fixture
async def house(open_house: Open) -> AsyncIterator[House]:
    """A master with a damaged experiment 1, "ill", and no other."""
    async with open_house() as house:
        await house.create("ill")
        assert await house.master.journal.flush(20.0, with_snapshots=True)
        await garbage(house.store)
        house.master.journal._channels.clear()
    async with open_house() as house:
        yield house


async def test_a_damaged_experiment_can_only_be_repaired_or_deleted(house: House) -> None:
    calls: list[Awaitable[object]] = [
        house.people.PauseExperiment(pb.PauseExperimentRequest(name="ill")),
        house.people.ResumeExperiment(pb.ResumeExperimentRequest(name="ill")),
        house.people.StopExperiment(pb.StopExperimentRequest(name="ill")),
        house.people.ExtendExperiment(pb.ExtendExperimentRequest(name="ill", stop=spec_pb2.Stop(frames=9))),
        house.people.ListIndividuals(pb.ListIndividualsRequest(name="ill")),
        house.people.GetHistory(pb.GetHistoryRequest(name="ill")),
        anext(aiter(house.people.WatchExperiment(pb.WatchExperimentRequest(name="ill")))),
    ]
    for call in calls:
        with pytest.raises(
            aio.AioRpcError, match="ill is damaged and can only be repaired or deleted: Snap"
        ) as error:
            await call
        assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    with pytest.raises(aio.AioRpcError, match="name is 'i'; experiments here: ill"):
        await house.people.GetExperiment(pb.GetExperimentRequest(name="i"))


async def test_the_name_of_a_damaged_experiment_is_taken_until_it_is_deleted(house: House) -> None:
    with pytest.raises(aio.AioRpcError, match="is 'ill', and an experiment of this name") as error:
        await house.create("ill")
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert (await house.create("other")).number == 2
    await house.people.DeleteExperiment(pb.DeleteExperimentRequest(name="ill"))
    assert not [key async for key in house.store.scan_iter(match=KEYS.of(1) + "*")]
    assert (await house.create("ill")).number == 3
    assert [each.number for each in await house.shown()] == [2, 3]


async def test_what_is_damaged_is_kept_as_it_is_and_comes_back_when_it_is_repaired(open_house: Open) -> None:
    async with open_house() as house:
        await house.create("ill")
        house.play("ill")
        assert await house.master.journal.flush(20.0)
    async with open_house() as house:
        assert await house.master.journal.flush(20.0, with_snapshots=True)  # that this master started, too
        sound = await house.store.hget(KEYS.snapshot(1), "0") or b""
        await garbage(house.store)
        house.master.journal._channels.clear()
    async with open_house() as house:
        assert [each.state for each in await house.shown()] == ["damaged"]
        await house.store.set(KEYS.snapshot(1), sound)
    async with open_house() as house:
        assert [(each.state, each.evaluations) for each in await house.shown()] == [("running", 4)]


# Repair


async def half_readable(store: Redis) -> None:
    """The last entry is garbage, as a disk leaves it behind."""
    head = int(await store.hget(KEYS.heads, "1") or 0) + 1
    await store.xadd(KEYS.entries(1), {"entry": b"\xff"}, id=f"{head}-0")
    await store.hset(KEYS.heads, "1", str(head))


@pytest.mark.parametrize("damage", [a_missing_entry, half_readable])
async def test_a_repaired_experiment_goes_on_from_before_the_damage_and_stays_whole(
    open_house: Open, damage: Damage
) -> None:
    async with open_house() as house:
        await house.create("ill")
        house.play("ill")
        assert await house.master.journal.flush(20.0)
        await damage(house.store)
        house.master.journal._channels.clear()
    async with open_house() as house:
        assert [each.state for each in await house.shown()] == ["damaged"]
        repaired = await house.people.RepairExperiment(pb.RepairExperimentRequest(name="ill"))
        assert (repaired.lost_entries, repaired.experiment.evaluations) == (1, 4)
        assert repaired.kept_entries > 0
        house.play("ill")
        await house.master.journal.durable()
    async with open_house() as house:
        assert [(each.state, each.evaluations) for each in await house.shown()] == [("running", 8)]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(garbage, "Snapshot of 3 bytes"), (a_missing_checkpoint, "checkpoint"), (nothing_left, "nothing of it")],
)
async def test_what_cannot_be_repaired_says_why_and_stays_as_it_is(
    open_house: Open, damage: Damage, reason: str
) -> None:
    async with open_house() as house:
        await house.create("ill")
        house.play("ill")
        assert await house.master.journal.flush(20.0)
        assert await house.master.journal.flush(20.0, with_snapshots=True)
        await damage(house.store)
        house.master.journal._channels.clear()
    async with open_house() as house:
        with pytest.raises(aio.AioRpcError, match=f"only restored from a backup: .*{reason}") as error:
            await house.people.RepairExperiment(pb.RepairExperimentRequest(name="ill"))
        assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert [each.state for each in await house.shown()] == ["damaged"]


async def test_what_is_sound_or_unknown_is_not_repaired(open_house: Open) -> None:
    async with open_house() as house:
        await house.create("well")
        with pytest.raises(aio.AioRpcError, match="experiment well is not damaged"):
            await house.people.RepairExperiment(pb.RepairExperimentRequest(name="well"))
        with pytest.raises(aio.AioRpcError, match="experiments here: well"):
            await house.people.RepairExperiment(pb.RepairExperimentRequest(name="other"))
