"""The worker's stream over real gRPC to a real master with a real store; only the clock is ours."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc import aio

from germline import noise
from germline.genome import Genome, Mutation, format_id
from germline.limits import MAX_MESSAGE_BYTES
from germline.normalisation import digest_in
from germline.observed import Observed, is_observed
from germline.spec import loads
from germline.spec.normalised import read_versions
from germline.spec.travelling import for_workers
from germline.v1 import experiment_pb2, spec_pb2, worker_pb2
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub
from germline.v1.worker_pb2_grpc import WorkerServiceStub
from master.config import MasterConfig
from master.server import Master

PATIENCE_S = 20.0
HEARTBEAT_S = 10.0
LEASE_S = 600.0

Call = aio.StreamStreamCall[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]
Kind = worker_pb2.RefusalCode


def spec_of(name: str = "one", stop: str = "", **settings: object) -> spec_pb2.ExperimentSpec:
    ga = "\n".join(f"{key} = {value}" for key, value in settings.items())
    return loads(f"""
name = "{name}"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[evaluation]
lease_s = {LEASE_S}
episodes = 2
[algorithm.ga]
window = 20
parents = 4
{ga}
[stop]
{stop}
""")


CAPPED = loads("""
name = "one"
[task.gym]
id = "CartPole-v1"
[policy]
name = "mlp"
[evaluation]
cap_frames = 50
max_attempts = 1
[algorithm.ga]
window = 3
parents = 1
candidates = 1
validation_episodes = 2
validation_share = 0.5
""")
NORMALISED = loads("""
name = "one"
[task.gym]
id = "CartPole-v1"
[policy]
name = "mlp"
normalise_observations = true
[algorithm.ga]
window = 6
parents = 2
candidates = 0
""")
SEEN = Observed(2, np.array([3.0, 1.0]), np.array([5.0, 1.0])).pack()
EGGROLL = loads("""
name = "es"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.eggroll]
pairs = 30
slice_pairs = 1
validation_epochs = 1
validation_episodes = 5
""")


def _returns_of(lease: worker_pb2.Lease) -> int:
    return len(lease.episode_seeds) * (2 if lease.slice.pairs else 1)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Worker:
    """A worker that plays nothing: it says what the test wants to be said."""

    def __init__(self, call: Call, name: str) -> None:
        self.call = call
        self.name = name
        self.genomes: dict[int, Genome] = {}
        self.sequence = 0
        self.skipped = {"introduction"}
        self.introduced: Sequence[spec_pb2.NormalisationVersion] = ()
        self.heard_kinds: list[str | None] = []

    async def say(self, **message: object) -> None:
        await self.call.write(worker_pb2.WorkerMessage(**message))  # type: ignore[arg-type]

    async def hello(self, **fields: object) -> worker_pb2.Welcome:
        await self.say(hello=hello(self.name, **fields))
        return (await self.hear("welcome")).welcome

    async def hear(self, kind: str) -> worker_pb2.MasterMessage:
        """The next message of this kind; every other one must be of a kind to skip."""
        while True:
            async with asyncio.timeout(PATIENCE_S):
                message = await self.call.read()
            assert isinstance(message, worker_pb2.MasterMessage), await self.ending()
            heard = message.WhichOneof("kind")
            self.heard_kinds.append(heard)
            if heard == "introduction":
                self.introduced = message.introduction.normalisations
            if heard == kind:
                return message
            assert heard in self.skipped, message

    async def borrow(self, evaluations: int) -> list[worker_pb2.Lease]:
        await self.say(credit=worker_pb2.Credit(evaluations=evaluations))
        leases: list[worker_pb2.Lease] = []
        while len(leases) < evaluations:
            message = (await self.hear("leases")).leases
            for known in message.known:
                self.genomes[known.id] = Genome.decode(known.encoded)
            leases += message.leases
        return leases

    async def tell(self, *results: worker_pb2.Result) -> worker_pb2.Acknowledgement:
        self.sequence += 1
        await self.say(results=worker_pb2.Results(sequence=self.sequence, results=results))
        acknowledgement = (await self.hear("acknowledgement")).acknowledgement
        assert acknowledgement.sequence == self.sequence
        return acknowledgement

    async def refused(self, result: worker_pb2.Result) -> tuple[str, str]:
        """Tell one result that must be refused; give its code and sentence."""
        (refusal,) = (await self.tell(result)).refused
        assert refusal.lease == result.lease
        return Kind.Name(refusal.code).removeprefix("REFUSAL_CODE_"), refusal.message

    async def ending(self) -> tuple[grpc.StatusCode, str]:
        async with asyncio.timeout(PATIENCE_S):
            return await self.call.code(), str(await self.call.details())

    def genome_of(self, lease: worker_pb2.Lease) -> Genome:
        genome = self.genomes[lease.genome]
        step = lease.mutation
        return (
            genome.child(Mutation(step.seed, step.power, step.rank)) if lease.HasField("mutation") else genome
        )


def hello(name: str, **fields: object) -> worker_pb2.Hello:
    default: dict[str, object] = {
        "worker_id": name,
        "version": "test",
        "noise_version": noise.VERSION,
        "noise_digest": noise.self_test_digest(),
        "device": "cpu",
        "slots": 4,
        "libraries": {"torch": "2.13.0"},
    }
    return worker_pb2.Hello(**(default | fields))  # type: ignore[arg-type]


def played(
    lease: worker_pb2.Lease, fitness: float = 1.0, returns: Sequence[float] | None = None
) -> worker_pb2.Result:
    told = [fitness] * len(lease.episode_seeds) if returns is None else returns
    return worker_pb2.Result(lease=lease.key, returns=told, frames=400, steps=100)


class House:
    """A master, and whoever talks to it."""

    def __init__(self, master: Master, channel: aio.Channel, clock: Clock) -> None:
        self.master = master
        self.clock = clock
        self.channel = channel
        self.people = ExperimentServiceStub(channel)
        self._calls: list[Call] = []

    def worker(self, name: str = "w", metadata: tuple[tuple[str, str], ...] = ()) -> Worker:
        call = WorkerServiceStub(self.channel).Work(metadata=metadata)
        self._calls.append(call)
        return Worker(call, name)

    async def greeted(self, name: str = "w", **fields: object) -> Worker:
        worker = self.worker(name)
        await worker.hello(**fields)
        return worker

    async def create(self, spec: spec_pb2.ExperimentSpec | None = None) -> experiment_pb2.Experiment:
        request = experiment_pb2.CreateExperimentRequest(spec=spec or spec_of())
        return (await self.people.CreateExperiment(request)).experiment

    async def look(self, name: str = "one") -> experiment_pb2.Experiment:
        return (await self.people.GetExperiment(experiment_pb2.GetExperimentRequest(name=name))).experiment

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.master.dispatcher.tick()

    def hang_up(self) -> None:
        for call in self._calls:
            call.cancel()


Serve = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def serve(**settings: object) -> AsyncIterator[House]:
        default: dict[str, object] = {
            "listen": "localhost:0",
            "metrics_port": -1,
            "store_folder": tmp_path / "store",
            "heartbeat_s": HEARTBEAT_S,
        }
        clock = Clock()
        config = MasterConfig(**(default | settings))  # type: ignore[arg-type]
        async with (
            Master.serving(config, clock) as master,
            aio.insecure_channel(master.address) as channel,
        ):
            house = House(master, channel, clock)
            yield house
            house.hang_up()

    return serve


@pytest.fixture
async def house(serve: Serve) -> AsyncIterator[House]:
    async with serve() as house:
        await house.create()
        yield house


# Greeting


async def test_a_worker_is_welcomed_with_the_terms(house: House) -> None:
    welcome = await house.worker().hello()
    assert welcome.heartbeat_s == HEARTBEAT_S
    assert len(welcome.master_id) == 16


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"noise_version": 99}, "hello.noise_version is 99"),
        ({"noise_digest": "beef"}, "hello.noise_digest is 'beef'"),
        ({"worker_id": ""}, "hello.worker_id is ''; allowed: 1 to 64 letters"),
        ({"worker_id": "a/b"}, "hello.worker_id is 'a/b'"),
        ({"slots": 0}, "hello.slots is 0; allowed: 1 to"),
        ({"slots": 2**32 - 1}, "hello.slots is 4294967295"),
        ({"device": "x" * 101}, "hello.device has 101 letters; allowed: up to 100"),
        ({"libraries": {"torch": "x" * 10_000}}, "hello.libraries has 10000 letters"),
        (
            {"libraries": {str(n): "1" for n in range(17)}},
            "hello.libraries has 17 entries; allowed: up to 16",
        ),
    ],
)
async def test_a_worker_that_does_not_fit_is_told_why(
    house: House, fields: dict[str, object], problem: str
) -> None:
    worker = house.worker()
    await worker.say(hello=hello("w", **fields))
    code, sentence = await worker.ending()
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert problem in sentence


async def test_a_stream_must_begin_with_hello(house: House) -> None:
    worker = house.worker()
    await worker.say(credit=worker_pb2.Credit(evaluations=1))
    assert await worker.ending() == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "the stream begins with credit; its first message must be hello",
    )


async def test_a_stream_that_says_nothing_ends_with_a_sentence(house: House) -> None:
    worker = house.worker()
    await worker.call.done_writing()
    code, sentence = await worker.ending()
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "ended before its first message" in sentence


async def test_a_second_hello_ends_the_stream(house: House) -> None:
    worker = await house.greeted()
    await worker.say(hello=hello("w"))
    assert (await worker.ending())[0] is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_message_of_no_known_kind_is_passed_over(house: House) -> None:
    worker = await house.greeted()
    await worker.call.write(worker_pb2.WorkerMessage())
    assert len(await worker.borrow(1)) == 1


async def test_a_newer_stream_of_a_worker_replaces_the_older(house: House) -> None:
    older = await house.greeted()
    newer = await house.greeted()
    assert (await older.ending())[0] is grpc.StatusCode.ALREADY_EXISTS
    assert len(await newer.borrow(2)) == 2


async def test_a_worker_whose_earlier_hello_comes_late_is_not_sent_away_for_good(house: House) -> None:
    living = await house.greeted(process="p")
    await house.greeted(process="p")  # a stream that it has long given up, but that a network held
    code, sentence = await living.ending()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "open a new one if you are still here" in sentence


# Lending


async def test_credit_is_filled_and_not_exceeded(house: House) -> None:
    worker = await house.greeted()
    leases = await worker.borrow(5) + await worker.borrow(3)
    assert [lease.key.ticket for lease in leases] == list(range(8))
    assert {len(lease.episode_seeds) for lease in leases} == {2}
    assert {lease.lease_s for lease in leases} == {LEASE_S}
    assert (await house.look()).leased == 8


async def test_an_experiment_is_introduced_once_before_its_first_lease(house: House) -> None:
    worker = await house.greeted()
    await worker.say(credit=worker_pb2.Credit(evaluations=1))
    introduction = await worker.call.read()
    assert isinstance(introduction, worker_pb2.MasterMessage)
    assert introduction.introduction.spec == for_workers(spec_of())
    await worker.hear("leases")
    await worker.say(credit=worker_pb2.Credit(evaluations=1))
    second = await worker.call.read()
    assert isinstance(second, worker_pb2.MasterMessage)
    assert second.WhichOneof("kind") == "leases"


async def test_under_a_cap_new_individuals_are_cut_and_candidates_are_not(serve: Serve) -> None:
    async with serve() as house:
        await house.create(CAPPED)
        worker, caps = await house.greeted(), list[int]()
        for _ in range(12):
            (lease,) = await worker.borrow(1)
            caps.append(lease.cap_frames)
            score, cut = (70.0, 1) if lease.cap_frames else (9.0, None)
            result = worker_pb2.Result(lease=lease.key, returns=[score], frames=50, steps=50, cut=cut)
            assert not (await worker.tell(result)).refused
        now = await house.look()
    assert set(caps) == {0, 50}
    assert (now.cap_frames, now.best_fitness, now.champion.validated_mean) == (50, 70.0, 9.0)
    assert list(now.fitness_quantiles) == [70.0] * 5


async def test_a_worker_that_knows_of_no_cap_plays_another_game_and_does_not_count(serve: Serve) -> None:
    async with serve() as house:
        await house.create(CAPPED)
        worker = await house.greeted()
        (lease,) = await worker.borrow(1)
        code, sentence = await worker.refused(played(lease))
        now = await house.look()
    assert (code, now.evaluations, now.failed) == ("FAILED", 0, 1)
    assert sentence == "cut is None; ticket 0 has a cap of 50 frames, allowed: 0 to 1, its episodes"


async def test_a_behaviour_counts_if_it_has_as_many_numbers_as_the_spec_asks_for(serve: Serve) -> None:
    spec = spec_of()
    spec.behaviour.descriptor, spec.behaviour.dimensions = "task", 2
    spec.behaviour.low.append(0.0)
    spec.behaviour.high.append(1.0)
    async with serve() as house:
        await house.create(spec)
        worker = await house.greeted()
        first, second = await worker.borrow(2)
        told = played(first)
        told.behaviour = bytes(4)
        assert not (await worker.tell(told)).refused
        code, sentence = await worker.refused(played(second))
        assert (await house.look()).evaluations == 1
    assert code == "WRONG_LENGTH"
    assert sentence == "behaviour has 0 bytes; the work has 1 x 2 whole numbers of 2 bytes"


async def test_a_version_of_the_normalisation_comes_before_the_first_lease_that_is_played_under_it(
    serve: Serve,
) -> None:
    async with serve() as house:
        await house.create(NORMALISED)
        worker = await house.greeted()
        marks = 0
        for _ in range(30):
            (lease,) = await worker.borrow(1)
            named = digest_in(worker.genome_of(lease))
            known = [version.numbers.digest for version in read_versions(worker.introduced)]
            assert named is None or named in known
            marks += named is not None
            told = played(lease)
            told.observed = SEEN if is_observed(lease.key.ticket) else b""
            assert not (await worker.tell(told)).refused
        assert marks
        assert (await house.look()).normalisations == worker.introduced
        late = await house.greeted("late")
        await late.borrow(1)
        assert late.introduced == worker.introduced


async def test_an_experiment_that_normalises_comes_back_with_the_same_numbers(serve: Serve) -> None:
    async with serve() as house:
        await house.create(NORMALISED)
        worker = await house.greeted()
        for lease in await worker.borrow(12):
            told = played(lease)
            told.observed = SEEN if is_observed(lease.key.ticket) else b""
            await worker.tell(told)
        before = (await house.look()).normalisations
        assert len(before) == 1
    async with serve() as house:
        assert (await house.look()).normalisations == before


async def test_every_lease_refers_to_a_genome_that_the_stream_knows(house: House) -> None:
    worker = await house.greeted()
    individuals: set[int] = set()
    for turn in range(30):
        leases = await worker.borrow(8)
        individuals |= {worker.genome_of(lease).id for lease in leases}
        await worker.tell(*(played(lease, turn) for lease in leases))
    longest = max(worker.genomes.values(), key=len)
    assert len(longest) >= 3
    assert len(individuals) > 150


async def test_credit_waits_for_an_experiment(serve: Serve) -> None:
    async with serve() as house:
        worker = await house.greeted()
        await worker.say(credit=worker_pb2.Credit(evaluations=3))
        await house.create()
        assert len((await worker.hear("leases")).leases.leases) == 3


async def test_an_absurd_credit_is_bounded(house: House) -> None:
    worker = await house.greeted()
    await worker.say(credit=worker_pb2.Credit(evaluations=2**32 - 1))
    await worker.hear("leases")
    assert (await house.look()).leased == 65_536


async def test_credit_that_is_given_again_and_again_is_bounded_too(house: House) -> None:
    worker = await house.greeted()
    for _ in range(6):
        await worker.say(credit=worker_pb2.Credit(evaluations=2**32 - 1))
    worker.skipped |= {"leases"}
    await worker.tell()
    assert (await house.look()).leased == 65_536


async def test_leases_that_were_told_make_room_for_others(house: House) -> None:
    worker = await house.greeted()
    house.master.dispatcher.fleet.find("w").held = 65_530  # type: ignore[union-attr]
    assert len(await worker.borrow(8)) == 8
    await worker.tell(*map(played, await worker.borrow(4)))
    assert house.master.dispatcher.fleet.find("w").held == 8  # type: ignore[union-attr]


async def test_two_experiments_share_the_fleet_by_their_shares(house: House) -> None:
    greedy = spec_of("two")
    greedy.share = 3
    await house.create(greedy)
    worker = await house.greeted()
    leases = await worker.borrow(40)
    assert sum(lease.key.experiment == 2 for lease in leases) == 30


async def test_a_paused_experiment_lends_nothing_and_takes_what_is_out(house: House) -> None:
    worker = await house.greeted()
    (lease,) = await worker.borrow(1)
    await house.people.PauseExperiment(experiment_pb2.PauseExperimentRequest(name="one"))
    await worker.say(credit=worker_pb2.Credit(evaluations=1))
    assert not (await worker.tell(played(lease))).refused
    now = await house.look()
    assert (now.state, now.leased, now.evaluations) == (experiment_pb2.EXPERIMENT_STATE_PAUSED, 0, 1)
    await house.people.ResumeExperiment(experiment_pb2.ResumeExperimentRequest(name="one"))
    await worker.hear("leases")


async def test_a_stopped_experiment_revokes_its_leases(house: House) -> None:
    worker = await house.greeted()
    leases = await worker.borrow(2)
    await house.people.StopExperiment(experiment_pb2.StopExperimentRequest(name="one"))
    revoked = (await worker.hear("revocation")).revocation.leases
    assert list(revoked) == [lease.key for lease in leases]
    assert await worker.refused(played(leases[0])) == ("CLOSED", "experiment one is stopped")


@pytest.mark.parametrize("stop", ["evaluations = 5", "frames = 2000"])
async def test_an_experiment_is_complete_at_exactly_its_number_of_evaluations_or_frames(
    serve: Serve, stop: str
) -> None:
    async with serve() as house:
        await house.create(spec_of(stop=stop))
        worker = await house.greeted()
        leases = await worker.borrow(8)
        worker.skipped.add("revocation")
        refused = (await worker.tell(*map(played, leases))).refused
        assert [refusal.code for refusal in refused] == [worker_pb2.REFUSAL_CODE_CLOSED] * 3
        now = await house.look()
        assert (now.evaluations, now.frames) == (5, 2000)
        assert now.state == experiment_pb2.EXPERIMENT_STATE_COMPLETE


@pytest.mark.parametrize("stop", ["frames = 1200", "fitness = 2.5"])
async def test_an_experiment_is_complete_as_soon_as_a_condition_holds(serve: Serve, stop: str) -> None:
    async with serve() as house:
        await house.create(spec_of(stop=stop, candidates=2, validation_episodes=4))
        worker = await house.greeted()
        for fitness in range(40):
            leases = await worker.borrow(1)
            await worker.tell(played(leases[0], fitness))
            if (await house.look()).state == experiment_pb2.EXPERIMENT_STATE_COMPLETE:
                return
        pytest.fail(f"never complete: {await house.look()}")


async def test_an_experiment_is_complete_when_its_time_is_up(serve: Serve) -> None:
    async with serve() as house:
        await house.create(spec_of(stop="seconds = 60.0"))
        await house.pass_time(600.0)  # nobody plays
        await (await house.greeted()).borrow(1)
        await house.pass_time(59.0)
        assert (await house.look()).state == experiment_pb2.EXPERIMENT_STATE_RUNNING
        await house.pass_time(1.0)
        await house.master.journal.durable()
        assert (await house.look()).state == experiment_pb2.EXPERIMENT_STATE_COMPLETE


# Telling


async def test_a_result_counts_and_is_acknowledged(house: House) -> None:
    worker = await house.greeted()
    (lease,) = await worker.borrow(1)
    assert not (await worker.tell(played(lease, 2.5))).refused
    now = await house.look()
    assert (now.evaluations, now.episodes, now.frames, now.steps) == (1, 2, 400, 100)
    assert (now.best_fitness, now.population) == (2.5, 1)


async def test_a_result_told_twice_counts_once(house: House) -> None:
    worker = await house.greeted()
    (lease,) = await worker.borrow(1)
    await worker.tell(played(lease))
    code, _ = await worker.refused(played(lease))
    assert code == "ALREADY_TOLD"
    twice = [played(again) for again in await worker.borrow(1)] * 2
    assert len((await worker.tell(*twice)).refused) == 1
    assert (await house.look()).evaluations == 2


@pytest.mark.parametrize(
    ("returns", "code", "sentence"),
    [
        ([1.0], "WRONG_LENGTH", "returns has 1 values; the lease has 2 episode seeds"),
        ([], "WRONG_LENGTH", "returns has 0 values"),
        ([1.0, math.nan], "NOT_FINITE", "every return must be finite"),
        ([math.inf, 1.0], "NOT_FINITE", "every return must be finite"),
        ([math.inf, -math.inf], "NOT_FINITE", "every return must be finite"),
        ([1e308, 1e308], "OUT_OF_RANGE", "returns[0] is 1e+308; allowed: -1e+30 to 1e+30"),
        ([0.0, -1e200], "OUT_OF_RANGE", "returns[1] is -1e+200; allowed: -1e+30 to 1e+30"),
    ],
)
async def test_a_result_that_cannot_be_is_refused_and_its_work_lent_again(
    house: House, returns: list[float], code: str, sentence: str
) -> None:
    worker = await house.greeted()
    (lease,) = await worker.borrow(1)
    refusal = await worker.refused(played(lease, returns=returns))
    assert refusal[0] == code
    assert sentence in refusal[1]
    (again,) = await worker.borrow(1)
    assert again.key.ticket == lease.key.ticket
    assert again.key.attempt > lease.key.attempt
    assert not (await worker.tell(played(again))).refused


async def test_work_that_never_gives_a_number_does_not_fill_the_fleet(house: House) -> None:
    worker = await house.greeted()
    tickets = []
    for _ in range(4):
        (lease,) = await worker.borrow(1)
        tickets.append(lease.key.ticket)
        await worker.refused(played(lease, math.nan))
    assert tickets == [0, 0, 0, 1]


@pytest.mark.parametrize("field", ["frames", "steps"])
async def test_absurd_numbers_of_frames_are_refused_by_name(house: House, field: str) -> None:
    worker = await house.greeted()
    (lease,) = await worker.borrow(1)
    result = played(lease)
    setattr(result, field, 2**64 - 1)
    assert await worker.refused(result) == (
        "OUT_OF_RANGE", f"{field} is {2**64 - 1:,}; allowed: 0 to 1,000,000,000,000"
    )  # fmt: skip
    assert (await house.look()).frames == 0


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ({"experiment": 9}, "UNKNOWN"),
        ({"ticket": 10**6}, "UNKNOWN"),
        ({"attempt": 10**6}, "UNKNOWN"),
        ({"attempt": 0}, "UNKNOWN"),
    ],
)
async def test_a_lease_that_never_was_is_refused_by_name(
    house: House, key: dict[str, int], code: str
) -> None:
    worker = await house.greeted()
    (lease,) = await worker.borrow(1)
    right = {"experiment": 1, "ticket": lease.key.ticket, "attempt": lease.key.attempt}
    wrong = played(lease)
    wrong.lease.CopyFrom(worker_pb2.LeaseKey(**(right | key)))
    assert (await worker.refused(wrong))[0] == code
    assert not (await worker.tell(played(lease))).refused


async def test_a_foreign_result_is_refused_and_the_rightful_one_counts(house: House) -> None:
    holder, thief = await house.greeted("holder"), await house.greeted("thief")
    (lease,) = await holder.borrow(1)
    code, sentence = await thief.refused(played(lease, 1e9))
    assert code == "FOREIGN"
    assert "was lent to holder, not to thief" in sentence
    assert not (await holder.tell(played(lease))).refused


async def test_a_worker_is_known_by_the_slots_that_it_has_by_now(house: House) -> None:
    worker = await house.greeted("w", slots=2)
    fleet = house.master.dispatcher.fleet
    for said, known in ((32, 32), (0, 32), (4, 4)):
        await worker.say(heartbeat=worker_pb2.Heartbeat(slots=said))
        await worker.tell()
        assert [session.slots for session in fleet] == [fleet.slots] == [known]
    await worker.say(heartbeat=worker_pb2.Heartbeat(slots=2**31))
    code, sentence = await worker.ending()
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "heartbeat.slots is 2147483648; allowed: 1 to" in sentence


async def test_a_late_result_counts_and_the_new_holder_is_told_to_stop(house: House) -> None:
    late, second = await house.greeted("late"), await house.greeted("second")
    (lease,) = await late.borrow(1)
    await late.say(heartbeat=worker_pb2.Heartbeat())
    await second.say(heartbeat=worker_pb2.Heartbeat())
    for _ in range(61):  # both stay alive for longer than the lease lasts
        house.clock.now += LEASE_S / 60
        for worker in (late, second):
            await worker.tell()
    house.master.dispatcher.tick()
    (again,) = await second.borrow(1)
    assert again.key.ticket == lease.key.ticket
    assert not (await late.tell(played(lease))).refused
    assert list((await second.hear("revocation")).revocation.leases) == [again.key]
    assert (await second.refused(played(again)))[0] == "ALREADY_TOLD"
    assert (await house.look()).evaluations == 1


async def test_a_message_over_the_limit_ends_its_stream_and_nothing_else(house: House) -> None:
    worker, other = await house.greeted("big"), await house.greeted("other")
    await worker.say(goodbye=worker_pb2.Goodbye(reason="x" * (MAX_MESSAGE_BYTES + 1)))
    code, sentence = await worker.ending()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(MAX_MESSAGE_BYTES) in sentence
    assert len(await other.borrow(1)) == 1


# Coming and going


async def test_goodbye_gives_leases_to_others_at_once(house: House) -> None:
    first, second = await house.greeted("first"), await house.greeted("second")
    leases = await first.borrow(2)
    await first.say(goodbye=worker_pb2.Goodbye(reason="spot", returned=[lease.key for lease in leases]))
    await first.call.done_writing()
    assert (await first.ending())[0] is grpc.StatusCode.OK
    again = await second.borrow(2)
    assert [lease.key.ticket for lease in again] == [lease.key.ticket for lease in leases]
    assert {lease.key.attempt - 1 for lease in again} == {lease.key.attempt for lease in leases}


async def test_what_was_told_before_goodbye_is_acknowledged(house: House) -> None:
    worker = await house.greeted()
    (lease,) = await worker.borrow(1)
    await worker.say(results=worker_pb2.Results(sequence=1, results=[played(lease)]))
    await worker.say(goodbye=worker_pb2.Goodbye(reason="done"))
    await worker.call.done_writing()
    assert (await worker.hear("acknowledgement")).acknowledgement.sequence == 1
    assert (await worker.ending())[0] is grpc.StatusCode.OK


async def test_a_worker_that_comes_back_keeps_what_it_holds(house: House) -> None:
    worker = await house.greeted()
    held, lost = await worker.borrow(2)
    worker.call.cancel()
    back = await house.greeted(held=[held.key])
    await house.pass_time(HEARTBEAT_S)
    (again,) = await back.borrow(1)
    assert again.key.ticket == lost.key.ticket  # what it does not hold goes to whoever asks
    assert not (await back.tell(played(held))).refused


async def test_a_worker_that_comes_back_too_late_is_told_what_it_lost(house: House) -> None:
    worker = await house.greeted("away")
    (lease,) = await worker.borrow(1)
    worker.call.cancel()
    await _until(lambda: len(house.master.dispatcher.fleet) == 0)
    await house.pass_time(3 * HEARTBEAT_S + 1)
    other = await house.greeted("other")
    (again,) = await other.borrow(1)
    assert again.key.ticket == lease.key.ticket
    back = await house.greeted("away", held=[lease.key])
    assert list((await back.hear("revocation")).revocation.leases) == [lease.key]


async def test_a_worker_that_falls_silent_loses_its_stream_and_its_leases(house: House) -> None:
    silent = await house.greeted("silent")
    (lease,) = await silent.borrow(1)
    await house.pass_time(3 * HEARTBEAT_S + 1)
    assert (await silent.ending())[0] is grpc.StatusCode.UNAVAILABLE
    await house.pass_time(3 * HEARTBEAT_S + 1)
    other = await house.greeted("other")
    (again,) = await other.borrow(1)
    assert again.key.ticket == lease.key.ticket


@pytest.mark.parametrize("size", [1e20, 4e28])
async def test_huge_scores_count_and_cost_nobody_a_stream(house: House, size: float) -> None:
    await house.create(EGGROLL)
    worker = await house.greeted()
    await worker.say(credit=worker_pb2.Credit(evaluations=60))
    leases = [lease for _ in range(2) for lease in (await worker.hear("leases")).leases.leases]
    worker.skipped |= {"leases"}
    told = [played(lease, returns=[-size * (1 + n) for n in range(_returns_of(lease))]) for lease in leases]
    assert not (await worker.tell(*told)).refused
    assert all([(await house.look(name)).evaluations > 20 for name in ("one", "es")])
    assert (await house.look("es")).champion.validated_mean == pytest.approx(-size * 10.5)


async def test_a_worker_whose_results_do_not_count_is_not_written_down(house: House) -> None:
    worker = await house.greeted("w", device="cpu")
    (lease,) = await worker.borrow(1)
    stranger = await house.greeted("stranger")
    assert (await stranger.refused(played(lease)))[0] == "FOREIGN"
    await house.people.StopExperiment(experiment_pb2.StopExperimentRequest(name="one"))
    worker.skipped |= {"revocation"}
    assert (await worker.refused(played(lease)))[0] == "CLOSED"
    assert house.master.registry.named("one").workers == {}


async def test_an_idle_worker_is_told_of_no_experiment_that_has_nothing_for_it(serve: Serve) -> None:
    async with serve() as house:
        await house.create(EGGROLL)
        busy = await house.greeted("busy")
        await busy.say(credit=worker_pb2.Credit(evaluations=1_000))
        await busy.hear("leases")
        busy_held = house.master.registry.named("es").pending_work.leases
        idle = await house.greeted("idle")
        await idle.say(credit=worker_pb2.Credit(evaluations=1_000))
        await idle.hear("leases")  # the tail's work, a second time
        bystander = await house.greeted("bystander")
        await bystander.say(credit=worker_pb2.Credit(evaluations=1_000))
        await bystander.tell()
        assert len(busy_held) == 31
        assert "introduction" not in bystander.heard_kinds


async def test_work_of_another_store_counts_for_nothing_here(house: House) -> None:
    worker = await house.greeted()
    (lease, other) = await worker.borrow(2)
    assert lease.key.identity == house.master.registry.named("one").identity
    foreign = worker_pb2.LeaseKey()
    foreign.CopyFrom(lease.key)
    foreign.identity ^= 1
    code, sentence = await worker.refused(worker_pb2.Result(lease=foreign, returns=[1.0, 1.0]))
    assert code == "UNKNOWN"
    assert f"lease.experiment is 1, identity {foreign.identity:016x}; no such experiment" in sentence
    rejection = worker_pb2.Rejection(experiment=1, identity=foreign.identity, reason="no such plug-in")
    await worker.say(rejection=rejection)
    assert not (await worker.tell(played(lease))).refused
    assert len(await worker.borrow(1)) == 1
    back = await house.greeted(held=[foreign, other.key])
    assert list((await back.hear("revocation")).revocation.leases) == [foreign]


async def test_a_worker_of_an_earlier_build_says_no_identity_and_is_heard(house: House) -> None:
    worker = await house.greeted()
    (lease,) = await worker.borrow(1)
    lease.key.ClearField("identity")
    assert not (await worker.tell(played(lease))).refused


async def test_two_stores_give_their_experiments_different_identities_and_keep_them(
    serve: Serve, tmp_path: Path
) -> None:
    identities = []
    for folder in ("a", "b", "a"):
        async with serve(store_folder=tmp_path / folder) as house:
            await house.create()
            identities.append(house.master.registry.named("one").identity)
    assert identities[0] == identities[2] != identities[1]


async def test_a_worker_that_rejects_an_experiment_gets_no_more_of_it(house: House) -> None:
    worker = await house.greeted("picky")
    leases = await worker.borrow(2)
    await worker.say(rejection=worker_pb2.Rejection(experiment=1, reason="no such plug-in"))
    await worker.say(credit=worker_pb2.Credit(evaluations=1))
    await worker.tell()
    now = await house.look()
    assert now.leased == 0
    assert now.trouble == "none of 1 workers can play it; the last says: no such plug-in"
    assert now.unable == 1
    (seen,) = (await house.people.ListWorkers(experiment_pb2.ListWorkersRequest())).workers
    assert seen.trouble == "cannot play one: no such plug-in"
    able = await house.greeted("able")
    again = await able.borrow(2)
    assert [lease.key.ticket for lease in again] == [lease.key.ticket for lease in leases]
    assert (await house.look()).trouble == ""


async def test_a_draining_master_takes_results_and_lends_nothing(house: House) -> None:
    worker = await house.greeted()
    (lease,) = await worker.borrow(1)
    drain = asyncio.create_task(house.master.drain("maintenance"))
    assert (await worker.hear("drain")).drain.reason == "maintenance"
    await worker.say(credit=worker_pb2.Credit(evaluations=1))
    assert not (await worker.tell(played(lease))).refused
    await drain
    assert (await worker.ending())[0] is grpc.StatusCode.OK
    assert (await house.look()).evaluations == 1


# Restarts


async def test_a_restart_loses_nothing_and_asks_the_same(serve: Serve) -> None:
    async with serve() as house:
        await house.create()
        worker = await house.greeted()
        for turn in range(10):
            leases = await worker.borrow(4)
            await worker.tell(*(played(lease, turn) for lease in leases))
        out = await worker.borrow(3)
        assert await house.master.journal.flush(PATIENCE_S)  # what was asked is kept
        before = await house.look()
    async with serve() as house:
        after = await house.look()
        assert (after.evaluations, after.frames, after.best_fitness) == (
            before.evaluations, before.frames, before.best_fitness,
        )  # fmt: skip
        assert list(after.fitness_quantiles) == list(before.fitness_quantiles)
        other = await house.greeted("other")
        again = await other.borrow(3)
        assert [lease.episode_seeds for lease in again] == [lease.episode_seeds for lease in out]
        assert [other.genome_of(lease) for lease in again] == [worker.genome_of(lease) for lease in out]
        late = await house.greeted("w")
        assert not (await late.tell(played(out[0]))).refused


async def test_a_worker_that_holds_leases_keeps_them_over_a_restart(serve: Serve) -> None:
    async with serve() as house:
        await house.create()
        before = await house.greeted()
        told, *out = await before.borrow(3)
        await before.tell(played(told))  # acknowledged: what was asked before it is kept, too
    async with serve() as house:
        worker = await house.greeted(held=[lease.key for lease in out])
        (fresh,) = await worker.borrow(1)
        assert fresh.key.ticket not in {lease.key.ticket for lease in out}
        assert not (await worker.tell(*map(played, out))).refused


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0)


async def test_what_a_worker_cannot_score_is_refused_and_another_tries_it(house: House) -> None:
    worker = await house.greeted("one")
    other = await house.greeted("other")
    (lease,) = await worker.borrow(1)
    failed = worker_pb2.Result(lease=lease.key, failure="ValueError:\n  no\tsuch thing")
    assert await worker.refused(failed) == ("FAILED", "ValueError: no such thing")
    assert lease.key.ticket not in [fresh.key.ticket for fresh in await worker.borrow(4)]
    (again,) = await other.borrow(1)
    assert again.key.ticket == lease.key.ticket
    assert not (await other.tell(played(again))).refused


async def test_an_individual_that_nobody_can_score_is_named_to_people(house: House) -> None:
    workers = [await house.greeted(name) for name in ("a", "b", "c")]
    for worker in workers:
        (lease,) = await worker.borrow(1)
        genome = worker.genome_of(lease)
        await worker.refused(worker_pb2.Result(lease=lease.key, failure="no licence"))
    now = await house.look()
    assert now.failed == 1
    (aside,) = now.set_aside
    assert (aside.attempts, aside.worker, aside.reason) == (3, "c", "no licence")
    assert aside.name == f"individual {format_id(genome.id)}"


async def test_what_a_process_held_that_died_is_played_by_a_worker_that_holds_nothing_else(
    house: House,
) -> None:
    worker = await house.greeted(process="first")
    held = {lease.key.ticket for lease in await worker.borrow(8)}
    worker.call.cancel()
    again = await house.greeted(process="second")
    await again.say(credit=worker_pb2.Credit(evaluations=20))
    trial = (await again.hear("leases")).leases.leases
    assert len(trial) == 4  # its slots, and no more
    assert {lease.key.ticket for lease in trial} < held
    await again.tell(*map(played, trial))
    rest = (await again.hear("leases")).leases.leases
    assert {lease.key.ticket for lease in (*trial, *rest)} == held
    await again.tell(*map(played, rest))
    assert len((await again.hear("leases")).leases.leases) == 12


async def test_a_busy_worker_is_emptied_to_play_what_another_was_lost_with(house: House) -> None:
    busy, others = await house.greeted("busy"), await house.greeted("others")
    lost = await house.greeted("lost", process="first")
    held, fresh = await busy.borrow(1), await others.borrow(1)
    suspected = (await lost.borrow(1))[0].key.ticket
    lost.call.cancel()
    again = await house.greeted("lost", process="second")
    await busy.say(credit=worker_pb2.Credit(evaluations=2))
    await busy.say(heartbeat=worker_pb2.Heartbeat())
    assert len(await others.borrow(1)) == 1  # one is emptied, not all
    await busy.tell(played(held[0]))
    (alone,) = (await busy.hear("leases")).leases.leases
    assert alone.key.ticket == suspected
    await busy.tell(played(alone))
    assert len((await busy.hear("leases")).leases.leases) == 1
    assert fresh
    assert again


async def test_what_a_process_that_lives_never_got_is_under_no_suspicion(house: House) -> None:
    worker = await house.greeted(process="first")
    held = {lease.key.ticket for lease in await worker.borrow(4)}
    worker.call.cancel()
    again = await house.greeted(process="first")
    assert {lease.key.ticket for lease in await again.borrow(4)} == held


async def test_a_worker_that_was_started_again_may_be_able_to_play_what_it_rejected(house: House) -> None:
    worker = await house.greeted(process="first")
    await worker.say(rejection=worker_pb2.Rejection(experiment=1, reason="no such plug-in"))
    await worker.tell()
    worker.call.cancel()
    again = await house.greeted(process="second")
    assert len(await again.borrow(2)) == 2


async def test_what_was_being_played_as_a_worker_broke_is_suspected_and_the_rest_is_not(house: House) -> None:
    worker = await house.greeted("broken")
    first, *rest = await worker.borrow(4)
    suspected = [first.key, rest[0].key]
    await worker.say(goodbye=worker_pb2.Goodbye(reason="an episode hung", suspected=suspected))
    await worker.call.done_writing()
    assert (await worker.ending())[0] is grpc.StatusCode.OK
    other = await house.greeted("other")
    trial = await other.borrow(2)
    assert [lease.key for lease in trial] == suspected or len(trial) == 2
    assert {lease.key.ticket for lease in trial} == {key.ticket for key in suspected}
    await other.tell(*map(played, trial))
    assert {lease.key.ticket for lease in await other.borrow(2)} == {lease.key.ticket for lease in rest[1:]}
