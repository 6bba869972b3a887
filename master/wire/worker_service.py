"""germline.v1.WorkerService: one stream per worker. Decode, call, encode; nothing is decided here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import grpc.aio

from germline.limits import MAX_ORDERS, MAX_OWED
from germline.v1 import worker_pb2, worker_pb2_grpc
from master.errors import ForbiddenError, FullError, NotAllowedError, StreamOrderError
from master.wire.open_calls import why_ended
from master.wire.streams import first_done, first_message, write
from master.wire.worker_messages import (
    OrderWriter,
    read_hello,
    read_keys,
    read_part,
    read_reason,
    read_report,
    read_results,
    read_slots,
    read_stages,
)
from master.work.dispatcher import Dispatcher
from master.work.fleet import Acknowledge, End, Session

logger = logging.getLogger(__name__)

_LAST_WORDS_S = 30.0  # how long a worker that has said everything is still told what became of it

Requests = AsyncIterator[worker_pb2.WorkerMessage]
Context: TypeAlias = "grpc.aio.ServicerContext[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]"


class WorkerService(worker_pb2_grpc.WorkerServiceServicer):
    """Lends work to workers and takes results."""

    def __init__(self, dispatcher: Dispatcher, writer: OrderWriter, clock: Callable[[], float]) -> None:
        self._dispatcher = dispatcher
        self._writer = writer
        self._clock = clock

    async def Work(self, request_iterator: Requests, context: Context) -> None:  # type: ignore[override]
        """Hear a worker out and tell it what to do, until one of the two ends the stream."""
        first = await first_message(context)
        if not isinstance(first, worker_pb2.WorkerMessage):
            raise StreamOrderError("the stream ended before its first message; it must be hello")
        session = self._dispatcher.hello(read_hello(first))
        try:
            await first_done(self._hear(session, context), self._speak(session, context))
        except asyncio.CancelledError:
            if isinstance(reason := why_ended(), NotAllowedError | ForbiddenError):
                self._dispatcher.goodbye(session, str(reason), ())  # it will not come back with this token
            raise
        finally:
            self._dispatcher.hang_up(session)

    async def _hear(self, session: Session, context: Context) -> None:
        """Do what the worker says; the only reader of the stream."""
        while isinstance(message := await context.read(), worker_pb2.WorkerMessage):
            session.heard = self._clock()
            self._obey(session, message)
            _check_patience(session)
        self._dispatcher.finish(session)
        await asyncio.sleep(_LAST_WORDS_S)

    def _obey(self, session: Session, message: worker_pb2.WorkerMessage) -> None:
        kind = message.WhichOneof("kind")
        if kind == "credit":
            self._dispatcher.credit(session, message.credit.evaluations)
        elif kind == "results":
            results = message.results
            session.owed += len(results.results)
            self._dispatcher.results(session, results.sequence, read_results(results.results))
        elif kind == "heartbeat":
            beat = message.heartbeat
            slots, stages = read_slots(beat, session.slots), read_stages(beat)
            self._dispatcher.heartbeat(session, beat.busy_share, beat.frames, slots, stages)
        elif kind == "goodbye":
            goodbye = message.goodbye
            returned = read_keys("goodbye.returned", goodbye.returned)
            suspected = read_keys("goodbye.suspected", goodbye.suspected)
            self._dispatcher.goodbye(session, read_reason(goodbye.reason), returned, suspected)
        elif kind == "rejection":
            rejection = message.rejection
            reason = read_reason(rejection.reason)
            self._dispatcher.rejection(session, rejection.experiment, reason, rejection.identity)
        elif kind == "epoch_report":
            self._dispatcher.epoch_report(session, read_report(message.epoch_report))
        elif kind == "checkpoint":
            self._dispatcher.keeper.take_part(session, read_part(message.checkpoint))
        elif kind == "hello":
            raise StreamOrderError("hello came twice; allowed: once, as the first message of a stream")
        else:
            logger.warning("worker %s sent a message of a kind unknown here", session.identity.worker_id)

    async def _speak(self, session: Session, context: Context) -> None:
        """Write what is ordered; the only writer of the stream."""
        while True:
            order = await session.orders.get()
            if isinstance(order, End):
                if order.error is not None:
                    raise order.error
                return
            await write(context, self._writer.write(order))
            if isinstance(order, Acknowledge):
                session.owed -= order.told


def _check_patience(session: Session) -> None:
    """Raise FullError if too much waits for a worker that does not read what it is told."""
    if session.orders.qsize() > MAX_ORDERS or session.owed > MAX_OWED:
        raise FullError(
            f"the worker does not read: {session.orders.qsize():,} messages wait for it, allowed: "
            f"{MAX_ORDERS:,}; {session.owed:,} of its results are not acknowledged, allowed: {MAX_OWED:,}"
        )
