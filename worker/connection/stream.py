"""One stream to the master: greets, listens, and says what is due.

One writer for each stream: what there is to say is kept as state (the leases, the outbox, flags) until the
writer says it, so nothing queues up and a new stream says the same again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from grpc import aio

from germline.v1 import worker_pb2
from worker.connection import wire
from worker.connection.master_messages import MasterMessages
from worker.connection.worker_state import WorkerState
from worker.playing.lease_work import CentreReport, ExperimentKey, Failure

logger = logging.getLogger(__name__)

Call = aio.StreamStreamCall[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]

MIN_HEARTBEAT_S = 0.1
WELCOME_S = 30.0  # longest wait for the answer to hello
FAREWELL_S = 3.0  # longest wait for the last acknowledgements


class Stream:
    """One stream: listens, and says what is due. Ends when the master ends it, or after goodbye."""

    def __init__(self, state: WorkerState, call: Call, stop: asyncio.Event) -> None:
        """Belong to a call that has just begun."""
        self._state = state
        self._call = call
        self._stop = stop
        self._wake = asyncio.Event()
        self._orders = MasterMessages(state, self._wake.set)
        self._rejections: dict[ExperimentKey, Failure] = {}
        self._mail_due = False
        self._beat_due = False
        self.welcomed = False
        self._deadline = asyncio.timeout(WELCOME_S)

    def on_mail(self) -> None:
        """The playing thread's outbox wants to be emptied."""
        self._mail_due = True
        self._wake.set()

    async def talk(self) -> None:
        """Greet, then listen and speak until the stream ends. Failures come as an exception group."""
        async with asyncio.TaskGroup() as group, self._deadline:
            tasks = [group.create_task(self._watch_stop())]
            heartbeat_s = await self._greet()
            tasks += [group.create_task(self._speak()), group.create_task(self._beat(heartbeat_s))]
            await self._listen()
            for task in tasks:
                task.cancel()

    async def _greet(self) -> float:
        """Say hello and wait for the welcome; returns the longest time between heartbeats."""
        state = self._state
        self._collect()
        state.leases.begin_stream()
        await self._write(wire.hello(state.settings.identity, state.slots, state.leases.held()))
        answer = await self._call.read()
        if not isinstance(answer, worker_pb2.MasterMessage) or answer.WhichOneof("kind") != "welcome":
            raise wire.ProtocolError("the master's first message was no welcome")
        self.welcomed = True
        self._deadline.reschedule(None)
        logger.info("master %s at %s welcomes this worker", answer.welcome.master_id, state.settings.master)
        return answer.welcome.heartbeat_s

    async def _listen(self) -> None:
        """Obey every message, until the master ends the stream."""
        while isinstance(message := await self._call.read(), worker_pb2.MasterMessage):
            self._orders.obey(message)

    async def _write(self, message: worker_pb2.WorkerMessage) -> bool:
        """Write; False if the call is over, of which the listener hears the reason."""
        try:
            await self._call.write(message)
        except (aio.AioRpcError, asyncio.InvalidStateError):
            return False
        return True

    async def _speak(self) -> None:
        """Say what is due whenever there is something. The only writer of the stream."""
        for batch in self._state.leases.unacknowledged():
            await self._write(wire.results(batch))
        while not self._stop.is_set():
            self._wake.clear()
            for message in self._due():
                await self._write(message)
            await self._wake.wait()
        await self._say_goodbye()

    def _due(self) -> Iterator[worker_pb2.WorkerMessage]:
        """Everything there is to say now: what cannot be played, centres, scores, room, a heartbeat."""
        leases = self._state.leases
        if self._mail_due:
            self._collect()
        while self._rejections:
            yield wire.rejection(self._rejections.pop(next(iter(self._rejections))))
        while self._state.notices:  # before scores: the master is to know a centre before what it played
            yield from wire.notice(self._state.notices.popleft())
        while batch := leases.next_batch():
            yield wire.results(batch)
        if not self._orders.draining and (credit := leases.grant()):
            yield wire.credit(credit)
        if self._beat_due:
            self._beat_due = False
            yield wire.heartbeat(self._state.playing.pulse(), self._state.slots)

    def _collect(self) -> None:
        """Take in what was played; what cannot be played is to be told."""
        self._mail_due = False
        self._rejections |= {failure.experiment: failure for failure in self._state.collect()}

    async def _beat(self, heartbeat_s: float) -> None:
        """Be due twice as often as the master asks, so that one delay costs nothing."""
        while True:
            await asyncio.sleep(max(MIN_HEARTBEAT_S, heartbeat_s) / 2)
            self._beat_due = True
            self._wake.set()

    async def _watch_stop(self) -> None:
        """When told to stop: wake the speaker for its goodbye, or give up a greeting that nobody answers."""
        await self._stop.wait()
        if not self.welcomed:
            self._deadline.reschedule(asyncio.get_running_loop().time())
        self._wake.set()

    async def _say_goodbye(self) -> None:
        """Tell the last scores, hand every other lease back, and wait a little for the acknowledgements."""
        self._collect()
        leases = self._state.leases
        self._deadline.reschedule(asyncio.get_running_loop().time() + FAREWELL_S)
        for message in self._last_words():
            await self._write(message)
        hang, unplayed = self._state.hang, leases.unplayed()
        leases.revoke(unplayed)
        suspected = [key for key in unplayed if hang and key in hang.playing]
        returned = [key for key in unplayed if key not in suspected]
        logger.info("handing %d leases back", len(unplayed))
        await self._write(wire.goodbye(hang.reason if hang else "told to stop", returned, suspected))
        await self._call.done_writing()

    def _last_words(self) -> Iterator[worker_pb2.WorkerMessage]:
        """Where centres stand and the last scores; no checkpoints, which would take too long."""
        for told in self._state.notices:
            if isinstance(told, CentreReport):
                yield from wire.notice(told)
        while batch := self._state.leases.next_batch():
            yield wire.results(batch)
