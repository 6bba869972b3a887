"""ExperimentService, health, reflection, token, TLS, metrics and addresses, on a real master."""

import asyncio
import subprocess
import threading
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from germline import noise
from germline.algorithms.base import Result
from germline.genome import Genome
from germline.spec import loads
from germline.v1 import experiment_pb2 as pb
from germline.v1 import spec_pb2, worker_pb2
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub
from germline.v1.worker_pb2_grpc import WorkerServiceStub
from master.config import MasterConfig
from master.experiments.experiment import Experiment
from master.experiments.workers import WorkerIdentity
from master.journal.connection import connect
from master.listening import AddressError
from master.server import Master
from master.work.leases import Key
from master.work.pending_work import Work

PATIENCE_S = 20.0

Call = aio.StreamStreamCall[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]


def spec_of(name: str = "one", seed: int = 0) -> spec_pb2.ExperimentSpec:
    return loads(f"""
name = "{name}"
seed = {seed}
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 20
parents = 4
candidates = 2
validation_episodes = 4
validation_share = 0.5
""")


class House:
    def __init__(self, master: Master, channel: aio.Channel) -> None:
        self.master = master
        self.channel = channel
        self.people = ExperimentServiceStub(channel)

    async def create(self, spec: spec_pb2.ExperimentSpec | None = None) -> pb.Experiment:
        request = pb.CreateExperimentRequest(spec=spec or spec_of())
        return (await self.people.CreateExperiment(request)).experiment

    async def play(self, evaluations: int, best: int = 1_000) -> None:
        """A worker that plays so many evaluations, the later the better, up to the best."""
        call = WorkerServiceStub(self.channel).Work()
        hello = worker_pb2.Hello(
            worker_id="w", noise_version=noise.VERSION, noise_digest=noise.self_test_digest(), slots=4
        )
        await call.write(worker_pb2.WorkerMessage(hello=hello))
        for sequence in range(1, evaluations + 1):
            await call.write(worker_pb2.WorkerMessage(credit=worker_pb2.Credit(evaluations=1)))
            (lease,) = (await self._hear(call, "leases")).leases.leases
            result = worker_pb2.Result(
                lease=lease.key, returns=[float(min(sequence, best))], frames=40, steps=10
            )
            results = worker_pb2.Results(sequence=sequence, results=[result])
            await call.write(worker_pb2.WorkerMessage(results=results))
            await self._hear(call, "acknowledgement")
        call.cancel()

    async def _hear(self, call: Call, kind: str) -> worker_pb2.MasterMessage:
        while isinstance(message := await call.read(), worker_pb2.MasterMessage):
            if message.WhichOneof("kind") == kind:
                return message
        raise AssertionError(await call.details())


Serve = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def serve(**settings: object) -> AsyncIterator[House]:
        default: dict[str, object] = {
            "listen": "localhost:0",
            "metrics_port": -1,
            "store_folder": tmp_path / "store",
        }
        config = MasterConfig(**(default | settings))  # type: ignore[arg-type]
        async with (
            Master.serving(config) as master,
            aio.insecure_channel(master.address) as channel,
        ):
            yield House(master, channel)

    return serve


@pytest.fixture
async def house(serve: Serve) -> AsyncIterator[House]:
    async with serve() as house:
        yield house


async def test_nobody_is_told_of_an_end_that_is_not_durable(house: House, tmp_path: Path) -> None:
    await house.create()
    watch = house.people.WatchExperiment(pb.WatchExperimentRequest(name="one", interval_s=0.1))
    store = connect(f"unix://{tmp_path / 'store' / 'valkey.sock'}")
    limit = (await store.config_get("maxmemory"))["maxmemory"]
    await store.config_set("maxmemory", 1)
    stopping = asyncio.ensure_future(house.people.StopExperiment(pb.StopExperimentRequest(name="one")))
    async with asyncio.timeout(PATIENCE_S):
        while not house.master.journal.trouble:
            assert (await anext(aiter(watch))).experiment.state == pb.EXPERIMENT_STATE_RUNNING
        assert (await anext(aiter(watch))).experiment.state == pb.EXPERIMENT_STATE_RUNNING
        listed = await house.people.ListExperiments(pb.ListExperimentsRequest())
        assert [each.state for each in listed.experiments] == [pb.EXPERIMENT_STATE_RUNNING]
        assert not stopping.done()
        await store.config_set("maxmemory", limit or 0)
        seen = [look.experiment.state async for look in watch]
        assert seen[-1] == (await stopping).experiment.state == pb.EXPERIMENT_STATE_STOPPED
    await store.aclose()


