"""What callers may not do to a master: every size is bounded, and honest workers have their share."""

import asyncio
import contextlib
import resource
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc import aio

from germline import noise
from germline.limits import MAX_HELD, MAX_LIBRARIES, MAX_RESULTS, MAX_TEXT
from germline.spec import loads
from germline.v1 import experiment_pb2, worker_pb2
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub
from germline.v1.worker_pb2_grpc import WorkerServiceStub
from master.config import MasterConfig
from master.server import Master
from master.wire import streams, worker_service
from master.work import fleet

SPEC = loads(
    'name = "one"\n[task.function]\npath = "a:f"\n[policy]\nname = "vector"\n[algorithm.ga]\n'
    "[stop]\nevaluations = 1000000\n"
)
PATIENCE_S = 30.0
Message = worker_pb2.WorkerMessage
Call = aio.StreamStreamCall[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]
BROKE, FULL = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.RESOURCE_EXHAUSTED


def hello(name: str = "w", **fields: object) -> worker_pb2.Hello:
    usual: dict[str, object] = {
        "noise_version": noise.VERSION,
        "noise_digest": noise.self_test_digest(),
        "slots": 4,
    }
    return worker_pb2.Hello(worker_id=name, **(usual | fields))  # type: ignore[arg-type]


class House:
    """A master with one experiment, and a channel to it."""

    def __init__(self, master: Master, channel: aio.Channel) -> None:
        self.master = master
        self.channel = channel
        self.people = ExperimentServiceStub(channel)
        self.calls: list[Call] = []

    async def call(self, *said: Message) -> Call:
        call: Call = WorkerServiceStub(self.channel).Work()
        self.calls.append(call)
        for message in said:
            await call.write(message)
        return call

    async def play(self, call: Call, evaluations: int) -> None:
        """An honest worker takes so many evaluations, one after the other, and tells them."""
        for sequence in range(1, evaluations + 1):
            await call.write(Message(credit=worker_pb2.Credit(evaluations=1)))
            (lease,) = (await hear(call, "leases")).leases.leases
            result = worker_pb2.Result(lease=lease.key, returns=[1.0] * len(lease.episode_seeds), frames=1)
            await call.write(Message(results=worker_pb2.Results(sequence=sequence, results=[result])))
            assert not (await hear(call, "acknowledgement")).acknowledgement.refused


async def hear(call: Call, kind: str) -> worker_pb2.MasterMessage:
    async with asyncio.timeout(PATIENCE_S):
        while isinstance(message := await call.read(), worker_pb2.MasterMessage):
            if message.WhichOneof("kind") == kind:
                return message
    raise AssertionError(await call.details())


async def ending(call: Call) -> tuple[grpc.StatusCode, str]:
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(aio.AioRpcError):
            while isinstance(await call.read(), worker_pb2.MasterMessage):
                pass
        return await call.code(), str(await call.details())


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    config = MasterConfig(listen="localhost:0", metrics_port=-1, store_folder=tmp_path / "store")
    async with Master.serving(config) as master, aio.insecure_channel(master.address) as channel:
        house = House(master, channel)
        await house.people.CreateExperiment(experiment_pb2.CreateExperimentRequest(spec=SPEC))
        yield house
        for call in house.calls:
            call.cancel()


KEY = worker_pb2.LeaseKey(experiment=1, ticket=10**9, attempt=1)
TOO_MUCH = {
    "hello.held": Message(hello=hello(held=[KEY] * (MAX_HELD + 1))),
    "hello.noise_digest": Message(hello=hello(noise_digest="x" * (MAX_TEXT + 1))),
    "hello.version": Message(hello=hello(version="x" * (MAX_TEXT + 1))),
    "hello.process": Message(hello=hello(process="x" * (MAX_TEXT + 1))),
    "hello.libraries": Message(hello=hello(libraries={str(n): "1" for n in range(MAX_LIBRARIES + 1)})),
    "hello.slots": Message(hello=hello(slots=2**31)),
    "hello.worker_id": Message(hello=hello("w" * 65)),
    "results.results": Message(
        results=worker_pb2.Results(results=[worker_pb2.Result(lease=KEY)] * (MAX_RESULTS + 1))
    ),
    "goodbye.returned": Message(goodbye=worker_pb2.Goodbye(returned=[KEY] * (MAX_HELD + 1))),
    "goodbye.suspected": Message(goodbye=worker_pb2.Goodbye(suspected=[KEY] * (MAX_HELD + 1))),
    "checkpoint.digest": Message(
        checkpoint=worker_pb2.CheckpointPart(experiment=1, digest="x" * (MAX_TEXT + 1))
    ),
}


