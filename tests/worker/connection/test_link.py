"""The worker's side of the stream, against a real gRPC server that says what each test tells it to."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Collection, Hashable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import grpc
import pytest
from grpc import aio

from germline.genome import Genome, Mutation
from germline.v1 import genome_pb2, spec_pb2, worker_pb2
from germline.v1.worker_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server
from worker.connection import backoff, link
from worker.connection.link import Link, RefusedError
from worker.connection.results_log import ResultsLog
from worker.connection.wire import Identity
from worker.connection.worker_state import LinkSettings
from worker.playing.engine import Evaluation, Played
from worker.playing.lease_work import CentreReport, ExperimentKey, Hang, LeaseKey
from worker.playing.normaliser import Versions
from worker.playing.stages import Stages
from worker.tasks.base import SetupError

PATIENCE_S = 20.0
Context = aio.ServicerContext[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]


class Conversation:
    """One stream, seen from the master; the test reads and writes it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ended: asyncio.Future[grpc.StatusCode] = asyncio.get_running_loop().create_future()

    async def until_ended(self) -> None:
        code = await self._ended
        if code is not grpc.StatusCode.OK:
            await self._context.abort(code, "as the test says")

    def end(self, code: grpc.StatusCode = grpc.StatusCode.OK) -> None:
        if not self._ended.done():
            self._ended.set_result(code)

    async def hear_any(self) -> worker_pb2.WorkerMessage | None:
        """The next message; None when the worker has said its last."""
        reading = asyncio.ensure_future(self._context.read())
        await asyncio.wait([reading], timeout=PATIENCE_S)
        assert reading.done(), "the worker says nothing"
        message = reading.result()
        return message if isinstance(message, worker_pb2.WorkerMessage) else None

    async def hear(self, kind: str) -> worker_pb2.WorkerMessage:
        """The next message of a kind; others are passed over."""
        while (message := await self.hear_any()) is not None:
            if message.WhichOneof("kind") == kind:
                return message
        raise AssertionError(f"the worker ended the stream without {kind}")

    async def next_kinds(self, count: int) -> set[str]:
        """The kinds of the next messages."""
        heard = [await self.hear_any() for _ in range(count)]
        return {message.WhichOneof("kind") or "" for message in heard if message}

    async def hear_results(self, count: int) -> list[worker_pb2.Result]:
        """So many results, in as few messages as they come."""
        heard: list[worker_pb2.Result] = []
        while len(heard) < count:
            heard.extend((await self.hear("results")).results.results)
        return heard

    async def say(self, message: worker_pb2.MasterMessage) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._context.write(message)

    async def welcome(self, heartbeat_s: float = 30.0) -> worker_pb2.Hello:
        hello = (await self.hear("hello")).hello
        greeting = worker_pb2.Welcome(master_id="scripted", heartbeat_s=heartbeat_s)
        await self.say(worker_pb2.MasterMessage(welcome=greeting))
        return hello

    async def introduce(self, experiment: int, name: str = "test", identity: int = 0) -> None:
        spec = spec_pb2.ExperimentSpec(name=name)
        introduction = worker_pb2.ExperimentIntroduction(experiment=experiment, spec=spec, identity=identity)
        await self.say(worker_pb2.MasterMessage(introduction=introduction))

    async def lend(self, *leases: worker_pb2.Lease, known: tuple[Genome, ...] = ()) -> None:
        genomes = [genome_pb2.KnownGenome(id=genome.id, encoded=genome.encode()) for genome in known]
        lent = worker_pb2.Leases(known=genomes, leases=leases)
        await self.say(worker_pb2.MasterMessage(leases=lent))

    async def acknowledge(self, sequence: int) -> None:
        told = worker_pb2.Acknowledgement(sequence=sequence)
        await self.say(worker_pb2.MasterMessage(acknowledgement=told))


