"""The evochi gateway: joins and deaths in every phase, misuse, and a master that comes back."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import grpc
import grpc.aio
import pytest

from germline.algorithms.own_orders import Phase
from germline.peers import evochi_pb2 as pb
from master.config import MasterConfig
from master.experiments.own import OwnWork
from master.gateways import GatewayError
from master.gateways.evochi.config import EvochiConfig, duration_s
from master.server import Master
from tests.peers.evochi_peer import PATIENCE_S, Peer, crew, rewards, until

POPULATION = 9


def config(folder: Path, **more: object) -> MasterConfig:
    settings = {"listen": "localhost:0", "metrics_port": -1, "gateway": "evochi=localhost:0"} | more
    return MasterConfig(store_folder=folder / "store", **settings)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def serving(folder: Path, **environment: str) -> AsyncIterator[Master]:
    variables = {"EVOCHI_POPULATION_SIZE": str(POPULATION), **environment}
    async with Master.serving(config(folder), environment=variables) as master:
        yield master


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    async with serving(tmp_path) as master:
        yield master


def own_of(master: Master) -> OwnWork:
    own = master.registry.named("evochi").own
    assert own is not None
    return own


def worker(master: Master, cores: int = 3) -> Peer:
    return Peer(master.gateways["evochi"], cores)


def check(peers: Iterable[Peer], lost: Iterable[tuple[int, int]] = ()) -> None:
    """Nobody was stale, nobody optimised twice, and every reward was that of its member and epoch."""
    peers = list(peers)
    for peer in peers:
        assert peer.stale == []
        assert max(peer.twice.values(), default=0) <= 1
        for epoch, told in peer.optimised.items():
            assert told == rewards(epoch, POPULATION)
        assert sorted(peer.optimised) == list(
            range(min(peer.optimised, default=1), max(peer.optimised, default=0) + 1)
        )
    times = Counter(each for peer in peers for each in peer.evaluated)
    assert set(times.values()) <= {1}, "a member was evaluated twice, and not because its worker died"


async def reached(master: Master, epochs: int) -> None:
    await until(lambda: own_of(master).run.updates >= epochs, f"{epochs} epochs")


async def test_members_are_evaluated_once_and_all_optimise_every_epoch_once(master: Master) -> None:
    async with crew(worker(master, 4), worker(master, 2), worker(master, 1)) as peers:
        await reached(master, 20)
    check(peers)
    assert all(set(peer.optimised) >= set(range(2, 20)) for peer in peers)


@pytest.mark.slow
async def test_sixteen_workers_optimise_each_of_three_hundred_epochs_once(tmp_path: Path) -> None:
    async with serving(tmp_path, EVOCHI_MAX_EPOCHS="300") as master:
        peers = [worker(master, 1) for _ in range(16)]
        async with crew(*peers), asyncio.timeout(200):
            await asyncio.gather(*(peer.task for peer in peers if peer.task))
    check(peers)
    assert sum(sum(peer.twice.values()) for peer in peers) >= 16 * 299
    assert all(set(peer.optimised) >= set(range(2, 301)) for peer in peers)


async def test_who_joins_while_the_state_is_made_hears_nothing_until_it_is_there(master: Master) -> None:
    first, second = worker(master), worker(master)
    entered = first.hold("initialize")
    async with crew(first):
        await entered.wait()
        async with crew(second):
            await until(lambda: len(own_of(master).workers) == 2, "both are there")
            assert second.events == []
            first.let_go("initialize")
            await reached(master, 2)
    check([first, second])
    assert second.hello is not None
    assert second.hello.state
    assert pb.EVENT_TYPE_INITIALIZE not in second.events


@pytest.mark.parametrize("hook", ["evaluate", "optimize", "share"])
async def test_who_joins_in_any_phase_of_an_epoch_is_never_behind(master: Master, hook: str) -> None:
    peers = [worker(master), worker(master)]
    late = worker(master)
    held = [peer.hold(hook) for peer in peers]
    async with crew(*peers):
        await asyncio.wait([asyncio.create_task(each.wait()) for each in held], return_when="FIRST_COMPLETED")
        async with crew(late):
            await until(lambda: len(own_of(master).workers) == 3, "all are there")
            for peer in peers:
                peer.let_go(hook)
            await reached(master, own_of(master).run.updates + 3)
    check([*peers, late])
    assert len(late.optimised) >= 2


@pytest.mark.parametrize("late_comes", [False, True], ids=["", "while-another-waits"])
@pytest.mark.parametrize(
    ("hook", "survivor_is"),
    [
        ("initialize", "waiting"), ("evaluate", "idle"), ("evaluate", "busy"), ("optimize", "through"),
        ("optimize", "busy"), ("share", "through"),
    ],
)  # fmt: skip
async def test_whoever_dies_in_any_phase_the_others_go_on(
    master: Master, hook: str, survivor_is: str, late_comes: bool
) -> None:
    """The survivor holds work of its own while the other dies, or waits for that very one."""
    own, victim, survivor = own_of(master), worker(master, POPULATION - 3), worker(master)
    late = worker(master)
    victim.cores = POPULATION if survivor_is == "idle" else POPULATION - 3
    first = "evaluate" if hook in ("optimize", "share") else hook
    victim.hold(hook)
    victim.hold(first)
    if survivor_is == "busy":
        survivor.hold(hook)
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        await stack.enter_async_context(crew(victim))
        await victim.entered[first].wait()
        await stack.enter_async_context(crew(survivor))
        await until(lambda: len(own.workers) == 2, "both are there")
        if first != hook:
            victim.let_go(first)
            await victim.entered[hook].wait()
        if survivor_is == "busy":
            await survivor.entered[hook].wait()
        if late_comes:
            await stack.enter_async_context(crew(late))
            await until(lambda: len(own.workers) == 3, "the late one is there")
        before = own.run.updates
        await victim.die()
        await until(lambda: len(own.workers) == 1 + late_comes, "the victim is gone")
        if survivor_is == "busy":
            survivor.let_go(hook)
        await reached(master, before + 3)
    check([survivor, *([late] if late_comes else [])])
    assert victim.stale == []


async def test_when_the_last_one_dies_in_any_phase_the_next_goes_on_from_there(master: Master) -> None:
    for hook in ("evaluate", "optimize", "share"):
        victim, heir = worker(master), worker(master)
        entered = victim.hold(hook)
        async with crew(victim):
            async with asyncio.timeout(PATIENCE_S):
                await entered.wait()
            before = own_of(master).run.updates
        await until(lambda: not own_of(master).workers, "nobody is left")
        async with crew(heir):
            await reached(master, before + 2)
        check([heir])
        assert heir.hello is not None
        assert heir.hello.state == b"%d" % before


async def held_amid_an_epoch(peer: Peer, own: OwnWork) -> None:
    """Stop a worker before it evaluates, when some members of the epoch are told."""
    await peer.hold("evaluate").wait()
    while not own.run.open.told():
        gate = peer.gates["evaluate"]
        entered = peer.hold("evaluate")
        gate.set()
        await entered.wait()


async def test_a_state_is_answered_when_it_is_in_the_store(master: Master) -> None:
    peer, own = worker(master), own_of(master)
    assert peer.hello is None
    events = peer.stub.Subscribe(pb.SubscribeRequest(cores=1)).__aiter__()
    peer.hello = (await anext(events)).hello
    task = (await anext(events)).initialize.task_id
    assert own.kept is None
    await peer.stub.FinishInitialization(
        pb.FinishInitializationRequest(task_id=task, state=b"0"), metadata=peer.auth
    )
    assert own.kept is not None
    await peer.die()


async def test_a_restart_of_the_master_keeps_epoch_state_and_what_was_told(tmp_path: Path) -> None:
    first, second = None, None
    async with serving(tmp_path) as master:
        first = worker(master, 4)
        async with crew(first):
            await reached(master, 3)
            await held_amid_an_epoch(first, own_of(master))
            await master.journal.durable()
        kept = own_of(master).run.snapshot()
        assert kept["told"]
    async with serving(tmp_path) as master:
        own = own_of(master)
        assert own.run.snapshot() == kept
        second = worker(master, 4)
        async with crew(second):
            await reached(master, own.run.updates + 2)
        check([first, second])
        assert second.hello is not None
        assert int(second.hello.state) == kept["updates"]


async def test_the_last_epoch_ends_the_run_and_its_state_is_kept(tmp_path: Path) -> None:
    async with serving(tmp_path, EVOCHI_MAX_EPOCHS="3") as master:
        peers = [worker(master), worker(master)]
        async with crew(*peers):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(peer.task for peer in peers if peer.task))
        check(peers)
        assert [peer.events[-1] for peer in peers] == [pb.EVENT_TYPE_STOP] * 2
        assert peers[0].hello is not None
        assert peers[0].hello.max_epochs == 3
        experiment = master.registry.named("evochi")
        assert experiment.state.name == "COMPLETE"
        assert experiment.progress.evaluations == 3 * POPULATION
        assert await master.journal.checkpoints.get(experiment.number, 3) == b"3"
        await master.journal.flush(PATIENCE_S)
        store = master.journal._store
        kept = [key async for key in store.keys_like(store.keys.experiments, ":checkpoint:")]
        assert kept == [store.keys.checkpoint(experiment.number, 3)], (
            "a state of before is still in the store"
        )
        late = worker(master)
        async with crew(late):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(peer.task for peer in [late] if peer.task))
        assert late.events == [pb.EVENT_TYPE_HELLO, pb.EVENT_TYPE_STOP]


async def test_a_paused_experiment_evaluates_nothing_and_a_resumed_one_goes_on(master: Master) -> None:
    peer = worker(master)
    async with crew(peer):
        await reached(master, 2)
        experiment, own = master.registry.named("evochi"), own_of(master)
        experiment.pause()
        await until(lambda: own.run.phase is Phase.EVALUATE and not own.lent, "all comes to rest")
        before = len(peer.evaluated)
        experiment.resume()
        await reached(master, own.run.updates + 2)
        assert len(peer.evaluated) > before
    check([peer])


async def call(peer: Peer, request: object) -> grpc.StatusCode:
    """What becomes of one call of a worker that has said hello."""
    method = getattr(peer.stub, type(request).__name__.removesuffix("Request"))
    try:
        answer = await method(request, metadata=peer.auth)
    except grpc.aio.AioRpcError as error:
        return error.code()
    assert answer.ok
    return grpc.StatusCode.OK


async def test_what_cannot_be_is_refused_by_name_and_changes_nothing(master: Master) -> None:
    peer = worker(master)
    entered = peer.hold("evaluate")
    async with crew(peer):
        await entered.wait()
        own = own_of(master)
        task = own.run.members[peer.hello.id if peer.hello else ""].task
        assert task is not None
        assert peer.hello is not None
        name = f"{peer.hello.id[:24]}{task.task:012x}"
        before = own.run.snapshot()

        def told(start: int, end: int, values: int) -> pb.FinishEvaluationRequest:
            part = pb.Evaluation(slice=pb.Slice(start=start, end=end), rewards=[1.0] * values)
            return pb.FinishEvaluationRequest(task_id=name, evaluations=[part])

        def beside(*more: pb.Evaluation) -> pb.FinishEvaluationRequest:
            return pb.FinishEvaluationRequest(task_id=name, evaluations=[*told(0, 3, 3).evaluations, *more])

        invalid, unknown = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
        for request, code in (
            (told(0, 3, 2), invalid),
            (told(3, 6, 3), invalid),
            (told(-3, 0, 3), invalid),
            (told(2, 0, 0), invalid),
            (pb.FinishEvaluationRequest(task_id=name), invalid),
            (beside(pb.Evaluation(slice=pb.Slice(start=-5, end=-5))), invalid),
            (beside(*[pb.Evaluation(slice=pb.Slice(start=0, end=1), rewards=[1.0])] * 9), invalid),
            (pb.FinishEvaluationRequest(task_id=name, evaluations=[pb.Evaluation()] * 5_000), invalid),
            (pb.FinishEvaluationRequest(task_id=name, evaluations=[pb.Evaluation(rewards=[1.0])]), invalid),
            (pb.FinishEvaluationRequest(task_id="x"), invalid),
            (pb.FinishEvaluationRequest(task_id="00000000-0000-4000-8000-000000000001"), unknown),
            (pb.FinishOptimizationRequest(task_id=name), unknown),
            (pb.FinishShareStateRequest(task_id=name, state=b""), invalid),
            (pb.FinishShareStateRequest(task_id=name, state=b"1"), unknown),
        ):
            assert await call(peer, request) is code, request
        assert own.run.snapshot() == before
        assert await call(peer, told(0, 3, 3)) is grpc.StatusCode.OK
        assert await call(peer, told(0, 3, 3)) is grpc.StatusCode.OK, "a repeat is taken, and dropped"
        assert master.registry.named("evochi").progress.evaluations == 3


async def test_who_shows_no_token_of_a_worker_that_is_here_is_not_let_in(master: Master) -> None:
    peer = worker(master)
    async with crew(peer):
        await reached(master, 1)
        for metadata in ((), (("authorization", "Bearer nobody"),), (("authorization", ""),)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await peer.stub.Heartbeat(pb.HeartbeatRequest(seq_id=9), metadata=metadata)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        beats = [await call(peer, pb.HeartbeatRequest(seq_id=seq)) for seq in (7, 7, -1)]
        assert beats == [grpc.StatusCode.OK] * 3, "a heartbeat of any number is one"


async def test_of_whom_nobody_knows_no_message_is_read_however_large(master: Master) -> None:
    large = b"x" * (16 << 20)
    for name in ("FinishInitialization", "FinishEvaluation", "Heartbeat"):
        async with grpc.aio.insecure_channel(
            master.gateways["evochi"], options=[("grpc.max_send_message_length", -1)]
        ) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:  # not: cannot be read, or is too large
                await channel.unary_unary(f"/evochi.v1.EvochiService/{name}", bytes, bytes)(large, timeout=20)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            call = channel.stream_unary(f"/evochi.v1.EvochiService/{name}", bytes, bytes)
            assert await call(timeout=20).code() is grpc.StatusCode.UNAUTHENTICATED, (
                "refused before anything is sent"
            )


async def test_a_message_that_nobody_needs_that_large_is_refused_by_its_size(master: Master) -> None:
    peer = worker(master)
    async with crew(peer):
        await reached(master, 1)
        raw = peer.channel.unary_unary("/evochi.v1.EvochiService/FinishEvaluation", bytes, bytes)
        for sent, sentence in (
            (b"\x12\x00" * (1 << 20), r"the message has 2,097,152 bytes; allowed here: up to 1,384"),
            (b"\xff" * 9, "the message cannot be read"),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match=sentence) as refused:
                await raw(sent, metadata=peer.auth)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        before = own_of(master).run.updates
        await reached(master, before + 2)


@pytest.mark.parametrize("cores", [0, -1])
async def test_a_worker_without_room_is_refused(master: Master, cores: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=f"cores is {cores}; allowed: 1 or more"):
        await worker(master, cores).work()
    assert own_of(master).workers == {}


async def test_more_workers_than_are_allowed_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, EVOCHI_MAX_WORKERS="1") as master:
        peer = worker(master)
        async with crew(peer):
            await reached(master, 1)
            with pytest.raises(grpc.aio.AioRpcError, match=r"max workers reached \(1\)"):
                await worker(master).work()


async def test_a_worker_that_takes_too_long_is_sent_away_and_its_members_go_to_others(tmp_path: Path) -> None:
    async with serving(tmp_path, EVOCHI_TASK_TIMEOUT="500ms") as master:
        slow, quick = worker(master, 4), worker(master, 4)
        entered = slow.hold("evaluate")
        async with crew(slow):
            await entered.wait()
            async with crew(quick):
                await reached(master, 2)
        check([quick])


async def test_a_reward_that_is_no_number_is_passed_on_and_shown_as_failed(master: Master) -> None:
    peer = worker(master, POPULATION)
    peer.answer = lambda told: [math.nan, math.inf, *told[2:]]
    async with crew(peer):
        await reached(master, 1)
    first, second, *others = peer.optimised[1]
    assert math.isnan(first)
    assert math.isinf(second)
    assert others == rewards(1, POPULATION)[2:]
    progress = master.registry.named("evochi").progress
    assert progress.failed >= 2
    assert progress.set_aside[0].name.startswith("member 0 of epoch ")
    assert progress.best_fitness is not None
    assert math.isfinite(progress.best_fitness)


async def test_an_order_has_no_more_slices_than_the_setting_says(tmp_path: Path) -> None:
    async with serving(tmp_path, EVOCHI_MAX_SLICES_PER_EVAL="1") as master:
        assert own_of(master).run.most_slices == 1


async def test_the_masters_tokens_are_asked_for_and_may_stand_beside_the_workers_own(tmp_path: Path) -> None:
    variables = {"EVOCHI_POPULATION_SIZE": str(POPULATION)}
    async with Master.serving(config(tmp_path, token="t" * 20), environment=variables) as master:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await worker(master).work()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        bearer = (("authorization", "Bearer " + "t" * 20),)
        peer = Peer(master.gateways["evochi"], metadata=bearer)
        async with crew(peer):
            await reached(master, 2)
        check([peer])


async def test_a_channel_with_a_certificate_and_a_token_in_its_credentials_trains(tmp_path: Path) -> None:
    """As docs/migrating.md says: the unmodified client then shows both tokens in most of its calls."""
    pytest.importorskip("cryptography", reason="pip install 'germline[certificates]'")
    from germline.cli.app import run  # noqa: PLC0415

    folder = tmp_path / "certificates"
    assert run(["certificates", str(folder)]) == 0
    settings = {"tls_cert": folder / "server.pem", "tls_key": folder / "server-key.pem", "token": "t" * 20}
    variables = {"EVOCHI_POPULATION_SIZE": str(POPULATION)}
    encrypted = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes())
    both = grpc.composite_channel_credentials(encrypted, grpc.access_token_call_credentials("t" * 20))
    async with Master.serving(config(tmp_path, **settings), environment=variables) as master:
        peer = Peer(master.gateways["evochi"], credentials=both)
        async with crew(peer):
            await reached(master, 2)
        check([peer])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await Peer(master.gateways["evochi"], credentials=encrypted).work()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({}, "EVOCHI_POPULATION_SIZE is 0; allowed: 1 to 1,048,576"),
        ({"EVOCHI_POPULATION_SIZE": "many"}, "EVOCHI_POPULATION_SIZE is 'many'; allowed: a whole number"),
        ({"EVOCHI_POPULATION_SIZE": "1", "EVOCHI_WORKER_TIMEOUT": "10"}, "EVOCHI_WORKER_TIMEOUT is '10'"),
        ({"EVOCHI_POPULATION_SIZE": "1", "EVOCHI_WORKER_TIMEOUT": "1ms"}, "allowed: 1s to 24h"),
        ({"EVOCHI_POPULATION_SIZE": "1", "EVOCHI_EXPERIMENT": "No name"}, "name"),
    ],
)
async def test_settings_that_cannot_work_are_refused(
    tmp_path: Path, environment: dict[str, str], problem: str
) -> None:
    with pytest.raises(GatewayError, match=problem):
        async with Master.serving(config(tmp_path), environment=environment):
            raise AssertionError


async def test_another_population_needs_another_experiment(tmp_path: Path) -> None:
    async with serving(tmp_path):
        pass
    with pytest.raises(GatewayError, match="one of a population of 9, and EVOCHI_POPULATION_SIZE is 8"):
        async with serving(tmp_path, EVOCHI_POPULATION_SIZE="8"):
            raise AssertionError
    async with serving(tmp_path, EVOCHI_POPULATION_SIZE="8", EVOCHI_EXPERIMENT="other") as master:
        assert len(list(master.registry)) == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m", 60), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("0", 0), ("0s", 0)]
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert duration_s("x", text) == pytest.approx(seconds)


def test_heartbeats_are_never_without_a_pause_and_our_names_go_before_theirs() -> None:
    environment = {"EVOCHI_POPULATION_SIZE": "5", "EVOCHI_WORKER_TIMEOUT": "1s"}
    assert EvochiConfig.of(environment).heartbeat_s == 1
    assert EvochiConfig.of(environment | {"GERMLINE_EVOCHI_POPULATION_SIZE": "6"}).evochi_population_size == 6