@pytest.mark.parametrize("field", TOO_MUCH)
async def test_what_is_too_much_is_refused_by_its_field_and_costs_only_its_own_stream(
    field: str, house: House
) -> None:
    message = TOO_MUCH[field]
    first = [] if message.HasField("hello") else [Message(hello=hello("greedy"))]
    code, sentence = await ending(await house.call(*first, message))
    assert code is BROKE
    assert sentence.startswith(f"{field} ")
    assert "allowed: " in sentence
    assert len(sentence) < 300
    await house.play(await house.call(Message(hello=hello("honest"))), 2)


async def test_a_long_reason_is_cut_before_anybody_reads_it(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    call = await house.call(Message(hello=hello()))
    long = "so it is,\n" * 100_000
    await call.write(Message(rejection=worker_pb2.Rejection(experiment=1, reason=long)))
    await call.write(Message(goodbye=worker_pb2.Goodbye(reason=long)))
    await call.done_writing()
    assert (await ending(call))[0] is grpc.StatusCode.OK
    assert caplog.messages
    assert max(map(len, caplog.messages)) < 2_000
    assert not any("\n" in line for line in caplog.messages)


async def test_a_stream_that_says_nothing_ends(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HELLO_S", 0.05)
    code, sentence = await ending(await house.call())
    assert code is grpc.StatusCode.UNAVAILABLE
    assert sentence == "the stream had no first message, hello, within 0.05 s"


def flood(address: str, is_over: threading.Event) -> tuple[grpc.StatusCode, str]:
    """Pour results and read nothing until the stream is long over; how it ended.

    With grpc's client of threads: where a write fails, the one of asyncio makes up a status of its own.
    """
    results = worker_pb2.Results(results=[worker_pb2.Result(lease=KEY)] * MAX_RESULTS)
    said = [Message(hello=hello("flood")), *[Message(results=results)] * 500]  # 2 million refusals
    with grpc.insecure_channel(address) as channel:
        call = WorkerServiceStub(channel).Work(iter(said))
        is_over.wait(PATIENCE_S)
        with contextlib.suppress(grpc.RpcError):
            for _ in call:
                pass
        return call.code(), call.details()


async def test_a_worker_that_floods_and_does_not_read_loses_its_stream_and_nobody_elses(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_service, "MAX_OWED", 20_000)
    honest = await house.call(Message(hello=hello("honest")))
    await house.play(honest, 1)
    before, is_over = _memory_mib(), threading.Event()
    flooding = asyncio.create_task(asyncio.to_thread(flood, house.master.address, is_over))
    await house.play(honest, 20)
    while [session.identity.worker_id for session in house.master.dispatcher.fleet] != ["honest"]:
        await house.play(honest, 1)
    assert _memory_mib() - before < 100  # what it poured would be refused in 400 MB of sentences
    is_over.set()
    code, sentence = await flooding
    assert code is FULL
    assert sentence.startswith("the worker does not read: ")
    await house.play(honest, 5)


async def test_there_is_room_for_so_many_workers_and_for_those_that_come_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "MAX_WORKERS", 2)
    first = await house.call(Message(hello=hello("first")))
    second = await house.call(Message(hello=hello("second")))
    for call in (first, second):
        await hear(call, "welcome")
    assert (await ending(await house.call(Message(hello=hello("third")))))[0] is FULL
    second.cancel()
    await hear(await house.call(Message(hello=hello("second"))), "welcome")
    assert (await ending(await house.call(Message(hello=hello("third")))))[0] is FULL


def _memory_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def test_connections_that_are_opened_and_dropped_cost_nothing_that_stays(house: House) -> None:
    host, port = house.master.address.split(":")
    honest = await house.call(Message(hello=hello("honest")))

    async def knock(times: int) -> None:
        for number in range(times):
            reader, writer = await asyncio.open_connection(host, int(port), family=socket.AF_INET)
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if number % 2 else b"GET / HTTP/1.1\r\n\r\n")
            writer.close()
            del reader

    await knock(200)
    before = _memory_mib()
    await asyncio.gather(knock(1_000), house.play(honest, 20))
    assert _memory_mib() - before < 50
    assert len(house.master.dispatcher.fleet) == 1


async def test_watchers_that_never_read_keep_nobody_from_working(house: House) -> None:
    request = experiment_pb2.WatchExperimentRequest(name="one", interval_s=0.1)
    watching = [house.people.WatchExperiment(request) for _ in range(100)]
    await house.play(await house.call(Message(hello=hello("honest"))), 20)
    for call in watching:
        call.cancel()
