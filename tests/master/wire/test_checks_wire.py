"""Results that another worker plays again, heard by hand-made workers on a real master with a real store."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc import aio

from germline import noise
from germline.genome import Genome, Mutation
from germline.spec import loads
from germline.v1 import experiment_pb2 as pb
from germline.v1 import spec_pb2, worker_pb2
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub
from germline.v1.worker_pb2_grpc import WorkerServiceStub
from master.config import MasterConfig
from master.server import Master
from master.work.checks import CHECK

PATIENCE_S = 20.0
LIE = 1_000.0
GA = "[algorithm.ga]\nwindow = 50\nparents = 4\ncandidates = 0\nvalidation_share = 0.0\n"
PONG = f"""
name = "pong"
[task.atari]
game = "pong"
[policy]
name = "motion"
[evaluation]
precision = "int8"
verify_share = 1.0
{GA}
"""
SPHERE = f"""
name = "sphere"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[evaluation]
verify_share = 1.0
{GA}
"""

Call = aio.StreamStreamCall[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]


def truth(individual: int) -> float:
    """What an individual gets."""
    return float(individual % 97)


class Worker:
    """A worker that plays by arithmetic, and adds `lie` to what it tells."""

    def __init__(self, channel: aio.Channel, name: str, lie: float = 0.0) -> None:
        self.name, self.lie = name, lie
        self.call: Call = WorkerServiceStub(channel).Work()
        self._genomes: dict[int, Genome] = {}
        self._sequence = 0
        self._heard: list[worker_pb2.MasterMessage] = []

    async def say(self, **message: object) -> None:
        await self.call.write(worker_pb2.WorkerMessage(**message))  # type: ignore[arg-type]

    async def hello(self) -> None:
        digest = noise.self_test_digest()
        await self.say(
            hello=worker_pb2.Hello(
                worker_id=self.name, noise_version=noise.VERSION, noise_digest=digest, slots=4
            )
        )
        await self.hear("welcome")

    async def hear(self, kind: str) -> worker_pb2.MasterMessage:
        """The next message of this kind; what came before it waits for its turn."""
        for place, message in enumerate(self._heard):
            if message.WhichOneof("kind") == kind:
                return self._heard.pop(place)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.call.read()  # type: ignore[assignment]
                assert isinstance(message, worker_pb2.MasterMessage), await self.call.details()
                if message.WhichOneof("kind") == kind:
                    return message
                self._heard.append(message)

    async def borrow(self, evaluations: int) -> list[worker_pb2.Lease]:
        await self.say(credit=worker_pb2.Credit(evaluations=evaluations))
        leases: list[worker_pb2.Lease] = []
        while len(leases) < evaluations:
            message = (await self.hear("leases")).leases
            self._genomes |= {known.id: Genome.decode(known.encoded) for known in message.known}
            leases += message.leases
        return leases

    def individual(self, lease: worker_pb2.Lease) -> int:
        genome, step = self._genomes[lease.genome], lease.mutation
        has_step = lease.HasField("mutation")
        return genome.child(Mutation(step.seed, step.power, step.rank)).id if has_step else genome.id

    async def tell(self, *leases: worker_pb2.Lease) -> list[str]:
        """Tell what these come to; the codes of those that did not count."""
        self._sequence += 1
        results = [
            worker_pb2.Result(
                lease=lease.key,
                returns=[truth(self.individual(lease)) + self.lie] * len(lease.episode_seeds),
                frames=400,
            )
            for lease in leases
        ]
        await self.say(results=worker_pb2.Results(sequence=self._sequence, results=results))
        refused = (await self.hear("acknowledgement")).acknowledgement.refused
        return [worker_pb2.RefusalCode.Name(each.code).removeprefix("REFUSAL_CODE_") for each in refused]

    async def play(self, evaluations: int) -> list[worker_pb2.Lease]:
        leases = await self.borrow(evaluations)
        assert await self.tell(*leases) == []
        return leases

    async def leave(self) -> None:
        """Say goodbye, and wait until the master has heard it."""
        await self.say(goodbye=worker_pb2.Goodbye(reason="spot"))
        await self.call.done_writing()
        async with asyncio.timeout(PATIENCE_S):
            while await self.call.read() is not aio.EOF:
                pass


class House:
    """A master, and whoever talks to it."""

    def __init__(self, master: Master, channel: aio.Channel) -> None:
        self.master = master
        self.channel = channel
        self.people = ExperimentServiceStub(channel)
        self.workers: list[Worker] = []

    async def create(self, spec: str) -> None:
        await self.people.CreateExperiment(pb.CreateExperimentRequest(spec=loads(spec)))

    async def look(self, name: str = "pong") -> pb.Experiment:
        return (await self.people.GetExperiment(pb.GetExperimentRequest(name=name))).experiment

    async def checks(self, name: str = "pong") -> pb.Verification:
        return (await self.look(name)).verification

    async def worker(self, name: str, lie: float = 0.0) -> Worker:
        worker = Worker(self.channel, name, lie)
        self.workers.append(worker)
        await worker.hello()
        return worker

    async def quarantined(self) -> list[str]:
        listed = await self.people.ListWorkers(pb.ListWorkersRequest())
        return [each.worker_id for each in listed.quarantined]

    async def release(self, name: str) -> None:
        await self.people.ReleaseWorker(pb.ReleaseWorkerRequest(worker_id=name))


Serve = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def serve(metrics_port: int = -1) -> AsyncIterator[House]:
        config = MasterConfig(
            listen="localhost:0", metrics_port=metrics_port, store_folder=tmp_path / "store"
        )
        async with (
            Master.serving(config) as master,
            aio.insecure_channel(master.address) as channel,
        ):
            house = House(master, channel)
            yield house
            for worker in house.workers:
                worker.call.cancel()

    return serve


@pytest.fixture
async def house(serve: Serve) -> AsyncIterator[House]:
    async with serve() as house:
        await house.create(PONG)
        yield house


async def found_out(house: House, lies: int = 2) -> tuple[Worker, Worker, Worker]:
    """A liar and two honest workers; b plays what the liar told, and c decides."""
    liar, b, c = [await house.worker("liar", LIE), await house.worker("b"), await house.worker("c")]
    await liar.play(lies)
    await b.play(lies)
    assert await house.quarantined() == []
    await c.play(lies)
    assert await house.quarantined() == ["liar"]
    return liar, b, c


async def test_what_another_worker_plays_alike_is_counted_beside_the_evaluations(house: House) -> None:
    a, b = await house.worker("a"), await house.worker("b")
    told = await a.play(3)
    checks = await b.play(3)
    assert [lease.key.ticket for lease in checks] == [lease.key.ticket | CHECK for lease in told]
    assert [lease.episode_seeds for lease in checks] == [lease.episode_seeds for lease in told]
    assert [b.individual(lease) for lease in checks] == [a.individual(lease) for lease in told]
    look = await house.look()
    assert (look.evaluations, look.frames) == (3, 1_200)
    assert look.verification == pb.Verification(agreed=3, frames=1_200)
    assert await house.quarantined() == []


async def test_who_is_wrong_is_told_so_and_gets_no_more_work(house: House) -> None:
    liar, _, _ = await found_out(house)
    reason = (await liar.hear("quarantine")).quarantine.reason
    assert reason.startswith("worker liar is wrong: of individual ")
    assert " of experiment pong, in the same episodes, liar got 1" in reason
    await liar.say(credit=worker_pb2.Credit(evaluations=8))
    look = await house.look()
    assert (look.leased, look.trouble) == (0, "")
    listed = await house.people.ListWorkers(pb.ListWorkersRequest())
    assert [each.trouble.partition(":")[0] for each in listed.workers] == ["in quarantine", "", ""]
    assert listed.quarantined[0].reason == reason


async def test_what_it_told_is_forgotten_and_played_again_by_others(house: House) -> None:
    a = await house.worker("a")
    honest = {a.individual(lease) for lease in await a.play(4)}
    liar, b, c = [await house.worker("liar", LIE), await house.worker("b"), await house.worker("c")]
    await b.play(4)  # confirms what a told
    lied = {liar.individual(lease) for lease in await liar.play(5)}
    checks = await b.borrow(1)  # one lie of five is enough
    await b.tell(*checks)
    await c.tell(*await c.borrow(1))
    assert await house.quarantined() == ["liar"]
    population = list(house.master.registry.named("pong").algorithm.population())
    assert {member.genome.id for member in population} == honest
    assert (await house.look()).best_fitness == max(map(truth, honest))
    again = {c.individual(lease) for lease in await c.play(20)}
    assert lied <= again
    population = list(house.master.registry.named("pong").algorithm.population())
    assert {member.genome.id for member in population} == honest | again
    assert all(member.fitness == truth(member.genome.id) for member in population)


async def test_what_others_confirmed_of_it_stays(house: House) -> None:
    turncoat, b, c = [await house.worker(name) for name in ("turncoat", "b", "c")]
    true = {turncoat.individual(lease) for lease in await turncoat.play(3)}
    await b.play(3)
    turncoat.lie = LIE
    await turncoat.play(1)
    await b.play(1)
    await c.play(1)
    assert await house.quarantined() == ["turncoat"]
    population = house.master.registry.named("pong").algorithm.population()
    assert {member.genome.id for member in population} == true


async def test_who_checks_wrongly_is_wrong_too(house: House) -> None:
    a, liar, c = await house.worker("a"), await house.worker("liar", LIE), await house.worker("c")
    await a.play(1)
    await liar.play(1)
    await c.play(1)
    assert await house.quarantined() == ["liar"]
    assert (await house.checks()).differed == 1
    assert (await house.look()).population == 1


async def test_what_it_still_holds_is_taken_from_it(house: House) -> None:
    liar, b, c = [await house.worker("liar", LIE), await house.worker("b"), await house.worker("c")]
    lie, *held = await liar.borrow(3)
    await liar.tell(lie)
    await b.play(1)
    await c.play(1)
    revoked = (await liar.hear("revocation")).revocation.leases
    assert [key.ticket for key in revoked] == [lease.key.ticket for lease in held]
    assert await liar.tell(*held) == ["UNKNOWN", "UNKNOWN"]
    assert {lease.key.ticket for lease in await b.borrow(2)} == {lease.key.ticket for lease in held}


async def test_quarantine_lasts_over_restarts_until_an_operator_ends_it(serve: Serve) -> None:
    async with serve() as house:
        await house.create(PONG)
        await found_out(house)
    async with serve() as house:
        assert await house.quarantined() == ["liar"]
        liar = await house.worker("liar")
        assert (await liar.hear("quarantine")).quarantine.reason.startswith("worker liar is wrong")
        await house.release("liar")
        assert (await liar.hear("quarantine")).quarantine.reason == ""
        assert len(await liar.play(2)) == 2
        with pytest.raises(
            aio.AioRpcError, match="worker_id is 'liar'; workers in quarantine: none"
        ) as error:
            await house.release("liar")
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
    async with serve() as house:
        assert await house.quarantined() == []
        assert (await house.look()).population == 2


async def test_quarantine_outlives_the_experiment_in_which_it_began(serve: Serve) -> None:
    async with serve() as house:
        await house.create(PONG)
        await found_out(house)
        await house.create(SPHERE)
        await house.people.StopExperiment(pb.StopExperimentRequest(name="pong"))
        await house.people.DeleteExperiment(pb.DeleteExperimentRequest(name="pong"))
    async with serve() as house:
        assert await house.quarantined() == ["liar"]


async def test_what_is_over_stays_as_it_is_and_is_cleaned_if_it_goes_on(house: House) -> None:
    await house.people.PauseExperiment(pb.PauseExperimentRequest(name="pong"))
    await house.create(SPHERE)
    liar = await house.worker("liar", LIE)
    await liar.play(3)
    await house.people.StopExperiment(pb.StopExperimentRequest(name="sphere"))
    await house.people.ResumeExperiment(pb.ResumeExperimentRequest(name="pong"))
    b, c = await house.worker("b"), await house.worker("c")
    await liar.play(1)
    await b.play(1)
    await c.play(1)
    assert await house.quarantined() == ["liar"]
    assert (await house.look("sphere")).population == 3
    await house.people.ExtendExperiment(pb.ExtendExperimentRequest(name="sphere"))
    assert (await house.look("sphere")).population == 0


async def test_what_it_told_other_experiments_is_doubted_as_well(house: House) -> None:
    await house.people.PauseExperiment(pb.PauseExperimentRequest(name="pong"))
    await house.create(SPHERE)
    liar = await house.worker("liar", LIE)
    await liar.play(3)
    await house.people.PauseExperiment(pb.PauseExperimentRequest(name="sphere"))
    await house.people.ResumeExperiment(pb.ResumeExperimentRequest(name="pong"))
    b, c = await house.worker("b"), await house.worker("c")
    await liar.play(1)
    await b.play(1)
    await c.play(1)
    assert (await house.look("sphere")).population == 0


async def test_in_floating_point_a_difference_is_counted_and_nobody_is_wrong(serve: Serve) -> None:
    async with serve(metrics_port=0) as house:
        await house.create(SPHERE)
        a, b = await house.worker("a"), await house.worker("b", LIE)
        await a.play(2)
        await b.play(2)
        assert await house.checks("sphere") == pb.Verification(differed=2, frames=800)
        assert await house.quarantined() == []
        text = await asyncio.to_thread(_fetch, f"http://{house.master.metrics_address}/metrics")
    assert 'germline_verifications_total{outcome="differed"} 2.0' in text
    assert 'germline_verifications_total{outcome="agreed"} 0.0' in text


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url) as response:  # noqa: S310 - our own server
        return str(response.read(), "utf-8")


async def test_a_check_whose_worker_leaves_goes_on_with_another(house: House) -> None:
    a, b, c = [await house.worker(name) for name in "abc"]
    await a.play(1)
    (check,) = await b.borrow(1)
    await b.leave()
    (again,) = await c.borrow(1)
    assert again.key.ticket == check.key.ticket
    await c.tell(again)
    assert (await house.checks()).agreed == 1


async def test_a_check_from_before_a_restart_is_taken_back(serve: Serve) -> None:
    async with serve() as house:
        await house.create(PONG)
        a, b = await house.worker("a"), await house.worker("b")
        await a.play(1)
        (check,) = await b.borrow(1)
    async with serve() as house:
        b = Worker(house.channel, "b")
        house.workers.append(b)
        await b.say(
            hello=worker_pb2.Hello(
                worker_id="b", noise_version=noise.VERSION, noise_digest=noise.self_test_digest(),
                slots=4, held=[check.key],
            )
        )  # fmt: skip
        assert list((await b.hear("revocation")).revocation.leases) == [check.key]


async def test_people_are_told_plainly_when_nothing_is_checked(house: House) -> None:
    a = await house.worker("a")
    await a.play(2)
    assert (await house.checks()).note == "nothing is checked while only one worker plays it"
    b = await house.worker("b", LIE)
    assert (await house.checks()).note == ""
    await b.play(2)
    note = "2 results are in dispute between two workers, and a third one must decide"
    assert (await house.checks()).note == note
    await house.create(SPHERE.replace("verify_share = 1.0", "verify_share = 0.0"))
    assert (await house.checks("sphere")).note == "nothing is checked: evaluation.verify_share is 0"
    await house.create(SPHERE.replace(GA, "[algorithm.eggroll]\npairs = 4\n").replace('"sphere"', '"es"'))
    note = "nothing is checked: slices of an epoch are not played again"
    assert (await house.checks("es")).note == note


async def test_an_experiment_says_so_when_all_its_workers_are_in_quarantine(house: House) -> None:
    _, b, c = await found_out(house)
    for worker in (b, c):
        await worker.leave()
    assert (await house.look()).trouble == "all 1 workers are in quarantine; `germline workers` says why"


def test_the_share_of_results_that_are_checked_is_part_of_the_spec() -> None:
    assert loads(PONG.replace("verify_share = 1.0", "")).evaluation.verify_share == 0.01
    assert isinstance(loads(PONG), spec_pb2.ExperimentSpec)
