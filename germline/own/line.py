"""A worker's line to its master: it connects, does what it hears, and comes back after every break."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Protocol

import grpc
import numpy as np
import numpy.typing as npt

from germline.client.errors import from_rpc, is_unreachable
from germline.connection import Places, Security
from germline.limits import PART_BYTES
from germline.v1 import own_pb2 as pb
from germline.v1.own_pb2_grpc import OwnServiceStub

logger = logging.getLogger(__name__)

_SHORTEST_S, _LONGEST_S = 0.2, 5.0  # between two tries, doubled each time
_REMIND_S = 30.0
_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]


class Hooks(Protocol):
    """What a worker is to its line; see :class:`germline.own.Worker`."""

    state: bytes
    epoch: int
    population: int

    def initialise(self) -> bytes:
        """Make the first state."""
        ...

    def evaluate(self, epoch: int, slices: Sequence[range]) -> Sequence[Sequence[float]]:
        """Evaluate members."""
        ...

    def optimise(self, epoch: int, returns: npt.NDArray[np.float64]) -> bytes:
        """Change the state."""
        ...

    def take_state(self, state: bytes, epoch: int) -> None:
        """Have this state from now on."""
        ...

    def on_stop(self, reason: str) -> None:
        """The experiment is over."""
        ...


class Line:
    """Talks for one worker, over as many streams as it takes; hooks run on the caller's thread."""

    def __init__(self, worker: Hooks, master: str, security: Security) -> None:
        """Prepare. Raises ValueError for an address that is none."""
        self._worker = worker
        self._master = master
        self._security = security
        self._places = Places(master)
        self._parts: list[bytes] = []
        self._pause_s = _SHORTEST_S
        self._reminded_s = float("-inf")

    def talk(self, experiment: str, worker_id: str, room: int) -> None:
        """Work until the experiment is over. Raises RefusedError if a master says no."""
        if room < 1:
            raise ValueError(f"room is {room}; allowed: 1 or more")
        hello = pb.OwnHello(experiment=experiment, worker_id=worker_id, room=room)
        while True:
            try:
                if self._one_stream(hello):
                    return
                why = "it ended the stream"
            except grpc.RpcError as error:
                if not is_unreachable(error):
                    raise from_rpc(error, self._master) from None
                why = str(from_rpc(error, self._master))
            self._wait(why)

    def _one_stream(self, hello: pb.OwnHello) -> bool:
        """Talk for as long as a stream lasts; True if the experiment is over."""
        says: SimpleQueue[pb.OwnWorkerMessage | None] = SimpleQueue()
        says.put(pb.OwnWorkerMessage(hello=hello))
        with self._dial() as channel:
            requests: Iterator[pb.OwnWorkerMessage] = iter(says.get, None)
            call = OwnServiceStub(channel).Work(requests, metadata=self._security.metadata())
            try:
                for message in call:
                    for answer in self._obey(message):
                        says.put(answer)
                    if message.HasField("stop"):
                        return True
            finally:
                says.put(None)
                call.cancel()
        return False

    def _obey(self, message: pb.OwnMasterMessage) -> Iterator[pb.OwnWorkerMessage]:
        """Do what the master says; the answers, if it wants any."""
        worker, kind = self._worker, message.WhichOneof("kind")
        if kind == "state":
            self._parts = [*(self._parts if message.state.part else ()), message.state.data]
        elif kind == "welcome":
            self._welcome(message.welcome)
        elif kind == "initialise":
            worker.take_state(worker.initialise(), 0)
            yield from self._state(message.initialise.task)
        elif kind == "evaluate":
            yield self._evaluate(message.evaluate)
        elif kind == "optimise":
            order = message.optimise
            state = worker.optimise(order.epoch, np.array(order.returns, dtype=np.float64))
            worker.take_state(state, order.epoch + 1)
            yield pb.OwnWorkerMessage(optimised=pb.OwnOptimised(task=order.task))
        elif kind == "share":
            yield from self._state(message.share.task)
        elif kind == "stop":
            worker.on_stop(message.stop.reason)

    def _welcome(self, welcome: pb.OwnWelcome) -> None:
        self._pause_s = _SHORTEST_S
        self._worker.population = welcome.population
        state, self._parts = b"".join(self._parts), []
        if welcome.has_state:
            self._worker.take_state(state, welcome.epoch)

    def _evaluate(self, order: pb.OwnEvaluate) -> pb.OwnWorkerMessage:
        slices = [range(each.start, each.end) for each in order.slices]
        returns = self._worker.evaluate(order.epoch, slices)
        if [len(each) for each in returns] != [len(each) for each in slices]:
            raise ValueError(
                f"evaluate returned {[len(each) for each in returns]} returns for slices of "
                f"{[len(each) for each in slices]} members; allowed: one list a slice, one return a member"
            )
        parts = [
            pb.OwnReturns(start=each.start, returns=map(float, told))
            for each, told in zip(slices, returns, strict=True)
        ]
        return pb.OwnWorkerMessage(told=pb.OwnTold(task=order.task, parts=parts))

    def _state(self, task: int) -> Iterator[pb.OwnWorkerMessage]:
        """The worker's state, in parts."""
        state = self._worker.state
        parts = -(-len(state) // PART_BYTES)
        for part in range(parts):
            data = state[part * PART_BYTES : (part + 1) * PART_BYTES]
            yield pb.OwnWorkerMessage(state=pb.OwnStatePart(task=task, part=part, parts=parts, data=data))

    def _dial(self) -> grpc.Channel:
        target, own = self._places.now
        credentials, options = self._security.credentials(), [*_OPTIONS, *own]
        if credentials is None:
            return grpc.insecure_channel(target, options=options)
        return grpc.secure_channel(target, credentials, options=options)

    def _wait(self, why: str) -> None:
        """Go to the next master, or wait a while before the same one is asked again."""
        if time.monotonic() - self._reminded_s > _REMIND_S:
            self._reminded_s = time.monotonic()
            logger.warning("waiting for the master: %s", why)
        if self._places.go_on():
            return
        time.sleep(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - many workers, not all at once
        self._pause_s = min(2 * self._pause_s, _LONGEST_S)
