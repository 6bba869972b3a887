"""What an evolution strategy says on the wire, heard by hand-made workers on a real master."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import aio

from germline import noise
from germline.spec import loads
from germline.v1 import experiment_pb2 as pb
from germline.v1 import spec_pb2, worker_pb2
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub
from germline.v1.worker_pb2_grpc import WorkerServiceStub
from master.config import MasterConfig
from master.server import Master

PATIENCE_S = 20.0
PAIRS = 4

Call = aio.StreamStreamCall[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]


def spec_of(name: str = "es", algorithm: str = "", pairs: int = PAIRS) -> spec_pb2.ExperimentSpec:
    eggroll = f"[algorithm.eggroll]\npairs = {pairs}\nslice_pairs = 2\nvalidation_epochs = 0\n"
    return loads(f"""
name = "{name}"
[task.function]
path = "germline.functions:sphere"
dimension = 1000000
[policy]
name = "vector"
{algorithm or eggroll}
""")


class Worker:
    """A stream, and everything that was heard on it."""

    def __init__(self, channel: aio.Channel, name: str) -> None:
        self.name = name
        self.heard: list[worker_pb2.MasterMessage] = []
        self._call: Call = WorkerServiceStub(channel).Work()
        self._sequence = 0
        self._read = 0

    async def hello(self, credit: int, held: list[worker_pb2.LeaseKey]) -> None:
        hello = worker_pb2.Hello(
            worker_id=self.name,
            noise_version=noise.VERSION,
            noise_digest=noise.self_test_digest(),
            slots=4,
            held=held,
        )
        await self._call.write(worker_pb2.WorkerMessage(hello=hello))
        if credit:
            await self.credit(credit)

    async def credit(self, evaluations: int) -> None:
        await self._call.write(worker_pb2.WorkerMessage(credit=worker_pb2.Credit(evaluations=evaluations)))

    async def hear(self, kind: str) -> worker_pb2.MasterMessage:
        """The next message of this kind."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._read < len(self.heard):
                    message = self.heard[self._read]
                    self._read += 1
                    if message.WhichOneof("kind") == kind:
                        return message
                message_or_end = await self._call.read()
                assert isinstance(message_or_end, worker_pb2.MasterMessage), await self._call.details()
                self.heard.append(message_or_end)

    async def epochs(self) -> list[worker_pb2.EpochUpdate]:
        """All epochs that were heard of, at least one."""
        found = [message.epoch for message in self.heard if message.HasField("epoch")]
        return found or [(await self.hear("epoch")).epoch]

    async def leases(self) -> list[worker_pb2.Lease]:
        return list((await self.hear("leases")).leases.leases)

    async def tell(self, leases: list[worker_pb2.Lease]) -> worker_pb2.Acknowledgement:
        self._sequence += 1
        results = worker_pb2.Results(sequence=self._sequence)
        for lease in leases:
            members = 2 * lease.slice.pairs
            returns = [float(2 * lease.slice.first_pair + member) for member in range(members)]
            results.results.add(lease=lease.key, returns=returns, frames=members, steps=members)
        await self._call.write(worker_pb2.WorkerMessage(results=results))
        return (await self.hear("acknowledgement")).acknowledgement

    async def report(self, epoch: int, digest: str) -> None:
        said = worker_pb2.EpochReport(experiment=1, epoch=epoch, digest=digest)
        await self._call.write(worker_pb2.WorkerMessage(epoch_report=said))

    def leave(self) -> None:
        self._call.cancel()


class House:
    def __init__(self, channel: aio.Channel) -> None:
        self.people = ExperimentServiceStub(channel)
        self._channel = channel
        self._workers: list[Worker] = []

    async def create(self, spec: spec_pb2.ExperimentSpec) -> None:
        await self.people.CreateExperiment(pb.CreateExperimentRequest(spec=spec))

    async def worker(self, name: str, credit: int, held: list[worker_pb2.Lease] | None = None) -> Worker:
        worker = Worker(self._channel, name)
        self._workers.append(worker)
        await worker.hello(credit, [lease.key for lease in held or []])
        return worker

    async def experiment(self, name: str = "es") -> pb.Experiment:
        return (await self.people.GetExperiment(pb.GetExperimentRequest(name=name))).experiment

    def leave(self) -> None:
        for worker in self._workers:
            worker.leave()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    config = MasterConfig(listen="localhost:0", metrics_port=-1, store_folder=tmp_path / "store")
    async with Master.serving(config) as master, aio.insecure_channel(master.address) as channel:
        house = House(channel)
        yield house
        house.leave()


async def test_only_slice_numbers_and_scores_cross_the_wire(house: House) -> None:
    await house.create(spec_of())
    worker = await house.worker("a", credit=2 * PAIRS)
    for _ in range(5):
        told: list[worker_pb2.Lease] = []
        while len(told) < 2:
            told += await worker.leases()
        assert [(lease.slice.first_pair, lease.slice.pairs) for lease in told] == [(0, 2), (2, 2)]
        assert not any(lease.genome or lease.HasField("mutation") for lease in told)
        await worker.tell(told)
        update = (await worker.hear("epoch")).epoch
        assert list(update.fitness) == [float(member) for member in range(2 * PAIRS)]
        await worker.credit(2 * PAIRS)
    # A million weights, five epochs: what was heard is a spec, slices, and eight numbers an epoch.
    assert sum(message.ByteSize() for message in worker.heard) < 3_000
    assert not any(message.leases.known for message in worker.heard)


