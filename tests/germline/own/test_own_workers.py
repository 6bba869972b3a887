"""Workers that bring their own evaluate and optimise, on a real master: alone, together, wrong, cut off."""

import asyncio
import contextlib
import math
import re
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from germline.client.errors import RefusedError
from germline.limits import PART_BYTES
from germline.own import Worker, pack, unpack
from germline.ports import free_port
from germline.spec import loads
from germline.v1 import own_pb2 as pb
from germline.v1.own_pb2_grpc import OwnServiceStub
from master.config import MasterConfig
from master.experiments.own import OwnWork
from master.server import Master

ROOT = Path(__file__).parents[3]
SPEC = (ROOT / "experiments" / "own-sphere.toml").read_text()
ENDLESS = SPEC.partition("[stop]")[0]
VALUES = [-5.4957, -3.4983, -1.7497]
PATIENCE_S = 40.0


class Sphere(Worker):
    """The example of docs/own.md, that notes what it hears."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.evaluated: list[tuple[int, int]] = []
        self.stopped = ""
        self.before_evaluate: Callable[[], object] = lambda: None
        self.before_initialise: Callable[[], object] = lambda: None
        self.ballast = 0

    def initialise(self) -> bytes:
        self.before_initialise()
        return pack(theta=np.zeros(8), ballast=np.zeros(self.ballast))

    def noise(self, epoch: int) -> npt.NDArray[np.float64]:
        return np.random.default_rng([7, epoch]).standard_normal((self.population, 8))

    def theta(self) -> npt.NDArray[Any]:
        return unpack(self.state)["theta"]

    def evaluate(self, epoch: int, slices: Sequence[range]) -> Sequence[Sequence[float]]:
        self.before_evaluate()
        assert epoch == self.epoch
        self.evaluated += [(epoch, member) for each in slices for member in each]
        thetas = self.theta() + 0.1 * self.noise(epoch)
        return [[-float(((thetas[member] - 1) ** 2).sum()) for member in each] for each in slices]

    def optimise(self, epoch: int, returns: npt.NDArray[np.float64]) -> bytes:
        assert epoch == self.epoch
        z = (returns - returns.mean()) / (returns.std() + 1e-8)
        theta = self.theta() + 0.05 / (self.population * 0.1) * self.noise(epoch).T @ z
        self.values.append(-float(((theta - 1) ** 2).sum()))
        return pack(theta=theta, ballast=np.zeros(self.ballast))

    def on_stop(self, reason: str) -> None:
        self.stopped = reason


def config(folder: Path, listen: str = "localhost:0", **more: Any) -> MasterConfig:
    return MasterConfig(listen=listen, metrics_port=-1, store_folder=folder / "store", **more)


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    async with Master.serving(config(tmp_path)) as master:
        master.registry.create(loads(SPEC))
        yield master


def own_of(master: Master) -> OwnWork:
    own = master.registry.named("own-sphere").own
    assert own is not None
    return own


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


def run(worker: Worker, address: str, **more: Any) -> "asyncio.Task[None]":
    return asyncio.create_task(asyncio.to_thread(worker.run, "own-sphere", master=address, **more))


async def test_a_worker_alone_comes_to_the_known_values_and_is_told_when_it_is_over(master: Master) -> None:
    sphere = Sphere()
    await asyncio.wait_for(run(sphere, master.address, room=4), PATIENCE_S)
    assert sphere.values == pytest.approx(VALUES, abs=5e-5)
    assert sphere.stopped == "experiment own-sphere is over"
    kept = await master.journal.checkpoints.get(1, 3)
    assert unpack(kept)["theta"].tolist() == sphere.theta().tolist()
    assert master.registry.named("own-sphere").state.name == "COMPLETE"


async def test_workers_share_the_members_and_come_to_the_same_state(master: Master) -> None:
    spheres = [Sphere() for _ in range(3)]
    stop = threading.Event()
    for sphere in spheres:
        sphere.before_initialise = lambda: stop.wait(PATIENCE_S)
    waits = [run(sphere, master.address, room=2 + k) for k, sphere in enumerate(spheres)]
    await until(lambda: len(own_of(master).workers) == 3)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*waits), PATIENCE_S)
    everything = [each for sphere in spheres for each in sphere.evaluated]
    assert sorted(everything) == [(epoch, member) for epoch in range(3) for member in range(10)]
    for sphere in spheres:
        assert sphere.values == pytest.approx(VALUES[-len(sphere.values) :], abs=5e-5)
    assert len({sphere.state for sphere in spheres}) == 1


async def test_an_exception_ends_its_worker_and_another_does_its_part(master: Master) -> None:
    def break_() -> None:
        raise RuntimeError("the simulator is on fire")

    wrong, right = Sphere(), Sphere()
    wrong.before_evaluate = break_
    with pytest.raises(RuntimeError, match="on fire"):
        await run(wrong, master.address, room=4)
    await until(lambda: not own_of(master).workers)
    await asyncio.wait_for(run(right, master.address, room=4), PATIENCE_S)
    assert right.values == pytest.approx(VALUES, abs=5e-5)


async def test_too_few_returns_are_an_error_where_they_are_made(master: Master) -> None:
    class Short(Sphere):
        def evaluate(self, epoch: int, slices: Sequence[range]) -> Sequence[Sequence[float]]:
            return [each[1:] for each in super().evaluate(epoch, slices)]

    with pytest.raises(ValueError, match=r"evaluate returned \[3\] returns for slices of \[4\] members"):
        await run(Short(), master.address, room=4)


async def test_a_state_of_many_parts_travels_both_ways(master: Master) -> None:
    first, second = Sphere(), Sphere()
    first.ballast = second.ballast = PART_BYTES // 2
    stop = threading.Event()
    first.before_evaluate = lambda: stop.wait(PATIENCE_S) if first.epoch == 1 else None
    one = run(first, master.address, room=5)
    await until(lambda: own_of(master).run.updates == 1 and bool(own_of(master).lent))
    two = run(second, master.address, room=5)
    await until(lambda: len(own_of(master).workers) == 2)
    stop.set()
    await asyncio.wait_for(asyncio.gather(one, two), PATIENCE_S)
    assert len(second.state) > 4 * PART_BYTES
    assert second.state == first.state
    assert second.values == pytest.approx(VALUES[1:], abs=5e-5)


async def test_a_master_that_restarts_finds_its_workers_again_and_no_member_is_lost(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    sphere = Sphere()
    stop = threading.Event()
    sphere.before_evaluate = lambda: stop.wait(PATIENCE_S) if len(sphere.evaluated) == 14 else None
    async with Master.serving(config(tmp_path, address)) as master:
        master.registry.create(loads(SPEC))
        working = run(sphere, address, room=4)
        await until(lambda: len(sphere.evaluated) == 14 and bool(own_of(master).lent))
        await master.journal.durable()
    stop.set()
    async with Master.serving(config(tmp_path, address)):
        await asyncio.wait_for(working, PATIENCE_S)
    assert sphere.values == pytest.approx(VALUES, abs=5e-5)
    times = {each: sphere.evaluated.count(each) for each in sphere.evaluated}
    assert [each for each, count in times.items() if count > 1] == [(1, 4), (1, 5), (1, 6), (1, 7)]


async def test_a_worker_that_hangs_is_sent_away_and_others_do_its_part(tmp_path: Path) -> None:
    now = [0.0]
    async with Master.serving(config(tmp_path), clock=lambda: now[0]) as master:
        master.registry.create(loads(SPEC + "[evaluation]\nmax_episode_s = 60.0\n"))
        hung, other = Sphere(), Sphere()
        stop = threading.Event()
        hung.before_evaluate = lambda: stop.wait(PATIENCE_S)
        first = run(hung, master.address, room=2)
        await until(lambda: bool(own_of(master).lent))
        now[0] = 119.0  # two members have two minutes
        second = run(other, master.address, room=8)
        await until(lambda: len(own_of(master).run.open.told()) == 1)
        master._own_service.tick()
        assert len(own_of(master).workers) == 2
        now[0] = 121.0
        await asyncio.wait_for(second, PATIENCE_S)
        stop.set()
        with pytest.raises(RefusedError, match=r"took more than evaluation.max_episode_s, 60 s"):
            await first
    assert other.values == pytest.approx(VALUES, abs=5e-5)


async def test_who_waits_for_the_first_state_begins_with_it(master: Master) -> None:
    first, second = Sphere(), Sphere()
    stop = threading.Event()
    first.before_initialise = lambda: stop.wait(PATIENCE_S)
    waits = [run(first, master.address, room=4)]
    await until(lambda: len(own_of(master).workers) == 1)
    waits.append(run(second, master.address, room=4))
    await until(lambda: len(own_of(master).workers) == 2)
    assert second.state == b""
    stop.set()
    await asyncio.wait_for(asyncio.gather(*waits), PATIENCE_S)
    assert second.values == pytest.approx(VALUES, abs=5e-5)


@pytest.mark.parametrize(
    ("experiment", "worker_id", "problem"),
    [
        ("nobody", "w", "name is 'nobody'"),
        ("fleet", "w", r"is played by germline's workers; allowed: one with \[algorithm.own\]"),
        ("own-sphere", "a b", "hello.worker_id is 'a b'; allowed: 1 to 64"),
    ],
)
async def test_who_cannot_work_is_told_why(
    master: Master, experiment: str, worker_id: str, problem: str
) -> None:
    master.registry.create(
        loads('name = "fleet"\n[task.function]\npath = "a:b"\n[policy]\nname = "vector"\n[algorithm.ga]\n')
    )
    with pytest.raises(RefusedError, match=problem):
        await asyncio.to_thread(Sphere().run, experiment, master=master.address, worker_id=worker_id, room=1)


async def test_another_process_under_the_same_name_takes_its_place(master: Master) -> None:
    old, new = Sphere(), Sphere()
    stop = threading.Event()
    old.before_evaluate = lambda: stop.wait(PATIENCE_S)
    first = run(old, master.address, room=10, worker_id="w")
    await until(lambda: bool(own_of(master).lent))
    second = run(new, master.address, room=10, worker_id="w")
    await asyncio.wait_for(second, PATIENCE_S)
    stop.set()
    with pytest.raises(RefusedError, match="another process works under the name 'w'"):
        await asyncio.wait_for(first, PATIENCE_S)
    assert new.values == pytest.approx(VALUES, abs=5e-5)


async def stream_ends_with(master: Master, *messages: pb.OwnWorkerMessage) -> tuple[grpc.StatusCode, str]:
    """How a stream ends that says this after its hello, once it has work."""
    async with grpc.aio.insecure_channel(master.address) as channel:
        call = OwnServiceStub(channel).Work()
        for message in messages:
            await call.write(message)
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await call.read() is not grpc.aio.EOF:
                    pass
            return await call.code(), await call.details() or ""


HELLO = pb.OwnWorkerMessage(hello=pb.OwnHello(experiment="own-sphere", worker_id="w", room=2))


@pytest.mark.parametrize(
    ("messages", "code", "sentence"),
    [
        ([pb.OwnWorkerMessage(told=pb.OwnTold())], "FAILED_PRECONDITION", "first message .* must be hello"),
        ([HELLO, HELLO], "FAILED_PRECONDITION", "hello came twice"),
        (
            [pb.OwnWorkerMessage(hello=pb.OwnHello(experiment="own-sphere", worker_id="w"))],
            "INVALID",
            "room is 0",
        ),
        ([HELLO, pb.OwnWorkerMessage(optimised=pb.OwnOptimised(task=99))], "NOT_FOUND", "task 99 is none"),
        (
            [HELLO, pb.OwnWorkerMessage(state=pb.OwnStatePart(task=1, part=1, parts=2, data=b"x"))],
            "INVALID_ARGUMENT",
            "state.part is 1 of 2",
        ),
        (
            [HELLO, pb.OwnWorkerMessage(state=pb.OwnStatePart(task=1, parts=1))],
            "INVALID_ARGUMENT",
            "state is empty",
        ),
    ],
)
async def test_what_no_worker_says_ends_its_stream_with_a_sentence(
    master: Master, messages: list[pb.OwnWorkerMessage], code: str, sentence: str
) -> None:
    found, details = await stream_ends_with(master, *messages)
    assert found.name.startswith(code)
    assert re.search(sentence, details)
    await until(lambda: not own_of(master).workers)


async def test_a_token_is_asked_for_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Master.serving(config(tmp_path, token="t" * 20)) as master:
        master.registry.create(loads(SPEC))
        with pytest.raises(RefusedError, match="wants a token"):
            await asyncio.to_thread(Sphere().run, "own-sphere", master=master.address)
        sphere = Sphere()
        monkeypatch.setenv("GERMLINE_TOKEN", "t" * 20)
        await asyncio.wait_for(run(sphere, master.address, room=10), PATIENCE_S)
        assert sphere.values == pytest.approx(VALUES, abs=5e-5)


async def test_it_shows_as_any_other_experiment_does(master: Master) -> None:
    sphere = Sphere()
    stop = threading.Event()
    sphere.before_evaluate = lambda: stop.wait(PATIENCE_S) if sphere.epoch == 1 else None
    working = run(sphere, master.address, room=4, worker_id="mine")
    try:
        await until(lambda: own_of(master).run.updates == 1 and bool(own_of(master).lent))

        def look() -> tuple[Any, Any, Any]:
            from germline.client import Client  # noqa: PLC0415

            with Client(master.address) as client:
                return client.experiment("own-sphere"), client.workers(), client.history("own-sphere")

        experiment, workers, history = await asyncio.to_thread(look)
        assert (experiment.evaluations, experiment.epochs, experiment.population) == (10, 1, 10)
        assert [(worker.worker_id, worker.slots, worker.leased) for worker in workers] == [("mine", 4, 4)]
        assert len(history) == 1
        assert all(map(math.isfinite, experiment.fitness_quantiles))
        gauges = {
            each.name: each.samples[0].value for each in master.dispatcher.overview.gauges() if each.samples
        }
        assert (gauges["germline_own_workers"], gauges["germline_workers_wanted"]) == (1, 0)
    finally:
        stop.set()
    await asyncio.wait_for(working, PATIENCE_S)


def test_arrays_are_packed_without_a_pickle() -> None:
    packed = pack(theta=np.arange(6.0).reshape(2, 3).T, count=np.array(3))
    found = unpack(packed)
    assert found["theta"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert found["count"] == 3
    with pytest.raises(Exception, match="header"):
        unpack(b"\x80\x04K\x01.")