class ScriptedMaster(WorkerServiceServicer):
    """Accepts streams and hands each to the test."""

    def __init__(self) -> None:
        self._streams: asyncio.Queue[Conversation] = asyncio.Queue()
        self.metadata: dict[str, str | bytes] = {}

    async def Work(  # type: ignore[override]  # noqa: N802
        self, request_iterator: object, context: Context
    ) -> None:
        self.metadata = dict(context.invocation_metadata() or ())
        conversation = Conversation(context)
        await self._streams.put(conversation)
        await conversation.until_ended()

    async def next_stream(self) -> Conversation:
        async with asyncio.timeout(PATIENCE_S):
            return await self._streams.get()

    @asynccontextmanager
    async def refusing(self, code: grpc.StatusCode, *, after_welcome: bool) -> AsyncIterator[None]:
        """End every stream with a status; a write that crosses it makes it INTERNAL at the caller."""

        async def refuse() -> None:
            while True:
                stream = await self._streams.get()
                if after_welcome:
                    await stream.welcome()
                stream.end(code)

        task = asyncio.create_task(refuse())
        yield
        task.cancel()


@asynccontextmanager
async def serving(master: ScriptedMaster, port: int = 0) -> AsyncIterator[int]:
    """A real server on a free port, or on the one given."""
    server = aio.server()
    add_WorkerServiceServicer_to_server(master, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)


def lease(
    ticket: int, genome: Genome, *, experiment: int = 1, seeds: tuple[int, ...] = (1,), identity: int = 0
) -> worker_pb2.Lease:
    key = worker_pb2.LeaseKey(experiment=experiment, ticket=ticket, attempt=1, identity=identity)
    return worker_pb2.Lease(key=key, genome=genome.id, episode_seeds=seeds, lease_s=60.0)


class Echo:
    """An engine whose returns are the episode seeds; while its gate is shut, nothing is finished."""

    def __init__(self, slots: int = 4) -> None:
        self.slots = slots
        self.frames = 0
        self.gate = threading.Event()
        self.gate.set()
        self.tick_s = 0.001
        self.endless: set[int] = set()
        self.failing: set[int] = set()
        self.submitted: list[Evaluation[LeaseKey]] = []
        self._playing: list[Evaluation[LeaseKey]] = []

    def submit(self, evaluation: Evaluation[LeaseKey]) -> None:
        self.submitted.append(evaluation)
        self._playing.append(evaluation)

    stages = Stages()

    def in_play(self) -> list[LeaseKey]:
        return [each.key for each in self._playing]

    def room(self) -> int:
        return self.slots - len(self._playing)

    def busy(self) -> bool:
        return bool(self._playing)

    def tick(self) -> list[Played[LeaseKey]]:
        self.frames += len(self._playing)
        if not self.gate.wait(self.tick_s):
            return []
        endless = [each for each in self._playing if each.episode_seeds[0] in self.endless]
        finished = [each for each in self._playing if each.episode_seeds[0] not in self.endless]
        self._playing = endless
        return [self._played(each) for each in finished]

    def _played(self, each: Evaluation[LeaseKey]) -> Played[LeaseKey]:
        if each.episode_seeds[0] in self.failing:
            return Played(each.key, (), 4, 1, 0.5, "diverged " * 1_000)
        return Played(each.key, tuple(map(float, each.episode_seeds)), 4, 1, 0.5)

    def cancel(self, keys: Collection[Hashable]) -> None:
        self._playing = [each for each in self._playing if each.key not in keys]

    def drop(self) -> None:
        self._playing = []

    def close(self) -> None:
        self._playing = []


FOUNDER = Genome.founder(7)
CHILD = FOUNDER.child(Mutation(11, 0.5))
IDENTITY = Identity("w-1", "0.1.0", 1, "abcd", "cpu", {"torch": "2"}, "p-1")