async def test_an_experiment_is_created_complete(house: House) -> None:
    made = await house.create()
    assert (made.number, made.state) == (1, pb.EXPERIMENT_STATE_RUNNING)
    assert made.spec == spec_of()
    assert made.created.seconds > 0


async def test_the_same_spec_twice_is_one_experiment(house: House) -> None:
    await house.create()
    assert (await house.create()).number == 1
    assert (await house.create(spec_of("two"))).number == 2
    listed = await house.people.ListExperiments(pb.ListExperimentsRequest())
    assert [experiment.spec.name for experiment in listed.experiments] == ["one", "two"]


async def test_another_spec_under_a_name_in_use_is_refused(house: House) -> None:
    await house.create()
    with pytest.raises(
        aio.AioRpcError, match="'one'; an experiment with another spec has this name"
    ) as error:
        await house.create(spec_of(seed=1))
    assert error.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_a_bad_field_is_named_by_its_path(house: House) -> None:
    spec = spec_of()
    spec.algorithm.ga.window = 0
    with pytest.raises(aio.AioRpcError, match=r"algorithm\.ga\.window") as error:
        await house.create(spec)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_spec_that_is_too_large_for_every_store_and_worker_is_refused(house: House) -> None:
    spec = spec_of()
    spec.task.function.path = "m" * (300 << 10) + ":f"
    with pytest.raises(aio.AioRpcError, match=r"spec has 30.*bytes; allowed: 262,144") as error:
        await house.people.CreateExperiment(pb.CreateExperimentRequest(spec=spec))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_empty_spec_is_refused_and_the_master_lives(house: House) -> None:
    with pytest.raises(aio.AioRpcError) as error:
        await house.people.CreateExperiment(pb.CreateExperimentRequest())
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    await house.create()


async def test_unknown_names_are_not_found(house: House) -> None:
    await house.create()
    calls: list[Awaitable[object]] = [
        house.people.GetExperiment(pb.GetExperimentRequest(name="on")),
        house.people.PauseExperiment(pb.PauseExperimentRequest(name="on")),
        house.people.ResumeExperiment(pb.ResumeExperimentRequest(name="on")),
        house.people.StopExperiment(pb.StopExperimentRequest(name="on")),
        house.people.ExtendExperiment(pb.ExtendExperimentRequest(name="on")),
        house.people.DeleteExperiment(pb.DeleteExperimentRequest(name="on")),
        house.people.ListIndividuals(pb.ListIndividualsRequest(name="on")),
        house.people.GetIndividual(pb.GetIndividualRequest(name="on")),
        house.people.GetHistory(pb.GetHistoryRequest(name="on")),
    ]
    for call in calls:
        with pytest.raises(aio.AioRpcError, match="name is 'on'; experiments here: one") as error:
            await call
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(aio.AioRpcError, match="name is 'on'"):
        await anext(aiter(house.people.WatchExperiment(pb.WatchExperimentRequest(name="on"))))


async def test_states_change_as_people_say_and_the_end_is_final(house: House) -> None:
    await house.create()
    pause, resume, stop = (
        pb.PauseExperimentRequest(name="one"),
        pb.ResumeExperimentRequest(name="one"),
        pb.StopExperimentRequest(name="one"),
    )
    for _ in range(2):
        paused = (await house.people.PauseExperiment(pause)).experiment.state
        assert paused == pb.EXPERIMENT_STATE_PAUSED
    for _ in range(2):
        resumed = (await house.people.ResumeExperiment(resume)).experiment.state
        assert resumed == pb.EXPERIMENT_STATE_RUNNING
    for _ in range(2):
        stopped = (await house.people.StopExperiment(stop)).experiment.state
        assert stopped == pb.EXPERIMENT_STATE_STOPPED
    with pytest.raises(aio.AioRpcError, match="is stopped and cannot be paused") as error:
        await house.people.PauseExperiment(pause)
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    with pytest.raises(aio.AioRpcError, match="is stopped and cannot be resumed"):
        await house.people.ResumeExperiment(resume)


