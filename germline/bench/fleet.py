"""A fleet of workers that play nothing: real streams and messages, made-up scores; one process, many workers.

Run ``python -m germline.bench.fleet ADDRESS``; the master there must have a running experiment. Each worker
keeps a number of evaluations in flight, tells them many to a message, and asks for as many again. Standard
output gets one JSON array ``[seconds, acknowledged evaluations]`` ten times a second, until enough
are acknowledged. Slices of an evolution strategy are scored, too; its centre is a number that all agree on.
With ``--waits FILE`` the file gets, as a JSON array, how many seconds each worker waited from asking for
work to the first of it, each time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
from pathlib import Path

import grpc.aio

from germline import noise
from germline.connection import options_for
from germline.limits import MAX_MESSAGE_BYTES
from germline.v1 import worker_pb2, worker_pb2_grpc

_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # connections are not shared
    ("grpc.max_receive_message_length", 4 * MAX_MESSAGE_BYTES),  # as real workers say
)

# The last slices of an epoch are lent to several workers, and the first that tells is the one that counts.
_TOLD_BEFORE = worker_pb2.REFUSAL_CODE_ALREADY_TOLD

_SAMPLE_S = 0.1
_HEARTBEAT_S = 5.0


class Fleet:
    """Workers on streams of their own, over one connection."""

    def __init__(
        self,
        *,
        streams: int,
        batch: int,
        in_flight: int,
        evaluations: int,
        own_connections: bool = False,
        play_s: float = 0.0,
    ) -> None:
        self.acknowledged = 0
        self.waits_s: list[float] = []
        self._own_connections, self._play_s = own_connections, play_s
        self._streams = streams
        self._batch = batch
        self._in_flight = in_flight
        self._evaluations = evaluations
        self._enough = asyncio.Event()
        self._connected = 0
        self._all_here = asyncio.Event()
        self._score = random.Random(1).random  # noqa: S311 - scores, not secrets

    async def work(self, address: str) -> None:
        """Tell results until enough are acknowledged."""
        async with contextlib.AsyncExitStack() as stack:
            stubs = [await self._connect(address, stack)] * self._streams
            if self._own_connections:
                stubs[1:] = [await self._connect(address, stack) for _ in stubs[1:]]
            workers = [asyncio.create_task(self._worker(stub, number)) for number, stub in enumerate(stubs)]
            sampler = asyncio.create_task(self._sample())
            await asyncio.wait(
                [asyncio.create_task(self._enough.wait()), *workers], return_when=asyncio.FIRST_COMPLETED
            )
            self._write_sample()
            for task in (*workers, sampler):
                task.cancel()
            ends = await asyncio.gather(*workers, return_exceptions=True)
            failures = [end for end in ends if isinstance(end, Exception)]
            if failures and not self._enough.is_set():
                raise failures[0]

    async def _connect(
        self, address: str, stack: contextlib.AsyncExitStack
    ) -> worker_pb2_grpc.WorkerServiceAsyncStub:
        options = [*options_for(address), *_OPTIONS]
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options))
        return worker_pb2_grpc.WorkerServiceStub(channel)

    async def _worker(self, stub: worker_pb2_grpc.WorkerServiceAsyncStub, number: int) -> None:
        call = stub.Work()
        await call.write(self._hello(number))
        await (
            call.read()
        )  # the welcome; work begins when all have theirs, so that nobody's start is in the figures
        self._connected += 1
        if self._connected == self._streams:
            self._all_here.set()
        await self._all_here.wait()
        asked_s = [time.monotonic()]
        await call.write(_credit(self._in_flight))
        sequence = 0
        heartbeat_due = time.monotonic() + _HEARTBEAT_S * random.random()  # noqa: S311
        held: list[worker_pb2.Lease] = []
        while isinstance(message := await call.read(), worker_pb2.MasterMessage):
            kind = message.WhichOneof("kind")
            if kind == "leases":
                held += message.leases.leases
                if asked_s:
                    self.waits_s.append(time.monotonic() - asked_s.pop())
            elif kind == "acknowledgement":
                self._count(message.acknowledgement)
            elif (answer := _about_centre(message)) is not None:
                await call.write(answer)
            while sum(map(_evaluations, held)) >= self._batch:
                sequence += 1
                await asyncio.sleep(self._play_s * (0.5 + self._score()))
                told = [held.pop(0) for _ in range(self._batch // _evaluations(held[0]))]
                await call.write(self._results(sequence, told))
                asked_s = [time.monotonic()]
                await call.write(_credit(self._batch))
            if time.monotonic() > heartbeat_due:
                heartbeat_due += _HEARTBEAT_S
                await call.write(worker_pb2.WorkerMessage(heartbeat=worker_pb2.Heartbeat(busy_share=1.0)))

    def _hello(self, number: int) -> worker_pb2.WorkerMessage:
        return worker_pb2.WorkerMessage(
            hello=worker_pb2.Hello(
                worker_id=f"bench-{number}",
                version="bench",
                noise_version=noise.VERSION,
                noise_digest=noise.self_test_digest(),
                device="none",
                slots=self._in_flight,
            )
        )

    def _results(self, sequence: int, told: list[worker_pb2.Lease]) -> worker_pb2.WorkerMessage:
        message = worker_pb2.WorkerMessage()
        message.results.sequence = sequence
        add, score = message.results.results.add, self._score
        for lease in told:
            episodes = len(lease.episode_seeds) * (2 if lease.slice.pairs else 1)
            returns = [score() for _ in range(episodes)]
            add(lease=lease.key, returns=returns, frames=4_000, steps=1_000, play_s=1.0)
        return message

    def _count(self, acknowledgement: worker_pb2.Acknowledgement) -> None:
        strange = [each for each in acknowledgement.refused if each.code != _TOLD_BEFORE]
        if strange:
            raise RuntimeError(f"the master refused a result: {strange[0].message}")
        self.acknowledged += 0 if acknowledgement.refused else self._batch
        if self.acknowledged >= self._evaluations:
            self._enough.set()

    async def _sample(self) -> None:
        while True:
            self._write_sample()
            await asyncio.sleep(_SAMPLE_S)

    def _write_sample(self) -> None:
        sys.stdout.write(json.dumps([time.monotonic(), self.acknowledged]) + "\n")
        sys.stdout.flush()


def _evaluations(lease: worker_pb2.Lease) -> int:
    """What a lease counts for in credit: a slice counts for all of its members."""
    return 2 * lease.slice.pairs or 1


def _about_centre(message: worker_pb2.MasterMessage) -> worker_pb2.WorkerMessage | None:
    """What a worker says of an evolution strategy's centre, which all of these workers agree on."""
    kind = message.WhichOneof("kind")
    if kind == "introduction" and message.introduction.spec.algorithm.HasField("eggroll"):
        return _report(message.introduction.experiment, 0)
    if kind == "epoch":
        return _report(message.epoch.experiment, message.epoch.epoch + 1)
    if kind == "checkpoint_request":
        asked = message.checkpoint_request
        none = worker_pb2.CheckpointPart(experiment=asked.experiment, epoch=asked.epoch, parts=0)
        return worker_pb2.WorkerMessage(checkpoint=none)
    return None


def _report(experiment: int, epoch: int) -> worker_pb2.WorkerMessage:
    report = worker_pb2.EpochReport(experiment=experiment, epoch=epoch, digest=f"{epoch:064x}")
    return worker_pb2.WorkerMessage(epoch_report=report)


def _credit(evaluations: int) -> worker_pb2.WorkerMessage:
    return worker_pb2.WorkerMessage(credit=worker_pb2.Credit(evaluations=evaluations))


def main() -> None:
    """Read the command line and work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--own-connections", action="store_true", help="one for each worker")
    parser.add_argument("--play-s", type=float, default=0.0, help="seconds for what a message tells")
    parser.add_argument("--waits", type=Path, help="a file for how long workers waited for work")
    given = parser.parse_args()
    fleet = Fleet(
        streams=given.streams, batch=given.batch, in_flight=given.in_flight, evaluations=given.evaluations,
        own_connections=given.own_connections, play_s=given.play_s,
    )  # fmt: skip
    asyncio.run(fleet.work(given.address))
    if given.waits:
        given.waits.write_text(json.dumps(fleet.waits_s))


if __name__ == "__main__":
    main()