class Fleet:
    """A scripted master and workers that know its address."""

    def __init__(self, port: int, master: ScriptedMaster) -> None:
        self.port = port
        self.master = master
        self.engines: dict[str, Echo] = {}
        self.broken: dict[str, Exception] = {}

    def build(self, spec: spec_pb2.ExperimentSpec, _: Versions) -> Echo:
        if spec.name in self.broken:
            raise self.broken[spec.name]
        return self.engines.setdefault(spec.name, Echo())

    def link(self, slots: int = 4, patience_s: float = 0.0, results_log: ResultsLog | None = None) -> Link:
        target = f"127.0.0.1:{self.port}"
        return Link(
            LinkSettings(
                master=target,
                dial=lambda: aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]),
                metadata=(("authorization", "Bearer secret"),),
                identity=IDENTITY,
                slots=slots,
                build=self.build,
                patience_s=patience_s,
                results_log=results_log,
            )
        )


@asynccontextmanager
async def working(link: Link) -> AsyncIterator[tuple[asyncio.Event, asyncio.Task[None]]]:
    """A link at work, and the event that stops it."""
    stop = asyncio.Event()
    link.state.playing.start()
    task = asyncio.create_task(link.keep(stop))
    try:
        yield stop, task
    finally:
        stop.set()
        task.cancel()
        await asyncio.wait([task])
        assert link.state.playing.stop(timeout_s=PATIENCE_S)


@asynccontextmanager
async def half_way(
    fleet: Fleet, link: Link
) -> AsyncIterator[tuple[asyncio.Event, asyncio.Task[None], Conversation]]:
    """A link at work that has a score of lease 1 to tell, while lease 2 never ends."""
    fleet.engines["test"] = Echo()
    fleet.engines["test"].endless.add(2)
    async with working(link) as (stop, task):
        stream = await fleet.master.next_stream()
        await stream.welcome()
        await stream.introduce(1)
        await stream.lend(lease(1, FOUNDER), lease(2, FOUNDER, seeds=(2,)), known=(FOUNDER,))
        while not len(link.state.outbox):
            await asyncio.sleep(0)
        yield stop, task, stream


async def ends_well(task: asyncio.Task[None]) -> bool:
    """Whether the worker leaves of itself, soon and without an error."""
    done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
    return task in done and task.exception() is None


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    master = ScriptedMaster()
    async with serving(master) as port:
        yield Fleet(port, master)


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)


async def test_a_worker_says_who_it_is_and_asks_for_work(fleet: Fleet) -> None:
    link = fleet.link(slots=8)
    async with working(link):
        stream = await fleet.master.next_stream()
        hello = await stream.welcome()
        assert (hello.worker_id, hello.noise_digest, hello.slots) == ("w-1", "abcd", 8)
        assert dict(hello.libraries) == {"torch": "2"}
        assert fleet.master.metadata["authorization"] == "Bearer secret"
        credit = (await stream.hear("credit")).credit.evaluations
        assert 8 < credit < 16


async def test_a_child_is_rebuilt_from_the_parent_that_the_master_named_before(fleet: Fleet) -> None:
    async with working(fleet.link()):
        stream = await fleet.master.next_stream()
        await stream.welcome()
        await stream.introduce(1)
        child = lease(2, FOUNDER)
        child.mutation.CopyFrom(genome_pb2.Mutation(seed=11, power=0.5))
        await stream.lend(lease(1, FOUNDER, seeds=(5, 6)), known=(FOUNDER,))
        await stream.lend(child)
        told = await stream.hear_results(2)
        assert [list(each.returns) for each in told] == [[5.0, 6.0], [1.0]]
        submitted = fleet.engines["test"].submitted
        assert [each.genome for each in submitted] == [FOUNDER, CHILD]
        assert submitted[1].parent == FOUNDER


async def test_scores_that_come_together_are_told_in_one_message(fleet: Fleet) -> None:
    engine = fleet.engines["test"] = Echo(slots=64)
    engine.gate.clear()
    async with working(fleet.link(slots=64, patience_s=PATIENCE_S)):
        stream = await fleet.master.next_stream()
        await stream.welcome()
        await stream.introduce(1)
        await stream.lend(*(lease(n, FOUNDER) for n in range(60)), known=(FOUNDER,))
        while len(engine.submitted) < 60:
            await asyncio.sleep(0)
        engine.gate.set()
        assert len((await stream.hear("results")).results.results) == 60