async def test_an_experiment_that_is_over_goes_on_when_it_is_extended(house: House) -> None:
    await house.create()
    request = pb.ExtendExperimentRequest(name="one", stop=spec_pb2.Stop(evaluations=2))
    await house.people.ExtendExperiment(request)
    await house.play(2)
    with pytest.raises(aio.AioRpcError, match=r"cannot go on: stop\.evaluations is 2") as error:
        await house.people.ExtendExperiment(request)
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    request.stop.evaluations = 4
    extended = (await house.people.ExtendExperiment(request)).experiment
    assert (extended.state, extended.spec.stop.evaluations) == (pb.EXPERIMENT_STATE_RUNNING, 4)
    await house.play(2)
    shown = (await house.people.GetExperiment(pb.GetExperimentRequest(name="one"))).experiment
    assert (shown.state, shown.evaluations) == (pb.EXPERIMENT_STATE_COMPLETE, 4)


async def test_a_watch_is_told_of_an_extension_before_its_interval_is_over(house: House) -> None:
    await house.create()
    watch = aiter(house.people.WatchExperiment(pb.WatchExperimentRequest(name="one", interval_s=3_600)))
    shown = [(await anext(watch)).experiment.spec.stop]
    stop = spec_pb2.Stop(evaluations=7, fitness=2.5)
    await house.people.ExtendExperiment(pb.ExtendExperimentRequest(name="one", stop=stop))
    async with asyncio.timeout(PATIENCE_S):
        shown.append((await anext(watch)).experiment.spec.stop)
    assert shown == [spec_pb2.Stop(), stop]


async def test_a_deleted_experiment_is_gone_and_its_name_free(house: House) -> None:
    await house.create()
    delete = pb.DeleteExperimentRequest(name="one")
    with pytest.raises(aio.AioRpcError, match="one is running; only one that is complete or") as error:
        await house.people.DeleteExperiment(delete)
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await house.people.StopExperiment(pb.StopExperimentRequest(name="one"))
    await house.people.DeleteExperiment(delete)
    with pytest.raises(aio.AioRpcError, match="name is 'one'; experiments here: none yet") as error:
        await house.people.DeleteExperiment(delete)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    assert (await house.create(spec_of(seed=1))).number == 2


async def test_states_outlive_a_restart(serve: Serve) -> None:
    async with serve() as house:
        await house.create()
        await house.people.PauseExperiment(pb.PauseExperimentRequest(name="one"))
        await house.create(spec_of("two"))
        await house.people.StopExperiment(pb.StopExperimentRequest(name="two"))
    async with serve() as house:
        listed = (await house.people.ListExperiments(pb.ListExperimentsRequest())).experiments
        assert [e.state for e in listed] == [pb.EXPERIMENT_STATE_PAUSED, pb.EXPERIMENT_STATE_STOPPED]
        assert (await house.create(spec_of("three"))).number == 3


async def test_a_watch_shows_the_experiment_until_it_is_over(house: House) -> None:
    await house.create()
    watch = house.people.WatchExperiment(pb.WatchExperimentRequest(name="one", interval_s=3_600))
    shown = [(await anext(aiter(watch))).experiment.state]
    await house.people.StopExperiment(pb.StopExperimentRequest(name="one"))
    async with asyncio.timeout(PATIENCE_S):
        shown += [part.experiment.state async for part in watch]
    assert shown == [pb.EXPERIMENT_STATE_RUNNING, pb.EXPERIMENT_STATE_STOPPED]


@pytest.mark.parametrize("interval_s", [0.0, 0.09, 3_601.0, float("nan")])
async def test_a_watch_interval_out_of_range_is_refused(house: House, interval_s: float) -> None:
    await house.create()
    watch = house.people.WatchExperiment(pb.WatchExperimentRequest(name="one", interval_s=interval_s))
    with pytest.raises(aio.AioRpcError, match=r"interval_s is .*; allowed: 0\.1 to 3600") as error:
        await anext(aiter(watch))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_individuals_are_listed_best_first(house: House) -> None:
    await house.create()
    await house.play(10)
    request = pb.ListIndividualsRequest(name="one", limit=3, with_genomes=True)
    listed = (await house.people.ListIndividuals(request)).individuals
    fitness = [individual.fitness for individual in listed]
    assert len(fitness) == 3
    assert fitness == sorted(fitness, reverse=True)
    assert [Genome.decode(individual.genome).id for individual in listed] == [i.id for i in listed]
    for limit in (0, 10_001):
        with pytest.raises(aio.AioRpcError, match=f"limit is {limit}; allowed: 1 to 10000"):
            await house.people.ListIndividuals(pb.ListIndividualsRequest(name="one", limit=limit))


