"""A master as its own process: started, killed, stopped, misused. A made-up worker talks to it."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from germline import noise
from germline.genome import Genome, Mutation
from germline.ports import free_port
from germline.spec import behaviour_dimensions, loads
from germline.v1 import experiment_pb2, worker_pb2
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub
from germline.v1.worker_pb2_grpc import WorkerServiceStub
from master.journal.own_store import OwnStore

PATIENCE_S = 60.0
SPEC = loads("""
name = "killed"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 50
parents = 5
""")
BEHAVED = """
name = "killed"
[task.function]
path = "germline.functions:place"
[policy]
name = "vector"
[behaviour]
descriptor = "task"
dimensions = 2
low = [0.0]
high = [1.0]
"""
SPECS = {
    "reward": SPEC,
    "novelty": loads(f"""{BEHAVED}
[algorithm.ga]
window = 50
parents = 5
selection = "tournament"
[algorithm.ga.novelty]
objective = "adaptive"
archive_share = 0.2
patience = 10
"""),
    "map": loads(f"{BEHAVED}[algorithm.map_elites]\ngrid = [8, 8]\nfounders = 30\n"),
}


START_S = 90.0  # a master may wait a minute for its store's first snapshots
CHANNEL = (
    ("grpc.use_local_subchannel_pool", 1),  # what other channels were refused makes this one wait for nothing
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class House:
    """A folder, a port, and one master after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self.masters: list[subprocess.Popen[str]] = []

    def start(self, *flags: str, **environment: str) -> "subprocess.Popen[str]":
        listen = () if "--listen" in flags else ("--listen", self.address)
        command = [
            *(sys.executable, "-m", "master", *listen, "--metrics-port", "-1"),
            *("--store-folder", str(self.folder / "store"), *flags),
        ]
        variables = os.environ | environment
        master = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables)
        self.masters.append(master)
        return master

    def serve(self, *flags: str) -> "subprocess.Popen[str]":
        master = self.start(*flags)
        time_up = time.monotonic() + START_S
        with grpc.insecure_channel(self.address, options=CHANNEL) as channel:
            ready = grpc.channel_ready_future(channel)
            while not ready.done():
                assert master.poll() is None, f"the master ended: {master.communicate()[1]}"
                if time.monotonic() > time_up:
                    master.terminate()
                    raise AssertionError(f"the master does not serve: {master.communicate(timeout=20)[1]}")
                with contextlib.suppress(grpc.FutureTimeoutError):
                    ready.result(1.0)
        return master

    def end(self) -> None:
        """No process is left behind: the last master takes the store with it."""
        for master in self.masters:
            if master.poll() is None:
                master.terminate()
            master.communicate(timeout=PATIENCE_S)
        if self.masters and self.masters[-1].returncode != 0:
            finish(self.start())


def finish(master: "subprocess.Popen[str]") -> str:
    """Stop a master politely; give what it logged."""
    time_up = time.monotonic() + PATIENCE_S
    log = ""
    assert master.stderr is not None
    while "serving on" not in log and time.monotonic() < time_up:
        log += master.stderr.readline()
    master.send_signal(signal.SIGTERM)
    return log + master.communicate(timeout=PATIENCE_S)[1]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.end()


class Worker:
    """Keeps its word: a result is repeated until it is acknowledged."""

    def __init__(self, behaviour_bytes: int = 0) -> None:
        self.behaviour_bytes = behaviour_bytes
        self.acknowledged = 0
        self.refused: list[worker_pb2.Refusal] = []
        self.individuals: dict[int, int] = {}  # ticket to genome id, as lent last
        self.lent_by: dict[int, int] = {}  # sequence to tickets lent by then
        self.certain: dict[int, int] = {}  # the individuals that the master must know after a kill
        self.unacknowledged: dict[int, worker_pb2.Results] = {}
        self.sequence = 0
        self._random = random.Random(5)  # noqa: S311 - scores

    @contextlib.contextmanager
    def connected(self, address: str) -> Iterator["Stream"]:
        with grpc.insecure_channel(address, options=CHANNEL) as channel:
            stream = Stream(self, channel)
            yield stream
            stream.hang_up()


