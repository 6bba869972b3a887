"""A fleet of workers that play nothing: real streams and messages, made-up scores; one process, many workers.

Run ``python -m germline.bench.fleet ADDRESS``; the master there must have a running experiment. Each worker
keeps a number of evaluations in flight, tells them many to a message, and asks for as many again. Standard
output gets one JSON array ``[seconds, acknowledged evaluations]`` ten times a second, until enough
are acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time

import grpc.aio

from germline import noise
from germline.connection import options_for
from germline.v1 import worker_pb2, worker_pb2_grpc

_SAMPLE_S = 0.1
_HEARTBEAT_S = 5.0


class Fleet:
    """Workers on streams of their own, over one connection."""

    def __init__(self, *, streams: int, batch: int, in_flight: int, evaluations: int) -> None:
        self.acknowledged = 0
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
        async with grpc.aio.insecure_channel(address, options=options_for(address)) as channel:
            stub = worker_pb2_grpc.WorkerServiceStub(channel)
            workers = [asyncio.create_task(self._worker(stub, number)) for number in range(self._streams)]
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
        await call.write(_credit(self._in_flight))
        sequence = 0
        heartbeat_due = time.monotonic() + _HEARTBEAT_S * random.random()  # noqa: S311
        held: list[worker_pb2.LeaseKey] = []
        while isinstance(message := await call.read(), worker_pb2.MasterMessage):
            kind = message.WhichOneof("kind")
            if kind == "leases":
                held += [lease.key for lease in message.leases.leases]
            elif kind == "acknowledgement":
                self._count(message.acknowledgement)
            while len(held) >= self._batch:
                sequence += 1
                told, held = held[: self._batch], held[self._batch :]
                await call.write(self._results(sequence, told))
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

    def _results(self, sequence: int, told: list[worker_pb2.LeaseKey]) -> worker_pb2.WorkerMessage:
        message = worker_pb2.WorkerMessage()
        message.results.sequence = sequence
        add, score = message.results.results.add, self._score
        for key in told:
            add(lease=key, returns=(score(),), frames=4_000, steps=1_000, play_s=1.0)
        return message

    def _count(self, acknowledgement: worker_pb2.Acknowledgement) -> None:
        if acknowledgement.refused:
            raise RuntimeError(f"the master refused a result: {acknowledgement.refused[0].message}")
        self.acknowledged += self._batch
        if self.acknowledged >= self._evaluations:
            self._enough.set()

    async def _sample(self) -> None:
        while True:
            self._write_sample()
            await asyncio.sleep(_SAMPLE_S)

    def _write_sample(self) -> None:
        sys.stdout.write(json.dumps([time.monotonic(), self.acknowledged]) + "\n")
        sys.stdout.flush()


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
    given = parser.parse_args()
    fleet = Fleet(
        streams=given.streams, batch=given.batch, in_flight=given.in_flight, evaluations=given.evaluations
    )
    asyncio.run(fleet.work(given.address))


if __name__ == "__main__":
    main()