async def test_an_individual_is_found_by_its_id_and_the_leader_without_one(house: House) -> None:
    await house.create()
    with pytest.raises(aio.AioRpcError, match="no individual with a score yet"):
        await house.people.GetIndividual(pb.GetIndividualRequest(name="one"))
    await house.play(150, best=3)
    leader = (await house.people.GetIndividual(pb.GetIndividualRequest(name="one"))).individual
    shown = (await house.people.GetExperiment(pb.GetExperimentRequest(name="one"))).experiment
    assert shown.champion.id == leader.id
    assert leader.validation_episodes >= 4
    assert leader.HasField("validated_half_width")
    again = await house.people.GetIndividual(pb.GetIndividualRequest(name="one", id=leader.id))
    assert again.individual == leader
    with pytest.raises(aio.AioRpcError, match="id is 0000000000000001; known are") as error:
        await house.people.GetIndividual(pb.GetIndividualRequest(name="one", id=1))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_curve_has_at_most_2048_points_evenly_spread(house: House) -> None:
    await house.create()
    experiment = house.master.registry.named("one")
    identity = WorkerIdentity("w", "cpu", {})
    for _ in range(50):
        work = experiment.lend("w", 100, (), 0)
        experiment.tell(identity, [_told(experiment.number, piece) for piece in work])
    points = (await house.people.GetHistory(pb.GetHistoryRequest(name="one"))).points
    at = [point.evaluations for point in points]
    assert 1_024 <= len(at) <= 2_048
    assert {later - earlier for earlier, later in pairwise(at)} == {at[0]}
    assert points[-1].frames == 40 * at[-1]
    assert len(points[-1].fitness_quantiles) == 5


def _told(number: int, piece: Work) -> tuple[Key, Result]:
    ticket = piece.ask.ticket
    return Key(number, ticket, piece.lease.attempt), Result(ticket, (1.0,), 40, 10)


async def test_workers_are_listed(house: House) -> None:
    call = WorkerServiceStub(house.channel).Work()
    hello = worker_pb2.Hello(
        worker_id="w-7", noise_version=1, noise_digest=noise.self_test_digest(), device="cuda:H200", slots=64
    )
    await call.write(worker_pb2.WorkerMessage(hello=hello))
    await call.read()
    (worker,) = (await house.people.ListWorkers(pb.ListWorkersRequest())).workers
    assert (worker.worker_id, worker.device, worker.slots, worker.leased) == ("w-7", "cuda:H200", 64, 0)
    call.cancel()


async def test_a_mistake_of_ours_is_a_number_to_the_caller_and_a_traceback_in_the_log(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.create()
    house.master.registry.named("one").progress.history.points = [None]  # type: ignore[list-item]
    with pytest.raises(aio.AioRpcError) as error:
        await house.people.GetHistory(pb.GetHistoryRequest(name="one"))
    assert error.value.code() is grpc.StatusCode.INTERNAL
    number = str(error.value.details()).split()[-1]
    assert "AttributeError" not in str(error.value.details())
    assert number in caplog.text
    assert "AttributeError" in caplog.text


async def test_health_says_serving_and_while_draining_not(house: House) -> None:
    stub = health_pb2_grpc.HealthStub(house.channel)
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == serving
    await house.master.drain("test")
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == not_serving


async def test_reflection_lists_the_services(house: House) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(house.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([request]))
    answer = await anext(aiter(call))
    names = {service.name for service in answer.list_services_response.service}
    assert {"germline.v1.WorkerService", "germline.v1.ExperimentService", "grpc.health.v1.Health"} <= names


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ((), "no metadata 'authorization: Bearer TOKEN'"),
        ((("authorization", "Bearer wrong"),), "another token than the master's"),
        ((("authorization", "right"),), "another token than the master's"),
    ],
)
async def test_without_the_token_nothing_works_but_health(
    serve: Serve, metadata: tuple[tuple[str, str], ...], problem: str
) -> None:
    async with serve(**{"token": "right"}) as house:
        with pytest.raises(aio.AioRpcError, match=problem) as error:
            await house.people.ListExperiments(pb.ListExperimentsRequest(), metadata=metadata)
        assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        call = WorkerServiceStub(house.channel).Work(metadata=metadata)
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
        await health_pb2_grpc.HealthStub(house.channel).Check(health_pb2.HealthCheckRequest())
        allowed = (("authorization", "Bearer right"),)
        await house.people.ListExperiments(pb.ListExperimentsRequest(), metadata=allowed)


