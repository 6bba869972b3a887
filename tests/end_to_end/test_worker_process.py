"""Real worker processes, against a small real master in the test."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import grpc
import pytest
from grpc import aio

from germline.genome import Genome
from germline.spec import loads
from germline.v1 import genome_pb2, spec_pb2, worker_pb2
from germline.v1.worker_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server

PATIENCE_S = 60.0
FOUNDER = Genome.founder(7)
Context = aio.ServicerContext[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]

ALGORITHM = "[algorithm.ga]\nwindow = 10\nparents = 5\n[stop]\nevaluations = 10\n"
CARTPOLE = loads(
    'name = "cartpole"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\nhidden = [8]\n' + ALGORITHM
)
ASLEEP = loads(
    'name = "asleep"\n[task.function]\npath = "sleeper:sleep"\n[policy]\nname = "vector"\n' + ALGORITHM
)
SLEEPS = ("--allow-code", "sleeper")
SLEEPER = """
import time

def sleep(weights, seed):
    time.sleep(600)
    return 0.0
"""


class LendingMaster(WorkerServiceServicer):
    """Lends founders of one experiment for as much credit as it gets, and keeps what it is told."""

    def __init__(self, spec: spec_pb2.ExperimentSpec) -> None:
        self._spec = spec
        self._tickets = count()
        self.lent: set[int] = set()
        self.told: set[int] = set()
        self.heard: asyncio.Queue[worker_pb2.WorkerMessage] = asyncio.Queue()
        self.refusal = ""
        self.address = ""

    async def Work(  # type: ignore[override]  # noqa: N802
        self, request_iterator: object, context: Context
    ) -> None:
        await self.heard.put(await self._read(context))
        if self.refusal:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, self.refusal)
        welcome = worker_pb2.Welcome(master_id="test", heartbeat_s=1.0)
        await context.write(worker_pb2.MasterMessage(welcome=welcome))
        introduction = worker_pb2.ExperimentIntroduction(experiment=1, spec=self._spec)
        await context.write(worker_pb2.MasterMessage(introduction=introduction))
        while message := await self._read(context):
            await self.heard.put(message)
            await self._answer(message, context)
            if message.HasField("goodbye"):
                return

    async def _read(self, context: Context) -> worker_pb2.WorkerMessage:
        message = await context.read()
        return message if isinstance(message, worker_pb2.WorkerMessage) else worker_pb2.WorkerMessage()

    async def _answer(self, message: worker_pb2.WorkerMessage, context: Context) -> None:
        if message.HasField("credit"):
            tickets = [next(self._tickets) for _ in range(message.credit.evaluations)]
            self.lent.update(tickets)
            await context.write(worker_pb2.MasterMessage(leases=_leases(tickets)))
        if message.HasField("results"):
            self.told.update(result.lease.ticket for result in message.results.results)
            told = worker_pb2.Acknowledgement(sequence=message.results.sequence)
            await context.write(worker_pb2.MasterMessage(acknowledgement=told))

    async def hear(self, kind: str) -> worker_pb2.WorkerMessage:
        async with asyncio.timeout(PATIENCE_S):
            while (message := await self.heard.get()).WhichOneof("kind") != kind:
                pass
        return message


def _leases(tickets: list[int]) -> worker_pb2.Leases:
    keys = [worker_pb2.LeaseKey(experiment=1, ticket=ticket, attempt=1) for ticket in tickets]
    leases = [worker_pb2.Lease(key=key, genome=FOUNDER.id, episode_seeds=[key.ticket]) for key in keys]
    return worker_pb2.Leases(
        known=[genome_pb2.KnownGenome(id=FOUNDER.id, encoded=FOUNDER.encode())], leases=leases
    )


@asynccontextmanager
async def lending(spec: spec_pb2.ExperimentSpec) -> AsyncIterator[LendingMaster]:
    server, master = aio.server(), LendingMaster(spec)
    add_WorkerServiceServicer_to_server(master, server)
    master.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield master
    finally:
        await server.stop(None)


@asynccontextmanager
async def worker(master: str, *flags: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    device = () if "--device" in flags else ("--device", "cpu")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", "--master", master, *device, *flags,
        stderr=asyncio.subprocess.PIPE, cwd=folder,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def exit_of(process: asyncio.subprocess.Process, within_s: float = PATIENCE_S) -> tuple[int, str]:
    async with asyncio.timeout(within_s):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


async def test_a_worker_plays_until_told_to_stop_and_hands_back_only_what_it_has_not_told(
    tmp_path: Path,
) -> None:
    async with lending(CARTPOLE) as master, worker(master.address, folder=tmp_path) as process:
        hello = (await master.hear("hello")).hello
        assert hello.device == "cpu"
        assert {"torch", "numpy", "gymnasium", "python"} <= hello.libraries.keys()
        told = (await master.hear("results")).results.results[0]
        assert 8 <= told.returns[0] <= 500
        assert told.steps == told.returns[0]
        process.send_signal(signal.SIGTERM)
        goodbye = (await master.hear("goodbye")).goodbye
        assert {key.ticket for key in goodbye.returned} <= master.lent - master.told
        assert (await exit_of(process, within_s=15.0))[0] == 0


async def test_a_worker_imports_nothing_that_its_operator_did_not_allow_says_so_and_lives_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "sleeper.py").write_text("open('imported', 'w').close()\n" + SLEEPER)
    async with lending(ASLEEP) as master, worker(master.address, folder=tmp_path) as process:
        rejection = (await master.hear("rejection")).rejection
        assert rejection.reason == (
            "task.function.path is 'sleeper:sleep', which this worker may not import; its operator can allow "
            "it: --allow-code sleeper"
        )
        await master.hear("heartbeat")
        assert process.returncode is None
        assert not (tmp_path / "imported").exists()


async def test_a_worker_inside_native_code_still_leaves_when_told_to(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    async with lending(ASLEEP) as master, worker(master.address, *SLEEPS, folder=tmp_path) as process:
        await master.hear("credit")
        while (await master.hear("heartbeat")).heartbeat.busy_share < 0.9:
            pass
        process.send_signal(signal.SIGTERM)
        goodbye = (await master.hear("goodbye")).goodbye
        assert {key.ticket for key in goodbye.returned} == master.lent
        assert (await exit_of(process, within_s=15.0))[0] == 0


async def test_a_second_signal_ends_a_worker_at_once(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    async with lending(ASLEEP) as master, worker(master.address, *SLEEPS, folder=tmp_path) as process:
        while (await master.hear("heartbeat")).heartbeat.busy_share < 0.9:
            pass
        process.send_signal(signal.SIGINT)
        await master.hear("goodbye")
        process.send_signal(signal.SIGINT)
        assert (await exit_of(process, within_s=1.5))[0] == 128 + signal.SIGINT


@pytest.mark.parametrize("flag", ["--exit-when-idle", "--for"])
async def test_a_worker_leaves_by_itself_when_it_is_told_how_long_to_wait(flag: str, tmp_path: Path) -> None:
    async with worker("127.0.0.1:1", flag, "0.2", folder=tmp_path) as process:
        status, errors = await exit_of(process)
    assert status == 0
    assert ("no work for 0.2 s" if "idle" in flag else "0.2 s are over") in errors


async def test_a_worker_with_work_is_not_idle(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    flags = ("--exit-when-idle", "1")
    async with lending(ASLEEP) as master, worker(master.address, *SLEEPS, *flags, folder=tmp_path) as process:
        while (await master.hear("heartbeat")).heartbeat.busy_share < 0.9:
            pass
        for _ in range(5):  # beats of half a second
            await master.hear("heartbeat")
        assert process.returncode is None


async def test_a_missing_module_is_rejected_by_name_and_the_worker_lives_on(tmp_path: Path) -> None:
    async with lending(ASLEEP) as master, worker(master.address, *SLEEPS, folder=tmp_path) as process:
        rejection = (await master.hear("rejection")).rejection
        assert rejection.experiment == 1
        assert "task.function.path is 'sleeper:sleep'" in rejection.reason
        await master.hear("heartbeat")
        assert process.returncode is None


async def test_a_worker_that_does_not_fit_leaves_with_the_masters_sentence(tmp_path: Path) -> None:
    async with lending(CARTPOLE) as master:
        master.refusal = "hello.noise_version is 1; this master evolves with noise version 2"
        async with worker(master.address, "--log-format", "json", folder=tmp_path) as process:
            status, errors = await exit_of(process)
    assert status == 1
    last = json.loads(errors.splitlines()[-1])
    assert last["level"] == "error"
    assert master.refusal in last["message"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--device", "tpu"], "device is 'tpu'; allowed: auto, cpu, cuda, mps"),
        (["--slots", "-1"], "slots is -1; allowed: 1 or more"),
        (["--token-file", "nowhere"], "the token file nowhere cannot be read"),
    ],
)
async def test_wrong_settings_stop_the_start_with_a_sentence(
    flags: list[str], sentence: str, tmp_path: Path
) -> None:
    async with worker("127.0.0.1:1", *flags, folder=tmp_path) as process:
        status, errors = await exit_of(process)
    assert status == 2
    assert sentence in errors