async def test_what_became_of_each_score_is_noted_once_and_only_when_the_master_has_said_it(
    fleet: Fleet, tmp_path: Path
) -> None:
    path = tmp_path / "results"
    with closing(ResultsLog(path)) as log:
        async with working(fleet.link(results_log=log)):
            stream = await fleet.master.next_stream()
            await stream.welcome()
            await stream.introduce(1)
            await stream.lend(lease(1, FOUNDER, seeds=(5,)), lease(2, FOUNDER, seeds=(6,)), known=(FOUNDER,))
            told = await stream.hear_results(2)
            assert path.read_text() == ""
            refusal = worker_pb2.Refusal(lease=told[1].lease, code=worker_pb2.REFUSAL_CODE_CLOSED)
            for _ in range(2):  # each message's word, and then again
                for sequence in (1, 2):
                    settled = worker_pb2.Acknowledgement(sequence=sequence, refused=[refusal])
                    await stream.say(worker_pb2.MasterMessage(acknowledgement=settled))
            async with asyncio.timeout(PATIENCE_S):
                while path.read_text().count("\n") < 2:
                    await asyncio.sleep(0)
    verdicts = {line["ticket"]: line["verdict"] for line in map(json.loads, path.read_text().splitlines())}
    assert verdicts == {told[0].lease.ticket: "counted", told[1].lease.ticket: "closed"}
    assert path.read_text().count("\n") == 2


async def test_what_was_not_acknowledged_is_told_again_under_its_number(fleet: Fleet) -> None:
    async with working(fleet.link()):
        first = await fleet.master.next_stream()
        await first.welcome()
        await first.introduce(1)
        await first.lend(lease(1, FOUNDER), lease(2, FOUNDER), known=(FOUNDER,))
        told = await first.hear("results")
        first.end(grpc.StatusCode.UNAVAILABLE)

        second = await fleet.master.next_stream()
        hello = await second.welcome()
        assert {key.ticket for key in hello.held} == {1, 2}
        assert await second.hear("results") == told
        await second.acknowledge(told.results.sequence)
        second.end()

        third = await fleet.master.next_stream()
        assert not (await third.welcome()).held


async def test_a_lease_in_play_outlives_the_stream_it_came_on(fleet: Fleet) -> None:
    engine = fleet.engines["test"] = Echo()
    engine.gate.clear()
    async with working(fleet.link()):
        first = await fleet.master.next_stream()
        await first.welcome()
        await first.introduce(1)
        await first.lend(lease(1, FOUNDER), known=(FOUNDER,))
        first.end()
        second = await fleet.master.next_stream()
        hello = await second.welcome()
        assert [key.ticket for key in hello.held] == [1]
        await second.introduce(1)
        engine.gate.set()
        assert (await second.hear("results")).results.results[0].lease.ticket == 1


async def test_a_new_meaning_of_an_experiments_number_drops_its_old_leases(fleet: Fleet) -> None:
    engine = fleet.engines["old"] = Echo()
    engine.gate.clear()
    link = fleet.link()
    async with working(link):
        first = await fleet.master.next_stream()
        await first.welcome()
        await first.introduce(1, "old")
        await first.lend(lease(1, FOUNDER), known=(FOUNDER,))
        first.end()
        second = await fleet.master.next_stream()
        await second.welcome()
        await second.introduce(1, "new")
        await second.lend(lease(2, FOUNDER), known=(FOUNDER,))
        results = (await second.hear("results")).results.results
        assert [each.lease.ticket for each in results] == [2]
        assert link.state.leases.unplayed() == []


