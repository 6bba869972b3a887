"""A worker that plays nothing and writes everything down: what it told, and what a master said of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import grpc.aio

from germline import noise
from germline.connection import Places
from germline.genome import Genome, Mutation
from germline.v1 import worker_pb2, worker_pb2_grpc

_ROOM = 16  # evaluations held at a time
_PAUSE_S = 0.02  # between two messages: what is to be measured is not how fast it goes
_BETWEEN_ROUNDS_S = 0.2
_HEARTBEAT_S = 2.0
_OPTIONS = (
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
)

Refused = dict[tuple[int, int], worker_pb2.RefusalCode.ValueType]
Call = grpc.aio.StreamStreamCall[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]


class Ledger:
    """What bookkeepers know together.

    Attributes:
        accepted: frames of each ticket that a master acknowledged as counted.
        told: frames of each ticket of which a master said that it was told before.
        doubled: tickets that were acknowledged as counted twice.
        refused: refusals by code.
    """

    def __init__(self) -> None:
        self.accepted: dict[int, int] = {}
        self.told: dict[int, set[int]] = {}
        self.doubled: list[int] = []
        self.refused: Counter[str] = Counter()

    def settle(self, results: worker_pb2.Results, refused: Refused) -> None:
        """A message was acknowledged; these of its leases, (ticket, attempt), were refused."""
        for result in results.results:
            key = result.lease
            code = refused.get((key.ticket, key.attempt))
            if code is not None:
                self.refused[worker_pb2.RefusalCode.Name(code).removeprefix("REFUSAL_CODE_")] += 1
                if code == worker_pb2.REFUSAL_CODE_ALREADY_TOLD:
                    self.told.setdefault(key.ticket, set()).add(result.frames)
            elif key.ticket in self.accepted:
                self.doubled.append(key.ticket)
            else:
                self.accepted[key.ticket] = result.frames

    @property
    def evaluations(self) -> int:
        """How many evaluations there must be: acknowledged, or known to a master when they were repeated."""
        return len(self.accepted.keys() | self.told.keys())

    @property
    def frames(self) -> tuple[int, int]:
        """How many frames these took, at least and at most: whose answer was lost may be one of two."""
        sure = sum(self.accepted.values())
        unsure = [frames for ticket, frames in self.told.items() if ticket not in self.accepted]
        return sure + sum(map(min, unsure)), sure + sum(map(max, unsure))


class Bookkeeper:
    """One worker: repeats what is not acknowledged, to whichever master serves.

    Attributes:
        unacknowledged: what it told and has no word of, by the number of the message.
        repeated: how many messages it said twice though nothing asked for it.
    """

    def __init__(
        self,
        name: str,
        masters: str,
        experiment: str,
        ledger: Ledger,
        *,
        pause_s: float = _PAUSE_S,
        repeat_every: int = 0,
    ) -> None:
        """Work for one experiment of these masters, and reject the others.

        It waits between two messages, and says each so-manieth message of results twice; 0: none.
        """
        self.pause_s = pause_s
        self.repeated = 0
        self._repeat_every = repeat_every
        self._name = name
        self._places = Places(masters)
        self._experiment = experiment
        self._ledger = ledger
        self._sequence = 0
        self.unacknowledged: dict[int, worker_pb2.Results] = {}
        self.is_closing = False

    async def work(self) -> None:
        """Work for ever, over as many streams as it takes."""
        while True:
            target, own = self._places.now
            async with grpc.aio.insecure_channel(target, options=(*_OPTIONS, *own)) as channel:
                with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
                    await _Stream(self, worker_pb2_grpc.WorkerServiceStub(channel).Work()).talk()
            if not self._places.go_on():
                await asyncio.sleep(_BETWEEN_ROUNDS_S)

    def hello(self) -> worker_pb2.Hello:
        """Who it is, and what it holds."""
        held = [result.lease for told in self.unacknowledged.values() for result in told.results]
        return worker_pb2.Hello(
            worker_id=self._name, version="bench", noise_version=noise.VERSION, slots=_ROOM, device="none",
            noise_digest=noise.self_test_digest(), held=held,
        )  # fmt: skip

    def wants(self, introduced: worker_pb2.ExperimentIntroduction) -> bool:
        """Whether it plays this one."""
        return introduced.spec.name == self._experiment

    def told(self, results: worker_pb2.Results) -> worker_pb2.Results:
        """Number a new message, and keep it until it is acknowledged."""
        self._sequence += 1
        results.sequence = self._sequence
        self.unacknowledged[self._sequence] = results
        return results

    def repeats(self) -> bool:
        """Whether the last message is to be said once more."""
        is_due = bool(self._repeat_every) and self._sequence % self._repeat_every == 0
        self.repeated += is_due
        return is_due

    def acknowledged(self, told: worker_pb2.Acknowledgement) -> None:
        """A message is settled."""
        results = self.unacknowledged.pop(told.sequence, None)
        if results is not None:
            self._ledger.settle(
                results, {(each.lease.ticket, each.lease.attempt): each.code for each in told.refused}
            )


class _Stream:
    """One stream of a bookkeeper."""

    def __init__(self, keeper: Bookkeeper, call: Call) -> None:
        self._keeper = keeper
        self._call = call
        self._known: dict[int, Genome] = {}
        self._unwanted: set[int] = set()
        self._speaking = asyncio.Lock()

    async def talk(self) -> None:
        await self._say(hello=self._keeper.hello())
        async with asyncio.timeout(10):
            await self._call.read()  # the welcome
        beating = asyncio.create_task(self._beat())
        try:
            for results in list(self._keeper.unacknowledged.values()):
                await self._say(results=results)
            await self._ask_for(_ROOM)
            while isinstance(message := await self._call.read(), worker_pb2.MasterMessage):
                await self._obey(message)
        finally:
            beating.cancel()
            self._call.cancel()
            await asyncio.wait([beating])

    async def _say(self, **message: object) -> None:
        async with self._speaking:
            await self._call.write(worker_pb2.WorkerMessage(**message))  # type: ignore[arg-type]

    async def _beat(self) -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                await asyncio.sleep(_HEARTBEAT_S)
                await self._say(heartbeat=worker_pb2.Heartbeat(busy_share=1.0))

    async def _ask_for(self, evaluations: int) -> None:
        if not self._keeper.is_closing:
            await self._say(credit=worker_pb2.Credit(evaluations=evaluations))

    async def _obey(self, message: worker_pb2.MasterMessage) -> None:
        kind = message.WhichOneof("kind")
        if kind == "introduction" and not self._keeper.wants(message.introduction):
            number, identity = message.introduction.experiment, message.introduction.identity
            self._unwanted.add(number)
            rejection = worker_pb2.Rejection(experiment=number, identity=identity, reason="a bookkeeper")
            await self._say(rejection=rejection)
        elif kind == "acknowledgement":
            self._keeper.acknowledged(message.acknowledgement)
        elif kind == "leases":
            await asyncio.sleep(self._keeper.pause_s)
            results = self._play(message.leases)
            if results.results:
                told = self._keeper.told(results)
                await self._say(results=told)
                if self._keeper.repeats():
                    await self._say(results=told)
            await self._ask_for(len(message.leases.leases))

    def _play(self, leases: worker_pb2.Leases) -> worker_pb2.Results:
        """Make scores up; the frames are a function of the genome, so that a sum of frames shows them all."""
        self._known |= {known.id: Genome.decode(known.encoded) for known in leases.known}
        results = worker_pb2.Results()
        for lease in leases.leases:
            if lease.HasField("slice") or lease.key.experiment in self._unwanted:
                continue
            genome = self._known[lease.genome]
            if lease.HasField("mutation"):
                step = lease.mutation
                genome = genome.child(Mutation(step.seed, step.power, step.rank))
            returns = [genome.id / 2**64] * len(lease.episode_seeds)
            results.results.add(lease=lease.key, returns=returns, frames=1 + genome.id % 4_000, steps=1)
        return results
