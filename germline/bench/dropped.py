"""What ten thousand connections that are opened and dropped leave behind in a master.

Run ``python -m germline.bench.dropped``. Each says who it is, is lent work, and is cut off without a
word, a hundred at a time, while one honest worker goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from germline import noise
from germline.bench.load import allow_files
from germline.bench.serving import SPHERE, Served, served
from germline.client import Client
from germline.spec import loads
from germline.v1 import worker_pb2, worker_pb2_grpc

CONNECTIONS = 10_000
AT_A_TIME = 100

_HONEST_EVALUATIONS = 10**9  # more than it comes to
_QUICK = ("--heartbeat-s", "1")  # so that those who left are forgotten while more come


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was seen.

    Attributes:
        connections: opened and dropped.
        early_memory_mib: of the master's process after a tenth of them.
        late_memory_mib: after all of them; bounded means: about the same.
        honest_evaluations: of the worker that went on meanwhile.
        longest_stall_s: the longest that the master's loop was late.
    """

    connections: int
    early_memory_mib: float
    late_memory_mib: float
    honest_evaluations: int
    longest_stall_s: float


async def measure(connections: int) -> Dropped:
    """Open and drop so many."""
    allow_files()
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), *_QUICK) as master,
        Client(master.address) as client,
    ):
        client.create(loads(SPHERE))
        honest = _honest_worker(master)
        try:
            await _drop(master.address, range(connections // 10))
            early_mib = master.memory_mib()
            await _drop(master.address, range(connections // 10, connections))
        finally:
            honest.kill()
            honest.wait()
        told = await asyncio.to_thread(client.experiment, "bench")
        return Dropped(
            connections=connections,
            early_memory_mib=early_mib,
            late_memory_mib=master.memory_mib(),
            honest_evaluations=told.evaluations,
            longest_stall_s=master.metric("germline_loop_late_most_seconds"),
        )


def _honest_worker(master: Served) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "germline.bench.fleet", master.address, "--streams", "1"]
    pace = ("--batch", "1", "--in-flight", "4", "--play-s", "0.01", "--evaluations", str(_HONEST_EVALUATIONS))
    return subprocess.Popen([*command, *pace], stdout=subprocess.DEVNULL)  # noqa: S603 - our own module


async def _drop(address: str, numbers: range) -> None:
    for first in range(0, len(numbers), AT_A_TIME):
        some = numbers[first : first + AT_A_TIME]
        await asyncio.gather(*(_open_and_drop(address, f"dropped-{number}") for number in some))


async def _open_and_drop(address: str, name: str) -> None:
    options = (("grpc.use_local_subchannel_pool", 1),)
    channel = grpc.aio.insecure_channel(address, options=options)
    call = worker_pb2_grpc.WorkerServiceStub(channel).Work()
    digest = noise.self_test_digest()
    hello = worker_pb2.Hello(worker_id=name, noise_version=noise.VERSION, noise_digest=digest, slots=4)
    await call.write(worker_pb2.WorkerMessage(hello=hello))
    await call.write(worker_pb2.WorkerMessage(credit=worker_pb2.Credit(evaluations=4)))
    await call.read()
    await call.read()
    await channel.close(grace=None)


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    given = parser.parse_args()
    figures = asyncio.run(measure(given.connections))
    print(json.dumps(dataclasses.asdict(figures), indent=1))  # noqa: T201 - the figures


if __name__ == "__main__":
    main()