async def test_work_of_another_store_is_told_as_its_own_and_the_rest_of_it_is_dropped(fleet: Fleet) -> None:
    link = fleet.link()
    engine = fleet.engines["test"] = Echo()
    engine.endless.add(2)
    async with working(link):
        first = await fleet.master.next_stream()
        await first.welcome()
        await first.introduce(1, identity=5)
        leases = lease(1, FOUNDER, identity=5), lease(2, FOUNDER, seeds=(2,), identity=5)
        await first.lend(*leases, known=(FOUNDER,))
        await first.hear("results")
        first.end(grpc.StatusCode.UNAVAILABLE)
        second = await fleet.master.next_stream()
        hello = await second.welcome()
        assert {(key.ticket, key.identity) for key in hello.held} == {(1, 5), (2, 5)}
        (told,) = await second.hear_results(1)
        assert (told.lease.ticket, told.lease.identity) == (1, 5)
        await second.introduce(1, identity=6)  # the very same spec, in another store
        await second.lend(lease(7, FOUNDER, identity=6), known=(FOUNDER,))
        (told,) = await second.hear_results(1)
        assert (told.lease.ticket, told.lease.identity) == (7, 6)
        assert link.state.leases.unplayed() == []


async def test_an_experiment_whose_identity_stays_goes_on_whatever_else_its_spec_says(fleet: Fleet) -> None:
    engine = fleet.engines["test"] = Echo()
    engine.gate.clear()
    async with working(fleet.link()):
        first = await fleet.master.next_stream()
        await first.welcome()
        await first.introduce(1, identity=5)
        await first.lend(lease(1, FOUNDER, identity=5), known=(FOUNDER,))
        first.end(grpc.StatusCode.UNAVAILABLE)
        second = await fleet.master.next_stream()
        await second.welcome()
        await second.introduce(1, "raised", identity=5)
        engine.gate.set()
        assert [each.lease.ticket for each in await second.hear_results(1)] == [1]


@pytest.mark.parametrize(
    "code",
    [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION],
)
async def test_a_worker_comes_back_when_its_stream_breaks(fleet: Fleet, code: grpc.StatusCode) -> None:
    async with working(fleet.link()):
        for _ in range(3):
            stream = await fleet.master.next_stream()
            await stream.welcome()
            stream.end(code)
        hello = await (await fleet.master.next_stream()).welcome()
        assert hello.worker_id == IDENTITY.worker_id, "the master knows it again"


async def test_a_worker_may_start_before_its_master_and_survives_its_restart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "worker")
    master = ScriptedMaster()
    async with serving(master) as port:
        pass
    async with working(Fleet(port, master).link()):
        while "waiting for a master at 127.0.0.1" not in caplog.text:
            await asyncio.sleep(0.01)
        for _ in range(2):
            async with serving(master, port):
                hello = await (await master.next_stream()).welcome()
                assert hello.worker_id == IDENTITY.worker_id


@pytest.mark.parametrize("code", [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAUTHENTICATED])
async def test_a_worker_that_the_master_refuses_for_good_gives_up(
    fleet: Fleet, code: grpc.StatusCode
) -> None:
    async with working(fleet.link()) as (_, task), fleet.master.refusing(code, after_welcome=False):
        with pytest.raises(RefusedError, match="as the test says"):
            await task


def test_what_a_proxy_answers_while_it_knows_no_master_refuses_nobody() -> None:
    """A proxy says 404 in HTTP, which grpc calls UNIMPLEMENTED: who heeded that would be gone for good."""
    said = "Received http2 header with status: 404"
    answer = aio.AioRpcError(grpc.StatusCode.UNIMPLEMENTED, aio.Metadata(), aio.Metadata(), said)
    assert link._explain(ExceptionGroup("one", [answer]), welcomed=False) == f"UNIMPLEMENTED: {said}"
    ours = aio.AioRpcError(grpc.StatusCode.UNIMPLEMENTED, aio.Metadata(), aio.Metadata(), "Method not found!")
    with pytest.raises(RefusedError, match="Method not found!"):
        link._explain(ExceptionGroup("one", [ours]), welcomed=False)


async def test_a_worker_comes_back_when_a_dead_process_of_its_name_is_heard_late(fleet: Fleet) -> None:
    async with working(fleet.link()) as (_, task):
        stream = await fleet.master.next_stream()
        await stream.welcome()
        stream.end(grpc.StatusCode.ALREADY_EXISTS)
        hello = await (await fleet.master.next_stream()).welcome()
        assert hello.worker_id == IDENTITY.worker_id
        assert not task.done()