async def test_tls_is_served_with_a_certificate(serve: Serve, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    await asyncio.to_thread(
        subprocess.run,
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    async with serve(tls_cert=cert, tls_key=key) as house:
        credentials = grpc.ssl_channel_credentials(cert.read_bytes())
        async with aio.secure_channel(house.master.address, credentials) as channel:
            answer = await ExperimentServiceStub(channel).ListExperiments(pb.ListExperimentsRequest())
    assert list(answer.experiments) == []


async def test_metrics_count_what_happened(serve: Serve) -> None:
    async with serve(metrics_port=0) as house:
        await house.create()
        await house.play(5)
        text = await asyncio.to_thread(_fetch, f"http://{house.master.metrics_address}/metrics")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["germline_evaluations_total"]) == 5
    assert float(values["germline_frames_total"]) == 200
    assert float(values["germline_experiments_running"]) == 1
    assert float(values["germline_journal_commit_seconds_count"]) >= 5
    assert float(values['germline_results_refused_total{code="foreign"}']) == 0
    for name in ("leases_active", "leases_expired_total", "workers", "queue_depth", "worker_busy_ratio"):
        assert f"germline_{name}" in values
    assert not [name for name in values if "worker_id" in name or "individual" in name]


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url) as response:  # noqa: S310 - our own server
        return str(response.read(), "utf-8")


async def test_a_port_in_use_is_an_error_with_the_address(serve: Serve, tmp_path: Path) -> None:
    async with serve() as house:
        with pytest.raises(AddressError, match=f"listen is {house.master.address}"):
            async with serve(listen=house.master.address, store_folder=tmp_path / "other"):
                pass


async def test_metrics_are_read_on_the_loop_that_changes_them(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(metrics_port=0) as house:
        threads: list[int] = []
        registry, running = house.master.registry, house.master.registry.running

        def seen() -> list[Experiment]:
            threads.append(threading.get_ident())
            return running()

        monkeypatch.setattr(registry, "running", seen)
        text = await asyncio.to_thread(_fetch, f"http://{house.master.metrics_address}/metrics")
        assert "germline_experiments_running 0.0" in text
        assert set(threads) == {threading.get_ident()}


async def test_a_metrics_port_in_use_is_an_error(serve: Serve, tmp_path: Path) -> None:
    async with serve(metrics_port=0) as house:
        port = int(house.master.metrics_address.rpartition(":")[2])
        with pytest.raises(AddressError, match=f"metrics_port is {port}"):
            async with serve(metrics_port=port, store_folder=tmp_path / "other"):
                pass


def without_candidates() -> spec_pb2.ExperimentSpec:
    """Nobody is re-played, so everybody is known by the episodes of a first evaluation."""
    spec = spec_of()
    spec.algorithm.ga.candidates = 0
    return spec


async def test_what_is_known_by_episodes_comes_page_by_page_and_nobody_is_missed(house: House) -> None:
    await house.create(without_candidates())
    await house.play(10)
    individuals: list[pb.KnownReturns] = []
    request, pages = pb.ListReturnsRequest(name="one", limit=3), 0
    while True:
        page = await house.people.ListReturns(request)
        individuals += page.individuals
        pages += 1
        if not page.HasField("next"):
            break
        assert len(page.individuals) <= 3
        request.after = page.next
    ids = [each.id for each in individuals]
    assert ids == sorted(set(ids))
    assert pages == -(-len(ids) // 3)
    listed = (await house.people.ListIndividuals(pb.ListIndividualsRequest(name="one"))).individuals
    fitness = {each.id: each.fitness for each in listed}
    assert ids == sorted(fitness)
    for each in individuals:
        assert Genome.decode(each.genome).id == each.id
        assert (list(each.returns), len(each.seeds)) == ([fitness[each.id]], 1)


@pytest.mark.parametrize("limit", [0, 1_001])
async def test_a_page_of_returns_has_its_bounds(house: House, limit: int) -> None:
    await house.create()
    with pytest.raises(aio.AioRpcError, match=f"limit is {limit}; allowed: 1 to 1000"):
        await house.people.ListReturns(pb.ListReturnsRequest(name="one", limit=limit))


async def test_a_page_ends_where_its_genomes_are_long(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("master.wire.known_returns._PAGE_BYTES", 1)
    await house.create(without_candidates())
    await house.play(3)
    page = await house.people.ListReturns(pb.ListReturnsRequest(name="one"))
    assert [each.id for each in page.individuals] == [page.next]
