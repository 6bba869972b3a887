"""A worker of evochi without evochi: on the wire it does what the real client does, and notes what it hears.

One event after the other; each answer is awaited before the next event is read; the state changes with orders
alone. A member's reward says who it is and in which epoch, so that a lost, doubled or stale one shows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable

import grpc
import grpc.aio

from germline.peers import evochi_pb2 as pb
from germline.peers.evochi_pb2_grpc import EvochiServiceStub

PATIENCE_S = 20.0


def reward(epoch: int, member: int) -> float:
    """What this member is worth in this epoch, whoever evaluates it."""
    return 1000.0 * epoch + member


def rewards(epoch: int, population: int) -> list[float]:
    """Those of all members."""
    return [reward(epoch, member) for member in range(population)]


class Peer:
    """A worker; `gates` holds it in a hook (initialize, evaluate, optimize, share) until the event is set."""

    def __init__(
        self,
        address: str,
        cores: int = 3,
        metadata: tuple[tuple[str, str], ...] = (),
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        options = [("grpc.max_receive_message_length", -1)]
        insecure = grpc.aio.insecure_channel(address, options=options)
        secure = grpc.aio.secure_channel(address, credentials, options=options) if credentials else None
        self.channel = secure or insecure
        self.stub = EvochiServiceStub(self.channel)
        self.cores = cores
        self.metadata = metadata
        self.hello: pb.HelloEvent | None = None
        self.state: int | None = None  # epochs in it
        self.evaluated: list[tuple[int, int]] = []  # (epoch, member)
        self.optimised: dict[int, list[float]] = {}
        self.twice: Counter[int] = Counter()
        self.stale: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.entered: dict[str, asyncio.Event] = {}
        self.events: list[int] = []
        self.beating: asyncio.Task[None] | None = None
        self.task: asyncio.Task[None] | None = None
        self.answer: Callable[[list[float]], list[float]] = lambda told: told

    def hold(self, hook: str) -> asyncio.Event:
        """Stop in this hook; what comes back is set when it gets there."""
        self.gates[hook] = asyncio.Event()
        self.entered[hook] = asyncio.Event()
        return self.entered[hook]

    def let_go(self, hook: str) -> None:
        """Go on from there."""
        self.gates.pop(hook).set()

    def start(self) -> Peer:
        """Work until the stream ends."""
        self.task = asyncio.create_task(self.work())
        return self

    async def die(self) -> None:
        """As if the process were killed: the connection is gone, and nothing was said."""
        for task in filter(None, (self.task, self.beating)):
            task.cancel()
            await asyncio.wait([task])
        await self.channel.close()

    async def work(self) -> None:
        """What the real client's start() does; raises what that raises."""
        try:
            async for event in self.stub.Subscribe(
                pb.SubscribeRequest(cores=self.cores), metadata=self.metadata
            ):
                self.events.append(event.type)
                await self._obey(event)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:
                raise

    async def _obey(self, event: pb.SubscribeResponse) -> None:
        if event.type == pb.EVENT_TYPE_HELLO:
            self.hello = event.hello
            self.state = int(event.hello.state) if event.hello.state else None
            self.beating = asyncio.create_task(self._beat())
        elif event.type == pb.EVENT_TYPE_INITIALIZE:
            await self._pass("initialize")
            self.state = 0
            initialised = pb.FinishInitializationRequest(task_id=event.initialize.task_id, state=b"0")
            await self.stub.FinishInitialization(initialised, metadata=self.auth)
        elif event.type == pb.EVENT_TYPE_EVALUATE:
            await self._evaluate(event.evaluate)
        elif event.type == pb.EVENT_TYPE_OPTIMIZE:
            await self._optimise(event.optimize)
        elif event.type == pb.EVENT_TYPE_SHARE_STATE:
            await self._pass("share")
            share = pb.FinishShareStateRequest(
                task_id=event.share_state.task_id, state=str(self.state).encode()
            )
            await self.stub.FinishShareState(share, metadata=self.auth)

    async def _beat(self) -> None:
        """A heartbeat that fails is nobody's affair, as with the real client."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self.stub.Heartbeat(pb.HeartbeatRequest(seq_id=1), metadata=self.auth)

    async def _evaluate(self, event: pb.EvaluateEvent) -> None:
        await self._pass("evaluate")
        if self.state != event.epoch - 1:
            self.stale.append(f"evaluates epoch {event.epoch} with the state of {self.state} epochs")
        told = [
            pb.Evaluation(
                slice=s, rewards=self.answer([reward(event.epoch, m) for m in range(s.start, s.end)])
            )
            for s in event.slices
        ]
        request = pb.FinishEvaluationRequest(task_id=event.task_id, evaluations=told)
        await self.stub.FinishEvaluation(request, metadata=self.auth)
        self.evaluated += [(event.epoch, m) for s in event.slices for m in range(s.start, s.end)]

    async def _optimise(self, event: pb.OptimizeEvent) -> None:
        await self._pass("optimize")
        if self.state != event.epoch - 1:
            self.stale.append(f"optimises epoch {event.epoch} with the state of {self.state} epochs")
        self.twice[event.epoch] += 1
        self.optimised[event.epoch] = list(event.rewards)
        self.state = event.epoch
        request = pb.FinishOptimizationRequest(task_id=event.task_id)
        await self.stub.FinishOptimization(request, metadata=self.auth)

    async def _pass(self, hook: str) -> None:
        if hook in self.gates:
            gate = self.gates[hook]
            self.entered[hook].set()
            await gate.wait()

    @property
    def auth(self) -> tuple[tuple[str, str], ...]:
        """What goes with every other call."""
        assert self.hello is not None
        return (*self.metadata, ("authorization", f"Bearer {self.hello.token}"))


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that others bring about."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.002)
    assert condition(), what


@contextlib.asynccontextmanager
async def crew(*peers: Peer) -> AsyncIterator[tuple[Peer, ...]]:
    """Peers at work, and away afterwards."""
    try:
        yield tuple(peer.start() for peer in peers)
    finally:
        for peer in peers:
            await peer.die()
