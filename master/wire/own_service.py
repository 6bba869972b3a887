"""germline.v1.OwnService: for workers that bring the arithmetic of their experiment.

Decode, call, encode.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeAlias

import grpc.aio

from germline.algorithms.own_orders import Kind, Order, UnknownTaskError
from germline.v1 import own_pb2 as pb
from germline.v1 import own_pb2_grpc
from master.errors import (
    ConflictError,
    DrainingError,
    InvalidFieldError,
    MasterError,
    ReplacedStreamError,
    StreamOrderError,
    UnknownNameError,
)
from master.experiments.experiment import Experiment
from master.experiments.own import OwnWork
from master.experiments.registry import Registry
from master.wire.own_messages import (
    OwnHello,
    StateReader,
    read_hello,
    read_parts,
    write_order,
    write_welcome,
)
from master.wire.streams import first_done, first_message, write

logger = logging.getLogger(__name__)

Context: TypeAlias = "grpc.aio.ServicerContext[pb.OwnWorkerMessage, pb.OwnMasterMessage]"


class Seat:
    """One worker at its stream.

    Attributes:
        experiment: what it works for.
        own: the same, as far as it knows it.
        worker: its name.
        orders: messages for it, each of which may be many; an error ends the stream.
        due_s: when its task has taken too long; infinite while it has none.
    """

    def __init__(self, experiment: Experiment, own: OwnWork, worker: str, clock: Callable[[], float]) -> None:
        self.experiment = experiment
        self.own = own
        self.worker = worker
        self.orders: asyncio.Queue[Iterator[pb.OwnMasterMessage] | MasterError | None] = asyncio.Queue()
        self.due_s = math.inf
        self._clock = clock
        self._state = StateReader()
        self._storing: Kind = Kind.INITIALISE

    def hear(self, order: Order) -> None:
        """Put an order on the stream, with what is true of it now."""
        run = self.own.run
        members = sum(end - start for start, end in order.slices) or 1
        self.due_s = self._clock() + members * self.longest_s if order.task else math.inf
        if order.kind is Kind.WELCOME:
            self.orders.put_nowait(write_welcome(order.epoch, self.own.state, run.population))
            return
        if order.kind in (Kind.INITIALISE, Kind.SHARE):
            self._storing = order.kind
        returns = run.open.returns.tolist() if order.kind is Kind.OPTIMISE else ()
        reason = f"experiment {self.experiment.settings.name} is over"
        self.orders.put_nowait(iter([write_order(order, returns, reason)]))
        if order.kind is Kind.STOP:
            self.orders.put_nowait(None)

    @property
    def longest_s(self) -> float:
        """How long the evaluation of one member may take, or a change of the state."""
        return self.experiment.settings.spec.evaluation.max_episode_s

    def is_late(self) -> bool:
        """Whether it takes too long for its task."""
        member = self.own.run.members.get(self.worker)
        return member is not None and member.task is not None and self._clock() > self.due_s

    def obey(self, message: pb.OwnWorkerMessage) -> None:
        """Do what the worker says. Raises MasterError, which ends its stream."""
        kind = message.WhichOneof("kind")
        try:
            if kind == "told":
                self.own.tell(self.worker, message.told.task, read_parts(message.told))
            elif kind == "optimised":
                self.own.optimise(self.worker, message.optimised.task)
            elif kind == "state":
                self._take_part(message.state)
            elif kind == "hello":
                raise StreamOrderError("hello came twice; allowed: once, as the first message of a stream")
            else:
                logger.warning("worker %s sent a message of a kind unknown here", self.worker)
        except UnknownTaskError as error:
            raise UnknownNameError(str(error)) from None
        except ValueError as error:
            raise InvalidFieldError(str(error)) from None

    def _take_part(self, part: pb.OwnStatePart) -> None:
        whole = self._state.take(part)
        if whole is not None:
            self.own.take_state(self.worker, part.task, self._storing, whole)


class OwnService(own_pb2_grpc.OwnServiceServicer):
    """Says whose turn it is, and takes what comes of it."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock
        self._seats: dict[tuple[int, str], Seat] = {}

    async def Work(  # type: ignore[override]
        self, request_iterator: AsyncIterator[pb.OwnWorkerMessage], context: Context
    ) -> None:
        """Hear a worker out and tell it what to do, until one of the two ends the stream."""
        seat = self._sit_down(read_hello(await first_message(context)))
        try:
            await first_done(self._hear(seat, context), self._speak(seat, context))
        finally:
            self._get_up(seat)

    def tick(self) -> None:
        """About once a second: send away who takes too long, for good; others do what it did."""
        for seat in list(self._seats.values()):
            if seat.is_late():
                self._get_up(seat)
                sentence = (
                    f"the worker took more than evaluation.max_episode_s, {seat.longest_s:g} s, for a "
                    "member, or for a change of the state"
                )
                logger.warning("worker %s is sent away: %s", seat.worker, sentence)
                seat.orders.put_nowait(ConflictError(sentence))

    def end_all(self, reason: str) -> None:
        """The master stops: workers come again."""
        for seat in list(self._seats.values()):
            self._get_up(seat)
            seat.orders.put_nowait(DrainingError(reason))

    async def _hear(self, seat: Seat, context: Context) -> None:
        while isinstance(message := await context.read(), pb.OwnWorkerMessage):
            seat.obey(message)

    async def _speak(self, seat: Seat, context: Context) -> None:
        while (order := await seat.orders.get()) is not None:
            if isinstance(order, MasterError):
                raise order
            for message in order:
                await write(context, message)

    def _sit_down(self, hello: OwnHello) -> Seat:
        experiment = self._registry.named(hello.experiment)
        if experiment.own is None:
            raise ConflictError(
                f"experiment {hello.experiment} is played by germline's workers; allowed: one with "
                "[algorithm.own]"
            )
        seat = Seat(experiment, experiment.own, hello.worker, self._clock)
        before = self._seats.get((experiment.number, hello.worker))
        if before is not None:
            self._get_up(before)
            sentence = f"another process works under the name {hello.worker!r}"
            before.orders.put_nowait(ReplacedStreamError(sentence))
        self._seats[experiment.number, hello.worker] = seat
        seat.own.join(hello.worker, hello.room, seat.hear)
        logger.info(
            "worker %s joins experiment %s with arithmetic of its own", hello.worker, hello.experiment
        )
        return seat

    def _get_up(self, seat: Seat) -> None:
        """Its stream is over, unless another one has taken its place already."""
        key = (seat.experiment.number, seat.worker)
        if self._seats.get(key) is seat:
            del self._seats[key]
            seat.own.leave(seat.worker)