async def test_a_worker_gives_up_when_a_living_process_takes_its_id_again(fleet: Fleet) -> None:
    taken = fleet.master.refusing(grpc.StatusCode.ALREADY_EXISTS, after_welcome=True)
    async with working(fleet.link()) as (_, task), taken:
        with pytest.raises(RefusedError, match="as the test says"):
            await task


async def test_a_worker_told_to_stop_hands_its_leases_back(fleet: Fleet) -> None:
    engine = fleet.engines["test"] = Echo()
    engine.gate.clear()
    async with working(fleet.link()) as (stop, task):
        stream = await fleet.master.next_stream()
        await stream.welcome()
        await stream.introduce(1)
        await stream.lend(lease(1, FOUNDER), lease(2, FOUNDER), known=(FOUNDER,))
        while len(engine.submitted) < 2:
            await asyncio.sleep(0)
        stop.set()
        goodbye = (await stream.hear("goodbye")).goodbye
        assert [key.ticket for key in goodbye.returned] == [1, 2]
        assert await stream.hear_any() is None
        stream.end()
        await task


async def test_a_worker_that_hangs_names_what_it_played_and_hands_the_rest_back(fleet: Fleet) -> None:
    engine = fleet.engines["test"] = Echo()
    engine.gate.clear()
    link = fleet.link()
    async with working(link) as (stop, task):
        stream = await fleet.master.next_stream()
        await stream.welcome()
        await stream.introduce(1)
        await stream.lend(lease(1, FOUNDER), lease(2, FOUNDER), known=(FOUNDER,))
        while len(engine.submitted) < 2:
            await asyncio.sleep(0)
        link.state.hang = Hang([engine.submitted[1].key], "a step hangs")
        stop.set()
        goodbye = (await stream.hear("goodbye")).goodbye
        assert goodbye.reason == "a step hangs"
        assert [key.ticket for key in goodbye.returned] == [1]
        assert [key.ticket for key in goodbye.suspected] == [2]
        stream.end()
        await task


async def test_what_could_not_be_scored_is_told_with_its_reason(fleet: Fleet) -> None:
    engine = fleet.engines["test"] = Echo()
    engine.failing = {3}
    async with working(fleet.link()) as (_, _):
        stream = await fleet.master.next_stream()
        hello = await stream.welcome()
        assert hello.process == "p-1"
        await stream.introduce(1)
        await stream.lend(lease(1, FOUNDER), lease(2, FOUNDER, seeds=(3,)), known=(FOUNDER,))
        told = {result.lease.ticket: result for result in await stream.hear_results(2)}
    assert (list(told[1].returns), told[1].failure) == ([1.0], "")
    assert (list(told[2].returns), told[2].failure) == ([], "diverged " * 111 + "d")


async def test_scores_of_the_last_moment_are_told_before_goodbye_and_acknowledged_after(fleet: Fleet) -> None:
    link = fleet.link(patience_s=PATIENCE_S)
    async with half_way(fleet, link) as (stop, task, stream):
        stop.set()
        results = await stream.hear("results")
        assert [each.lease.ticket for each in results.results.results] == [1]
        returned = (await stream.hear("goodbye")).goodbye.returned
        assert [key.ticket for key in returned] == [2]
        await stream.acknowledge(results.results.sequence)
        stream.end()
        await task
    assert link.state.leases.owed() == 0


async def test_a_centre_is_told_before_the_scores_that_were_played_with_it(fleet: Fleet) -> None:
    link = fleet.link(patience_s=PATIENCE_S)
    async with half_way(fleet, link) as (_, _, stream):
        link.state.outbox.notify(CentreReport(ExperimentKey(1, 77), 3, "digest"))
        while (heard := await stream.hear_any()) is not None and heard.WhichOneof("kind") != "epoch_report":
            assert heard.WhichOneof("kind") == "credit"
        assert heard is not None
        assert (heard.epoch_report.experiment, heard.epoch_report.identity) == (1, 77)
        await stream.hear_results(1)


