"""evochi.v1.EvochiService: decode, call, encode; in the proto's order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import grpc
import grpc.aio

from germline.algorithms.own_orders import Kind, UnknownTaskError
from germline.peers import evochi_pb2 as pb
from germline.peers import evochi_pb2_grpc
from master.errors import InvalidFieldError, UnknownNameError
from master.gateways.evochi.messages import check_state, read_parts, task_number
from master.gateways.evochi.sessions import SentAwayError, Session, Sessions
from master.journal.journal import Journal

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


class EvochiService(evochi_pb2_grpc.EvochiServiceServicer):
    """Trains with clients of evochi.

    A state is answered when it is in the store. Rewards are answered when they are on their way there: nobody
    could use more, since a master that is killed takes the worker's session with it, and whoever comes next
    is given the members again that had not arrived.
    """

    def __init__(self, sessions: Sessions, journal: Journal) -> None:
        self._sessions = sessions
        self._journal = journal

    async def Subscribe(
        self, request: pb.SubscribeRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeResponse]:
        session = self._sessions.open(request.cores)
        context.add_done_callback(lambda _: self._sessions.close(session))  # type: ignore[arg-type]
        try:
            async for event in session.events():
                yield event
        except SentAwayError as why:
            await context.abort(grpc.StatusCode.CANCELLED, str(why))
        finally:
            self._sessions.close(session)

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:
        self._session(context)
        return pb.HeartbeatResponse(ok=True)

    async def FinishEvaluation(
        self, request: pb.FinishEvaluationRequest, context: Context
    ) -> pb.FinishEvaluationResponse:
        session = self._session(context)
        task, parts = task_number(session.worker, request.task_id), read_parts(request.evaluations)
        self._take(session, lambda: session.own.tell(session.worker, task, parts))
        return pb.FinishEvaluationResponse(ok=True)

    async def FinishOptimization(
        self, request: pb.FinishOptimizationRequest, context: Context
    ) -> pb.FinishOptimizationResponse:
        session = self._session(context)
        task = task_number(session.worker, request.task_id)
        self._take(session, lambda: session.own.optimise(session.worker, task))
        return pb.FinishOptimizationResponse(ok=True)

    async def FinishInitialization(
        self, request: pb.FinishInitializationRequest, context: Context
    ) -> pb.FinishInitializationResponse:
        await self._store(context, request.task_id, Kind.INITIALISE, request.state)
        return pb.FinishInitializationResponse(ok=True)

    async def FinishShareState(
        self, request: pb.FinishShareStateRequest, context: Context
    ) -> pb.FinishShareStateResponse:
        await self._store(context, request.task_id, Kind.SHARE, request.state)
        return pb.FinishShareStateResponse(ok=True)

    async def _store(self, context: Context, given: str, kind: Kind, state: bytes) -> None:
        session, stored = self._session(context), asyncio.Event()
        task, state = task_number(session.worker, given), check_state(state)
        self._take(session, lambda: session.own.take_state(session.worker, task, kind, state, stored.set))
        await stored.wait()
        await self._journal.durable((session.experiment.number,))

    def _take(self, session: Session, take: Callable[[], None]) -> None:
        """Take an answer in."""
        try:
            take()
        except UnknownTaskError as error:
            raise UnknownNameError(str(error)) from None
        except ValueError as error:
            raise InvalidFieldError(str(error)) from None
        self._sessions.answered(session)

    def _session(self, context: Context) -> Session:
        """The worker that calls."""
        return self._sessions.of_call(context.invocation_metadata())
