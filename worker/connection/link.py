"""The link to the master: connects, and comes back after every break, until it is told to stop or refused."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

import grpc
from grpc import aio

from germline.connection import hint
from germline.v1.worker_pb2_grpc import WorkerServiceStub
from worker.connection import wire
from worker.connection.backoff import Backoff
from worker.connection.stream import Stream
from worker.connection.worker_state import LinkSettings, WorkerState

logger = logging.getLogger(__name__)

STEADY_S = 5.0  # a stream that lasted so long was worth its welcome: the next try may come at once
REMIND_S = 30.0  # time between two lines that say that the worker still waits
GHOST_S = 60.0  # what a network held of a process that is dead may come so late, and once

# A master that answers hello with one of these will answer the same again. Everything else means: come back.
REFUSING_CODES = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
TAKEN_CODE = grpc.StatusCode.ALREADY_EXISTS  # at any time: another process came under this worker's id
_WHERE = "; its token comes from --token-file, GERMLINE_TOKEN_FILE or GERMLINE_TOKEN"
_SOMEBODY_ELSE = "Received http2 header with status"  # what stands before a master, and knows none just now


class RefusedError(Exception):
    """The master does not want this worker, and says why."""


class ReplacedError(RefusedError):
    """Another process came under this worker's id: one that lives, or the ghost of one before this."""


class Link:
    """A worker's side of the conversation, over as many streams as it takes."""

    def __init__(self, settings: LinkSettings) -> None:
        """Prepare; :meth:`keep` connects."""
        self.state = WorkerState(settings, self._on_mail)
        self._stream: Stream | None = None
        self._backoff = Backoff()
        self._reminded_s = float("-inf")
        self._replaced_s = float("-inf")

    def _on_mail(self) -> None:
        if self._stream is not None:
            self._stream.on_mail()

    async def keep(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, over as many streams as it takes.

        Raises:
            RefusedError: if the master refuses this worker for good.
        """
        while not stop.is_set():
            begun_s = time.monotonic()
            try:
                why = await self._one_stream(stop)
            except ReplacedError as error:
                why = self._ghost(error)
            if time.monotonic() - begun_s > STEADY_S:
                self._backoff.reset()
            if not stop.is_set():
                await self._pause(why, stop)
        if self.state.leases.owed():
            logger.warning("left with %d scores that no master acknowledged", self.state.leases.owed())

    async def _one_stream(self, stop: asyncio.Event) -> str:
        """Talk for as long as a stream lasts; returns why it ended."""
        async with self.state.settings.dial() as channel:
            call = WorkerServiceStub(channel).Work(metadata=self.state.settings.metadata)
            stream = self._stream = Stream(self.state, call, stop)
            try:
                await stream.talk()
            except* (aio.AioRpcError, wire.ProtocolError, TimeoutError) as group:
                failure = group
            else:
                return "the master ended the stream"
            finally:
                self._stream = None
                call.cancel()
        return _explain(failure, stream.welcomed)

    def _ghost(self, error: ReplacedError) -> str:
        """Take the other process for dead the first time; one that lives comes again, and then it stays."""
        now_s = time.monotonic()
        if now_s - self._replaced_s < GHOST_S:
            raise error
        self._replaced_s = now_s
        return str(error)

    async def _pause(self, why: str, stop: asyncio.Event) -> None:
        """Wait for the next try, unless there is another address to try at once."""
        wait_s = 0.0 if self.state.settings.go_on() else self._backoff.next_s()
        now_s = time.monotonic()
        if now_s - self._reminded_s >= REMIND_S:
            logger.info(
                "waiting for a master at %s (%s); trying again until it is there",
                self.state.settings.master,
                why,
            )
            self._reminded_s = now_s
        with suppress(TimeoutError):  # wait_for may swallow a cancellation in Python 3.11
            async with asyncio.timeout(wait_s):
                await stop.wait()


def _explain(failures: BaseExceptionGroup[BaseException], welcomed: bool) -> str:
    """Why a stream broke, for people; raises RefusedError if another try would end the same way."""
    failure = failures.exceptions[0]
    if isinstance(failure, aio.AioRpcError):
        code, details = failure.code(), failure.details() or "no details"
        more = _WHERE if code is grpc.StatusCode.UNAUTHENTICATED else ""
        refusal = f"the master refuses this worker: {details} ({code.name}){more}"
        if code is TAKEN_CODE:
            raise ReplacedError(refusal)
        if code in REFUSING_CODES and not welcomed and not details.startswith(_SOMEBODY_ELSE):
            raise RefusedError(refusal)
        return f"{code.name}: {details}{hint(details)}"
    if isinstance(failure, TimeoutError):
        return "no answer in time"
    logger.error("the master broke the protocol: %s", failure)
    return "the protocol was broken"