class Stream:
    """One stream of a worker."""

    def __init__(self, worker: Worker, channel: grpc.Channel) -> None:
        self.worker = worker
        self.people = ExperimentServiceStub(channel)
        self._outbox: SimpleQueue[worker_pb2.WorkerMessage | None] = SimpleQueue()
        self._known: dict[int, Genome] = {}
        self._call: Any = WorkerServiceStub(channel).Work(iter(self._outbox.get, None))
        hello = worker_pb2.Hello(
            worker_id="w", noise_version=noise.VERSION, noise_digest=noise.self_test_digest(), slots=16
        )
        self.say(hello=hello)
        assert next(self._call).WhichOneof("kind") == "welcome"
        for results in worker.unacknowledged.values():
            self.say(results=results)
        worker.individuals.clear()  # what no acknowledgement vouched for may be asked anew
        worker.lent_by.clear()

    def say(self, **message: Any) -> None:
        self._outbox.put(worker_pb2.WorkerMessage(**message))

    def play(self, evaluations: int) -> None:
        """Play until so many more are acknowledged."""
        wanted = self.worker.acknowledged + evaluations
        self.say(credit=worker_pb2.Credit(evaluations=16))
        while self.worker.acknowledged < wanted:
            self.hear()

    def hear(self) -> None:
        message = next(self._call)
        if message.WhichOneof("kind") == "acknowledgement":
            self._settle(message.acknowledgement)
        elif message.WhichOneof("kind") == "leases":
            self._tell(message.leases)

    def ask(self) -> experiment_pb2.Experiment:
        request = experiment_pb2.GetExperimentRequest(name="killed")
        return self.people.GetExperiment(request).experiment

    def hang_up(self) -> None:
        self._outbox.put(None)
        self._call.cancel()

    def _tell(self, leases: worker_pb2.Leases) -> None:
        worker = self.worker
        for known in leases.known:
            self._known[known.id] = Genome.decode(known.encoded)
        worker.sequence += 1
        results = worker_pb2.Results(sequence=worker.sequence)
        for lease in leases.leases:
            genome = self._known[lease.genome]
            if lease.HasField("mutation"):
                genome = genome.child(
                    Mutation(lease.mutation.seed, lease.mutation.power, lease.mutation.rank)
                )
            ticket = lease.key.ticket
            assert worker.certain.get(ticket, genome.id) == genome.id, "a ticket names one individual"
            worker.individuals[ticket] = genome.id
            score = worker._random.random()
            behaviour = worker._random.randbytes(worker.behaviour_bytes)
            results.results.add(lease=lease.key, returns=[score], frames=100, steps=25, behaviour=behaviour)
        worker.unacknowledged[worker.sequence] = results
        worker.lent_by[worker.sequence] = len(worker.individuals)
        self.say(results=results)
        self.say(credit=worker_pb2.Credit(evaluations=len(leases.leases)))

    def _settle(self, acknowledgement: worker_pb2.Acknowledgement) -> None:
        results = self.worker.unacknowledged.pop(acknowledgement.sequence)
        lent = islice(self.worker.individuals.items(), self.worker.lent_by.get(acknowledgement.sequence, 0))
        self.worker.certain.update(lent)
        self.worker.refused += acknowledgement.refused
        self.worker.acknowledged += len(results.results) - len(acknowledgement.refused)


