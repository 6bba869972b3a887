"""The stream to the master: connects, comes back after every break, and says what the ledger owes.

One writer for each stream: whatever there is to say is kept as state (the ledger, the tray, flags) until the
writer says it, so nothing queues up and a new stream says the same again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import grpc
from grpc import aio

from germline.v1 import spec_pb2, worker_pb2
from germline.v1.worker_pb2_grpc import WorkerServiceStub
from worker import wire
from worker.backoff import Backoff
from worker.epochs import Evolving
from worker.ledger import Ledger
from worker.pace import Pace
from worker.rollout import Engine
from worker.stage import Stage
from worker.tray import PATIENCE_S, Tray
from worker.work import Failure, Notice

logger = logging.getLogger(__name__)

Call = aio.StreamStreamCall[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]

MIN_HEARTBEAT_S = 0.1
WELCOME_S = 30.0  # longest wait for the answer to hello
FAREWELL_S = 3.0  # longest wait for the last acknowledgements
STEADY_S = 5.0  # a stream that lasted so long was worth its welcome: the next try may come at once
REMIND_S = 30.0  # time between two lines that say that the worker still waits

# A master that answers hello with one of these will answer the same again.
REFUSING_CODES = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)

# Refusals that every run sees: work that was lent twice, or came in after the end.
_ORDINARY = (worker_pb2.REFUSAL_CODE_ALREADY_TOLD, worker_pb2.REFUSAL_CODE_CLOSED)


class RefusedError(Exception):
    """The master does not want this worker, and says why."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a link connects and who it says it is."""

    master: str
    """Address of the master, "host:port"."""
    dial: Callable[[], aio.Channel]
    """Opens a channel to it."""
    metadata: tuple[tuple[str, str], ...]
    """Sent with the call; carries the token."""
    identity: wire.Identity
    slots: int
    """Individuals to ask for until an engine says how many it plays at a time."""
    build: Callable[[spec_pb2.ExperimentSpec], Engine]
    """Makes an experiment's engine; runs on the stage."""
    patience_s: float = PATIENCE_S
    """Longest time that a score waits for company."""


class Link:
    """A worker's side of the conversation, over as many streams as it takes."""

    def __init__(self, terms: Terms) -> None:
        """Prepare; :meth:`keep` connects."""
        self.terms = terms
        self.tray = Tray(self._on_mail, terms.patience_s)
        self.stage = Stage(self.tray)
        self.pace = Pace(time.monotonic())
        self.ledger = Ledger(terms.slots + self.pace.prefetch(terms.slots))
        self.specs: dict[int, bytes] = {}
        self.notices: deque[Notice] = deque()
        self._stream: Stream | None = None
        self._backoff = Backoff()
        self._reminded_s = float("-inf")

    @property
    def slots(self) -> int:
        """How many individuals play at a time: as many as the engines turned out to have."""
        return self.stage.slots or self.terms.slots

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
            why = await self._one_stream(stop)
            if time.monotonic() - begun_s > STEADY_S:
                self._backoff.reset()
            if not stop.is_set():
                await self._pause(why, stop)
        if self.ledger.owed():
            logger.warning("left with %d scores that no master acknowledged", self.ledger.owed())

    async def _one_stream(self, stop: asyncio.Event) -> str:
        """Talk for as long as a stream lasts; returns why it ended."""
        async with self.terms.dial() as channel:
            call = WorkerServiceStub(channel).Work(metadata=self.terms.metadata)
            stream = self._stream = Stream(self, call, stop)
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

    async def _pause(self, why: str, stop: asyncio.Event) -> None:
        wait_s = self._backoff.next_s()
        now_s = time.monotonic()
        if now_s - self._reminded_s >= REMIND_S:
            logger.info(
                "waiting for a master at %s (%s); trying again until it is there", self.terms.master, why
            )
            self._reminded_s = now_s
        try:
            await asyncio.wait_for(stop.wait(), wait_s)
        except TimeoutError:
            return