async def test_both_members_of_a_pair_play_the_pairs_own_episode_seeds(house: House) -> None:
    await house.create(spec_of())
    worker = await house.worker("a", credit=2 * PAIRS)
    leases = await worker.leases()
    seeds = [seed for lease in leases for seed in lease.episode_seeds]
    assert len(set(seeds)) == sum(lease.slice.pairs for lease in leases)


async def test_a_told_slice_counts_for_its_worker_as_the_evaluations_that_it_holds(house: House) -> None:
    await house.create(spec_of())
    worker = await house.worker("a", credit=2 * PAIRS)
    held = await worker.leases()
    await worker.tell(held)
    assert (await worker.tell(held)).refused
    (seen,) = (await house.people.ListWorkers(pb.ListWorkersRequest())).workers
    assert seen.evaluations == sum(2 * lease.slice.pairs for lease in held) > len(held)


async def test_an_idle_worker_gets_the_tails_work_a_second_time_and_the_epoch_closes_once(
    house: House,
) -> None:
    await house.create(spec_of())
    slow = await house.worker("slow", credit=2 * PAIRS)
    held = await slow.leases()
    quick = await house.worker("quick", credit=2 * PAIRS)
    twins = await quick.leases()
    assert [lease.key.ticket for lease in twins] == [lease.key.ticket for lease in held]
    assert all(twin.key.attempt > lease.key.attempt for twin, lease in zip(twins, held, strict=True))
    assert not (await quick.tell(twins)).refused
    revoked = (await slow.hear("revocation")).revocation
    assert list(revoked.leases) == [lease.key for lease in held]
    late = await slow.tell(held)
    assert {refusal.code for refusal in late.refused} == {worker_pb2.REFUSAL_CODE_ALREADY_TOLD}
    assert (await house.experiment()).epochs == 1
    for worker in (slow, quick):
        assert [epoch.epoch for epoch in await worker.epochs()] == [0]


async def test_while_an_epoch_waits_for_its_last_pairs_workers_get_other_work(house: House) -> None:
    await house.create(spec_of())
    await house.create(spec_of("ga", "[algorithm.ga]\nwindow = 20\nparents = 4\n"))
    first = await house.worker("first", credit=4 * PAIRS)
    kinds: list[int] = []
    while len(kinds) < 2 + 2 * PAIRS:  # both slices, and the rest of the room
        kinds += [lease.key.experiment for lease in await first.leases()]
    second = await house.worker("second", credit=6)
    others: list[worker_pb2.Lease] = []
    while len(others) < 6:
        others += await second.leases()
    assert {lease.key.experiment for lease in others} == {2}


async def test_an_epoch_closes_without_its_last_pairs_after_a_while_if_asked_to(house: House) -> None:
    patience = "close_share = 0.5\nclose_after_s = 0.5\n"
    base = f"[algorithm.eggroll]\npairs = {PAIRS}\nslice_pairs = 2\nvalidation_epochs = 0\n{patience}"
    await house.create(spec_of(algorithm=base))
    worker = await house.worker("a", credit=2 * PAIRS)
    first, second = await worker.leases()
    await worker.tell([first])
    update = (await worker.hear("epoch")).epoch
    assert list(update.fitness[:4]) == [0.0, 1.0, 2.0, 3.0]
    assert all(map(math.isnan, update.fitness[4:]))
    (refusal,) = (await worker.tell([second])).refused
    assert refusal.code == worker_pb2.REFUSAL_CODE_CLOSED
    assert refusal.message == "ticket 2 comes too late: epoch 0 closed without it"


async def test_a_worker_that_comes_back_with_slices_is_caught_up_so_that_it_can_play_them(
    house: House,
) -> None:
    await house.create(spec_of())
    worker = await house.worker("a", credit=2 * PAIRS)
    await worker.tell(await worker.leases())
    await worker.credit(2 * PAIRS)
    held = await worker.leases()
    assert {lease.slice.epoch for lease in held} == {1}
    worker.leave()  # and the update may not have arrived

    back = await house.worker("a", credit=0, held=held)
    assert (await back.hear("introduction")).introduction.experiment == 1
    assert (await back.hear("epoch")).epoch.epoch == 0
    assert not (await back.tell(held)).refused


async def test_a_worker_that_reports_another_digest_is_told_to_start_over_and_caught_up(
    house: House,
) -> None:
    await house.create(spec_of(pairs=12))
    workers = [await house.worker(name, credit=8) for name in "abc"]
    for worker in workers:
        await worker.tell(await worker.leases())
    for worker, digest in zip(workers, ("good", "good", "bad"), strict=True):
        assert (await worker.hear("epoch")).epoch.epoch == 0
        await worker.report(1, digest)
    assert "worker c after 1 epochs" in (await workers[2].hear("reload")).reload.reason
    assert (await workers[2].hear("epoch")).epoch.epoch == 0
    assert (await house.experiment()).centre_digest == "good"
    assert not any(message.WhichOneof("kind") == "reload" for w in workers[:2] for message in w.heard)
