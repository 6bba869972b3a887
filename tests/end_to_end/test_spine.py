"""The whole spine with real processes: a master with its own store, two workers, and violence."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from grpc import aio

from germline import noise
from germline.client import Client, Experiment, NotReachableError
from germline.ports import free_port
from germline.spec import loads
from germline.v1 import worker_pb2
from germline.v1.worker_pb2_grpc import WorkerServiceStub
from master.journal.own_store import OwnStore

EVALUATIONS = 4_000
PATIENCE_S = 120.0
SPEC = loads(f"""
name = "steps"
[task.function]
path = "steps:measure"
dimension = 10
[policy]
name = "vector"
[algorithm.ga]
window = 100
parents = 10
power = 0.05
[stop]
evaluations = {EVALUATIONS}
""")
TASK = """
import time
import numpy as np

def measure(weights, seed):
    time.sleep(0.001)
    return -float(np.square(weights).sum())
"""

Process = asyncio.subprocess.Process
Call = aio.StreamStreamCall[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]
T = TypeVar("T")


class House:
    """A folder, a port, and the processes that live there."""

    def __init__(self, folder: Path) -> None:
        (folder / "steps.py").write_text(TASK)
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self._processes: list[Process] = []

    async def start(self, module: str, *flags: str) -> Process:
        log = (self.folder / f"{module}-{len(self._processes)}.log").open("wb")
        with log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, *flags, cwd=self.folder, stderr=log
            )
        self._processes.append(process)
        return process

    async def master(self) -> Process:
        return await self.start(
            "master", "--listen", self.address, "--store-folder", "store", "--metrics-port", "-1"
        )

    async def worker(self) -> Process:
        return await self.start(
            "worker", "--master", self.address, "--device", "cpu", "--allow-code", "steps"
        )

    async def leave(self) -> None:
        """Ask everybody to go."""
        alive = [process for process in self._processes if process.returncode is None]
        for process in alive:
            process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            for process in alive:
                await process.wait()
            async with OwnStore(self.folder / "store"):
                pass  # a server that a killed master left behind ends with this

    async def create(self) -> None:
        await self._ask(lambda client: client.create(SPEC))

    async def until(self, evaluations: int) -> Experiment:
        """The experiment, once so many evaluations are in; with all of them, once its end is durable."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                now = await self._ask(lambda client: client.experiment("steps"))
                if now.evaluations >= evaluations and (now.is_over or evaluations < EVALUATIONS):
                    return now
                await asyncio.sleep(0.05)

    async def _ask(self, question: Callable[[Client], T]) -> T:
        """Ask as soon as a master answers."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    with Client(self.address) as client:
                        return await asyncio.to_thread(question, client)
                except NotReachableError:
                    await asyncio.sleep(0.1)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    try:
        yield house
    finally:
        await house.leave()


async def test_a_run_goes_on_when_a_worker_is_killed(house: House) -> None:
    early = await house.worker()
    await house.master()
    await house.create()
    await house.worker()
    await house.until(500)
    early.kill()
    done = await house.until(EVALUATIONS)
    assert done.state == "complete"
    assert done.evaluations == EVALUATIONS


class Witness:
    """A worker that remembers what the master acknowledged, and can ask whether it still knows."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._told: dict[int, worker_pb2.Results] = {}

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Call]:
        async with aio.insecure_channel(self._address) as channel:
            call = WorkerServiceStub(channel).Work(wait_for_ready=True)
            hello = worker_pb2.Hello(
                worker_id="witness",
                noise_version=noise.VERSION,
                noise_digest=noise.self_test_digest(),
                slots=16,
            )
            await call.write(worker_pb2.WorkerMessage(hello=hello))
            yield call
            call.cancel()

    async def play(self, messages: int) -> None:
        """Tell as many messages of results and wait until each is acknowledged."""
        async with self.stream() as call:
            credit = worker_pb2.Credit(evaluations=16)
            for _ in range(messages):
                await call.write(worker_pb2.WorkerMessage(credit=credit))
            while len(self._told) < messages:
                await call.write(self._results((await _next(call, "leases")).leases))
            for _ in range(messages):
                assert not (await _next(call, "acknowledgement")).acknowledgement.refused

    async def is_remembered(self) -> bool:
        """Tell everything again: whether the master refuses each result because it was told before."""
        async with self.stream() as call:
            for results in self._told.values():
                await call.write(worker_pb2.WorkerMessage(results=results))
            answers = [(await _next(call, "acknowledgement")).acknowledgement for _ in self._told]
        refused = [refusal for answer in answers for refusal in answer.refused]
        told = sum(len(results.results) for results in self._told.values())
        return len(refused) == told and all(
            refusal.code == worker_pb2.REFUSAL_CODE_ALREADY_TOLD for refusal in refused
        )

    def _results(self, leases: worker_pb2.Leases) -> worker_pb2.WorkerMessage:
        results = worker_pb2.Results(sequence=len(self._told) + 1)
        for lease in leases.leases:
            results.results.add(lease=lease.key, returns=[-1.0] * len(lease.episode_seeds), frames=1, steps=1)
        self._told[results.sequence] = results
        return worker_pb2.WorkerMessage(results=results)


async def _next(call: Call, kind: str) -> worker_pb2.MasterMessage:
    async with asyncio.timeout(PATIENCE_S):
        while isinstance(message := await call.read(), worker_pb2.MasterMessage):
            if message.WhichOneof("kind") == kind:
                return message
    raise AssertionError(f"the master ended the stream without {kind}")


async def test_no_acknowledged_evaluation_is_missing_after_the_master_is_killed(house: House) -> None:
    first = await house.master()
    workers = [await house.worker(), await house.worker()]
    await house.create()
    witness = Witness(house.address)
    await witness.play(messages=5)
    await house.until(500)

    first.kill()
    await first.wait()
    await house.master()
    assert await witness.is_remembered()
    done = await house.until(EVALUATIONS)
    assert (done.state, done.evaluations) == ("complete", EVALUATIONS)
    for worker in workers:
        worker.terminate()
        assert await worker.wait() == 0