async def test_a_centre_is_told_before_the_last_scores_of_a_worker_that_leaves(fleet: Fleet) -> None:
    link = fleet.link(patience_s=PATIENCE_S)
    async with half_way(fleet, link) as (stop, task, stream):
        link.state.outbox.notify(CentreReport(ExperimentKey(1, 77), 3, "digest"))
        stop.set()
        while (heard := await stream.hear_any()) is not None and heard.WhichOneof("kind") != "epoch_report":
            assert heard.WhichOneof("kind") == "credit"
        await stream.hear_results(1)
        await stream.hear("goodbye")
        stream.end()
        await task


async def test_a_worker_without_a_master_stops_at_once() -> None:
    master = ScriptedMaster()
    async with serving(master) as port:
        pass
    async with working(Fleet(port, master).link()) as (stop, task):
        stop.set()
        assert await ends_well(task)


async def test_a_worker_that_nobody_welcomes_stops_at_once(fleet: Fleet) -> None:
    async with working(fleet.link()) as (stop, task):
        stream = await fleet.master.next_stream()
        assert (await stream.hear("hello")).hello.worker_id == IDENTITY.worker_id
        stop.set()
        assert await ends_well(task)


async def test_an_experiment_that_cannot_be_played_is_rejected_and_the_others_go_on(fleet: Fleet) -> None:
    fleet.broken["bad"] = SetupError("policy.name is 'huge'; allowed: dqn2015")
    async with working(fleet.link()):
        stream = await fleet.master.next_stream()
        await stream.welcome()
        await stream.introduce(1, "bad")
        await stream.introduce(2, "good")
        await stream.lend(lease(1, FOUNDER, experiment=1), known=(FOUNDER,))
        rejection = (await stream.hear("rejection")).rejection
        assert (rejection.experiment, rejection.reason) == (1, "policy.name is 'huge'; allowed: dqn2015")
        await stream.lend(lease(1, FOUNDER, experiment=2))
        assert (await stream.hear("results")).results.results[0].lease.experiment == 2
        await stream.lend(lease(3, FOUNDER, experiment=1))
        assert (await stream.hear("rejection")).rejection.experiment == 1


async def test_rejected_leases_make_room_again(fleet: Fleet) -> None:
    fleet.broken["bad"] = ValueError("no")
    async with working(fleet.link(slots=4)):
        stream = await fleet.master.next_stream()
        await stream.welcome()
        credit = (await stream.hear("credit")).credit.evaluations
        await stream.introduce(1, "bad")
        await stream.lend(*(lease(n, FOUNDER) for n in range(credit)), known=(FOUNDER,))
        assert (await stream.hear("rejection")).rejection.reason == "ValueError: no"
        assert (await stream.hear("credit")).credit.evaluations == credit


async def test_revoked_work_is_not_told_and_makes_room(fleet: Fleet) -> None:
    engine = fleet.engines["test"] = Echo()
    engine.gate.clear()
    async with working(fleet.link()):
        stream = await fleet.master.next_stream()
        await stream.welcome()
        await stream.hear("credit")
        await stream.introduce(1)
        await stream.lend(lease(1, FOUNDER), lease(2, FOUNDER), known=(FOUNDER,))
        revoked = worker_pb2.Revocation(leases=[lease(1, FOUNDER).key])
        await stream.say(worker_pb2.MasterMessage(revocation=revoked))
        assert (await stream.hear("credit")).credit.evaluations == 1
        engine.gate.set()
        told = (await stream.hear("results")).results.results
        assert [each.lease.ticket for each in told] == [2]


async def test_a_draining_master_is_told_what_is_played_but_asked_for_nothing(fleet: Fleet) -> None:
    engine = fleet.engines["test"] = Echo()
    engine.gate.clear()
    async with working(fleet.link()):
        first = await fleet.master.next_stream()
        await first.welcome(heartbeat_s=0.1)
        await first.introduce(1)
        await first.lend(lease(1, FOUNDER), known=(FOUNDER,))
        await first.say(worker_pb2.MasterMessage(drain=worker_pb2.Drain(reason="restart")))
        await first.hear("heartbeat")
        engine.gate.set()
        assert (await first.hear("results")).results.results[0].lease.ticket == 1
        assert await first.next_kinds(3) == {"heartbeat"}
        first.end()
        second = await fleet.master.next_stream()
        await second.welcome()
        await second.hear("credit")