@pytest.mark.parametrize("search", SPECS)
def test_a_master_that_is_killed_misses_no_acknowledged_evaluation(house: House, search: str) -> None:
    spec = SPECS[search]
    worker = Worker(2 * behaviour_dimensions(spec))
    master = house.serve("--snapshot-interval-s", "0.2")
    with worker.connected(house.address) as stream:
        stream.people.CreateExperiment(experiment_pb2.CreateExperimentRequest(spec=spec))
        stream.play(300)
    for _ in range(3):
        with contextlib.suppress(grpc.RpcError, StopIteration), worker.connected(house.address) as stream:
            stream.say(credit=worker_pb2.Credit(evaluations=64))
            for _ in range(40):
                stream.hear()
            master.kill()
            while True:
                stream.hear()
        before = worker.acknowledged
        master = house.serve("--snapshot-interval-s", "0.2")
        with worker.connected(house.address) as stream:
            now = stream.ask()
            assert before <= now.evaluations <= worker.sequence * 64
            assert now.frames == 100 * now.evaluations
            stream.play(200)
            # What was repeated after the kill counted then or had counted before it: both are settled.
            settled = worker.acknowledged + len(worker.refused)
            assert (
                worker.acknowledged
                <= stream.ask().evaluations
                <= settled + sum(len(results.results) for results in worker.unacknowledged.values())
            )
    codes = {refusal.code for refusal in worker.refused}
    assert codes <= {worker_pb2.REFUSAL_CODE_ALREADY_TOLD, worker_pb2.REFUSAL_CODE_UNKNOWN}


def test_sigterm_drains_and_ends_with_status_0(house: House) -> None:
    master = house.serve()
    worker = Worker()
    with worker.connected(house.address) as stream:
        stream.people.CreateExperiment(experiment_pb2.CreateExperimentRequest(spec=SPEC))
        stream.play(50)
        master.send_signal(signal.SIGTERM)
        with contextlib.suppress(StopIteration):
            while True:
                stream.hear()
        assert stream._call.code() is grpc.StatusCode.OK
    assert not worker.unacknowledged
    assert master.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("flags", "environment", "status", "sentence"),
    [
        (("--listen", "nowhere"), {}, 2, "--listen is 'nowhere'|listen is 'nowhere'; allowed: host:port"),
        (("--colour", "red"), {}, 2, "unrecognized arguments: --colour red"),
        ((), {"GERMLINE_DRAIN_S": "soon"}, 2, "GERMLINE_DRAIN_S is 'soon'; allowed: a number"),
        ((), {"GERMLINE_STORE": "redis://127.0.0.1:1/0"}, 1, "the store cannot be reached"),
        (("--token-file", "/nowhere/token"), {}, 2, "/nowhere/token cannot be read"),
    ],
)
def test_a_master_that_cannot_serve_says_why_and_ends(
    house: House, flags: tuple[str, ...], environment: dict[str, str], status: int, sentence: str
) -> None:
    master = house.start(*flags, **environment)
    log = master.communicate(timeout=PATIENCE_S)[1]
    assert master.returncode == status
    assert any(part in log for part in sentence.split("|"))
    assert "Traceback" not in log
    house.masters.clear()


def test_a_port_in_use_ends_the_master_with_the_address(house: House) -> None:
    host, port = house.address.split(":")
    with socket.create_server((host, int(port))):
        log = house.start().communicate(timeout=PATIENCE_S)[1]
    assert house.masters.pop().returncode == 1
    assert f"listen is {house.address}, which cannot be served on" in log
    assert "Traceback" not in log


async def test_a_folder_in_use_ends_the_master_with_the_holder(house: House) -> None:
    async with OwnStore(house.folder / "store"):
        log = house.start().communicate(timeout=PATIENCE_S)[1]
    assert house.masters.pop().returncode == 1
    assert f"another master (process {os.getpid()}) works in" in log


def test_logs_are_json_if_asked_for_and_never_hold_the_token(house: House) -> None:
    log = finish(house.start("--log-format", "json", **{"GERMLINE_TOKEN": "secret-1"}))
    assert house.masters.pop().returncode == 0
    lines = log.splitlines()
    assert all(line.startswith("{") for line in lines)
    assert any('"drained' in line for line in lines)
    assert "secret-1" not in log