class Stream:
    """One stream: listens, and says what is due. Ends when the master ends it, or after goodbye."""

    def __init__(self, link: Link, call: Call, stop: asyncio.Event) -> None:
        """Belong to a call that has just begun."""
        self._link = link
        self._call = call
        self._stop = stop
        self._wake = asyncio.Event()
        self._known = wire.KnownGenomes()
        self._assembly = wire.Assembly()
        self._rejections: dict[int, Failure] = {}
        self._mail_due = False
        self._beat_due = False
        self._draining = False
        self.welcomed = False
        self._deadline = asyncio.timeout(WELCOME_S)
        self._handlers: dict[str, Callable[[worker_pb2.MasterMessage], None]] = {
            "introduction": self._on_introduction,
            "leases": self._on_leases,
            "acknowledgement": self._on_acknowledgement,
            "revocation": self._on_revocation,
            "drain": self._on_drain,
            "epoch": self._on_epoch,
            "checkpoint": self._on_checkpoint,
            "checkpoint_request": self._on_checkpoint_request,
            "reload": self._on_reload,
        }

    def on_mail(self) -> None:
        """The stage's tray wants to be emptied."""
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
        link = self._link
        self._collect()
        link.ledger.begin_stream()
        await self._write(wire.hello(link.terms.identity, link.slots, link.ledger.held()))
        answer = await self._call.read()
        if not isinstance(answer, worker_pb2.MasterMessage) or answer.WhichOneof("kind") != "welcome":
            raise wire.ProtocolError("the master's first message was no welcome")
        self.welcomed = True
        self._deadline.reschedule(None)
        logger.info("master %s at %s welcomes this worker", answer.welcome.master_id, link.terms.master)
        return answer.welcome.heartbeat_s

    async def _listen(self) -> None:
        """Hand every message to its handler, until the master ends the stream."""
        while isinstance(message := await self._call.read(), worker_pb2.MasterMessage):
            kind = message.WhichOneof("kind")
            handler = self._handlers.get(kind or "")
            if handler:
                handler(message)
            else:
                logger.debug("ignored a message of kind %s", kind)

    async def _write(self, message: worker_pb2.WorkerMessage) -> bool:
        """Write; False if the call is over, of which the listener hears the reason."""
        try:
            await self._call.write(message)
        except (aio.AioRpcError, asyncio.InvalidStateError):
            return False
        return True

    async def _speak(self) -> None:
        """Say what is due whenever there is something. The only writer of the stream."""
        for batch in self._link.ledger.unacknowledged():
            await self._write(wire.results(batch))
        while not self._stop.is_set():
            self._wake.clear()
            for message in self._due():
                await self._write(message)
            await self._wake.wait()
        await self._say_goodbye()

    def _due(self) -> Iterator[worker_pb2.WorkerMessage]:
        """Everything there is to say now: what cannot be played, centres, scores, room, a heartbeat."""
        ledger = self._link.ledger
        if self._mail_due:
            self._collect()
        while self._rejections:
            yield wire.rejection(self._rejections.pop(next(iter(self._rejections))))
        while self._link.notices:  # before scores: the master is to know a centre before what it played
            yield from wire.notice(self._link.notices.popleft())
        while batch := ledger.next_batch():
            yield wire.results(batch)
        if not self._draining and (credit := ledger.grant()):
            yield wire.credit(credit)
        if self._beat_due:
            self._beat_due = False
            yield wire.heartbeat(self._link.stage.pulse())

    def _collect(self) -> None:
        """Take what the stage has done into the books, and fit the room to its speed and slots."""
        link, self._mail_due = self._link, False
        scores, failures = link.tray.take()
        link.notices.extend(link.tray.take_notices())
        link.pace.note(link.ledger.score(scores), time.monotonic())
        for failure in failures:
            link.ledger.drop_experiment(failure.experiment)
            self._rejections[failure.experiment] = failure
        link.ledger.room = link.slots + link.pace.prefetch(link.slots)

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
        ledger = self._link.ledger
        self._deadline.reschedule(asyncio.get_running_loop().time() + FAREWELL_S)
        while batch := ledger.next_batch():
            await self._write(wire.results(batch))
        returned = ledger.unplayed()
        ledger.revoke(returned)
        logger.info("handing %d leases back", len(returned))
        await self._write(wire.goodbye("told to stop", returned))
        await self._call.done_writing()

    def _on_introduction(self, message: worker_pb2.MasterMessage) -> None:
        """Keep what plays if the experiment is the one we know; otherwise its old leases mean nothing now."""
        link, number, spec = self._link, message.introduction.experiment, message.introduction.spec
        encoded = spec.SerializeToString(deterministic=True)
        if link.specs.get(number) != encoded:
            link.ledger.drop_experiment(number)
            self._wake.set()
            link.specs[number] = encoded
            build = link.terms.build
            link.stage.introduce(number, lambda: build(spec))
            logger.info("experiment %d is %s", number, spec.name)
        if spec.algorithm.WhichOneof("kind") == "eggroll":  # the master compares where its workers stand
            link.stage.evolve(number, lambda _: None)

    def _on_leases(self, message: worker_pb2.MasterMessage) -> None:
        assignments = self._known.read(message.leases)
        for assignment in assignments:
            if assignment.key.experiment not in self._link.specs:
                raise wire.ProtocolError(f"lease {assignment.key} came before its experiment")
        for assignment in assignments:
            self._link.ledger.lend([assignment.key], assignment.evaluations)
        self._link.stage.lend(assignments)

    def _on_acknowledgement(self, message: worker_pb2.MasterMessage) -> None:
        told = message.acknowledgement
        self._wake.set()  # scores that nobody kept may have stopped the credit
        if self._link.ledger.acknowledge(told.sequence) is None:
            logger.debug("results %d were acknowledged before", told.sequence)
        for (experiment, code), refused in wire.by_reason(told.refused).items():
            level = logging.INFO if code in _ORDINARY else logging.WARNING
            name, example = worker_pb2.RefusalCode.Name(code), refused[0].message
            logger.log(
                level,
                "%d scores of experiment %d did not count: %s (%s)",
                len(refused),
                experiment,
                example,
                name,
            )

    def _on_revocation(self, message: worker_pb2.MasterMessage) -> None:
        keys = frozenset(map(wire.lease_key, message.revocation.leases))
        self._link.ledger.revoke(keys)
        self._link.stage.revoke(keys)
        self._wake.set()

    def _on_epoch(self, message: worker_pb2.MasterMessage) -> None:
        closed = message.epoch
        self._evolve(closed.experiment, partial(_update, epoch=closed.epoch, fitness=tuple(closed.fitness)))

    def _on_checkpoint(self, message: worker_pb2.MasterMessage) -> None:
        data = self._assembly.add(message.checkpoint)
        if data is not None:
            self._evolve(message.checkpoint.experiment, partial(_load, data=data))

    def _on_checkpoint_request(self, message: worker_pb2.MasterMessage) -> None:
        wanted = message.checkpoint_request
        if wanted.experiment in self._link.specs:
            self._link.stage.save(wanted.experiment, wanted.epoch)

    def _on_reload(self, message: worker_pb2.MasterMessage) -> None:
        number = message.reload.experiment
        logger.error("experiment %d starts over from a checkpoint: %s", number, message.reload.reason)
        self._evolve(number, _reload)

    def _evolve(self, experiment: int, change: Callable[[Evolving], object]) -> None:
        if experiment not in self._link.specs:
            raise wire.ProtocolError(f"an epoch of experiment {experiment} came before the experiment")
        self._link.stage.evolve(experiment, change)

    def _on_drain(self, message: worker_pb2.MasterMessage) -> None:
        logger.info("the master is about to stop: %s", message.drain.reason)
        self._draining = True


def _update(centre: Evolving, epoch: int, fitness: tuple[float, ...]) -> None:
    centre.update(epoch, fitness)


def _load(centre: Evolving, data: bytes) -> None:
    centre.load(data)


def _reload(centre: Evolving) -> None:
    centre.reload()


def _explain(failures: BaseExceptionGroup[BaseException], welcomed: bool) -> str:
    """Why a stream broke, for people; raises RefusedError if another try would end the same way."""
    failure = failures.exceptions[0]
    if isinstance(failure, aio.AioRpcError):
        code, details = failure.code(), failure.details() or "no details"
        if code is grpc.StatusCode.ABORTED or (code in REFUSING_CODES and not welcomed):
            raise RefusedError(f"the master refuses this worker: {details} ({code.name})")
        return f"{code.name}: {details}"
    if isinstance(failure, TimeoutError):
        return "no answer in time"
    logger.error("the master broke the protocol: %s", failure)
    return "the protocol was broken"