async def test_heartbeats_go_on_while_native_code_plays(fleet: Fleet) -> None:
    engine = fleet.engines["test"] = Echo()
    engine.gate.clear()
    engine.tick_s = PATIENCE_S
    async with working(fleet.link()):
        stream = await fleet.master.next_stream()
        await stream.welcome(heartbeat_s=0.1)
        await stream.introduce(1)
        await stream.lend(lease(1, FOUNDER), known=(FOUNDER,))
        while not engine.submitted:
            await asyncio.sleep(0)
        await stream.hear("heartbeat")
        beat = (await stream.hear("heartbeat")).heartbeat
        assert beat.busy_share > 0.9
        engine.gate.set()


async def test_a_heartbeat_says_how_many_slots_there_are_by_now(fleet: Fleet) -> None:
    fleet.engines["test"] = Echo(slots=32)
    async with working(fleet.link(slots=2)):
        stream = await fleet.master.next_stream()
        assert (await stream.welcome(heartbeat_s=0.1)).slots == 2
        await stream.introduce(1)
        await stream.lend(lease(1, FOUNDER), known=(FOUNDER,))
        await stream.hear("results")
        while (await stream.hear("heartbeat")).heartbeat.slots != 32:
            pass


@pytest.mark.parametrize("genomes", [(), (Genome(1, FOUNDER.id),)], ids=["unknown", "mislabelled"])
async def test_a_genome_that_is_not_what_the_master_says_costs_the_stream_only(
    fleet: Fleet, genomes: tuple[Genome, ...]
) -> None:
    async with working(fleet.link()):
        first = await fleet.master.next_stream()
        await first.welcome()
        await first.introduce(1)
        await first.lend(lease(1, FOUNDER), known=genomes)
        second = await fleet.master.next_stream()
        assert not (await second.welcome()).held


@pytest.mark.parametrize(
    "step", [genome_pb2.Mutation(power=float("nan")), genome_pb2.Mutation(power=1.0, rank=256)]
)
async def test_a_mutation_that_cannot_be_costs_the_stream_only(
    fleet: Fleet, step: genome_pb2.Mutation
) -> None:
    async with working(fleet.link()):
        first = await fleet.master.next_stream()
        await first.welcome()
        await first.introduce(1)
        child = lease(1, FOUNDER)
        child.mutation.CopyFrom(step)
        await first.lend(child, known=(FOUNDER,))
        second = await fleet.master.next_stream()
        assert not (await second.welcome()).held


async def test_a_forgotten_genome_is_not_known_any_more(fleet: Fleet) -> None:
    async with working(fleet.link()):
        first = await fleet.master.next_stream()
        await first.welcome()
        await first.introduce(1)
        await first.lend(lease(1, FOUNDER), known=(FOUNDER,))
        forgotten = worker_pb2.Leases(forget=[FOUNDER.id], leases=[lease(2, FOUNDER)])
        await first.say(worker_pb2.MasterMessage(leases=forgotten))
        await first.lend(lease(3, FOUNDER))
        second = await fleet.master.next_stream()
        assert 3 not in {key.ticket for key in (await second.welcome()).held}


async def test_memory_that_runs_out_shrinks_the_credit(fleet: Fleet) -> None:
    engine = fleet.engines["test"] = Echo(slots=16)
    link = fleet.link(slots=16)
    async with working(link):
        stream = await fleet.master.next_stream()
        await stream.welcome()
        credit = (await stream.hear("credit")).credit.evaluations
        assert credit == 18
        await stream.introduce(1)
        engine.slots = 4
        await stream.lend(*(lease(n, FOUNDER) for n in range(credit)), known=(FOUNDER,))
        await stream.hear_results(credit)
        while link.state.leases.room > 16:
            await asyncio.sleep(0)
