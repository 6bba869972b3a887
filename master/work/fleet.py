"""The workers: their streams, their room, and what they have been told."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from time import time
from typing import NamedTuple, TypeAlias

from germline.algorithms.slices import EpochClosed
from germline.limits import MAX_WORKERS
from master.centres.centre import Checkpoint
from master.centres.consequences import newest_checkpoint
from master.errors import MasterError, OutdatedStreamError, ReplacedStreamError
from master.experiments.events import evaluations_of
from master.experiments.experiment import Experiment, RefusedResult
from master.experiments.workers import WorkerIdentity
from master.work.leases import Key
from master.work.pending_work import Work
from master.work.waiting import base_id

MAX_KNOWN = 512  # genomes that a stream's leases may refer to
MAX_LEASES_PER_MESSAGE = 256  # below MAX_KNOWN: what a message refers to is never forgotten in it
MAX_SEEDS_PER_MESSAGE = 1 << 18  # 2 MiB, unless a single lease has more


class Welcome(NamedTuple):
    """The stream's settings."""

    master_id: str
    heartbeat_s: float


class Introduce(NamedTuple):
    """An experiment, before its first lease."""

    experiment: Experiment


class Lend(NamedTuple):
    """Work, with the genomes that it needs and the worker has not been sent, and those it may forget."""

    experiment: Experiment
    work: Sequence[Work]
    unknown: Sequence[Work]
    forget: Sequence[int]


class Acknowledge(NamedTuple):
    """A Results message, in which so many were told, is settled."""

    sequence: int
    refused: Sequence[RefusedResult]
    told: int = 0


class Revoke(NamedTuple):
    """Leases that are not wanted any more."""

    keys: Sequence[Key]


class Update(NamedTuple):
    """A closed epoch of an experiment, for the worker to apply."""

    number: int
    closed: EpochClosed


class SendPart(NamedTuple):
    """A part of the checkpoint that the worker starts from."""

    number: int
    checkpoint: Checkpoint
    part: int


class AskCheckpoint(NamedTuple):
    """The master wants an experiment's centre after so many updates."""

    number: int
    epoch: int


class StartOver(NamedTuple):
    """The worker's centre is not the others'."""

    number: int
    reason: str


class Suspend(NamedTuple):
    """The worker was proven wrong and gets no work; without a reason, it was taken back."""

    reason: str


class Drain(NamedTuple):
    """The master is about to stop."""

    reason: str


class End(NamedTuple):
    """The stream ends: with an error, or politely."""

    error: MasterError | None


Order: TypeAlias = (
    Welcome
    | Introduce
    | Lend
    | Acknowledge
    | Revoke
    | Suspend
    | Drain
    | Update
    | SendPart
    | AskCheckpoint
    | StartOver
)


class Session:
    """One worker's stream, from its hello to its end.

    Attributes:
        identity: who it is.
        slots: evaluations that it plays at a time.
        credit: evaluations that it takes on top of what it was lent.
        held: leases that it has, at most.
        known: ids of the genomes that its leases may refer to, the longest unused first.
        evaluations: results of it that counted.
        busy_share: of its last heartbeat.
        frames_per_second: over its last heartbeat interval.
        stage_shares: of the time in which it played, see germline.bottleneck; none while it says nothing.
        connected: seconds since 1970.
        heard: clock time of its last message.
        owed: results that it told and was not written the acknowledgement of.
        process: the worker's, see germline.v1.Hello; empty if it does not say.
    """

    def __init__(
        self, identity: WorkerIdentity, slots: int, clock: Callable[[], float], process: str = ""
    ) -> None:
        self.identity = identity
        self.process = process
        self.slots = slots
        self.credit = self.held = 0
        self.known: OrderedDict[int, None] = OrderedDict()
        self.evaluations = 0
        self.busy_share = 0.0
        self.frames_per_second = 0.0
        self.stage_shares: tuple[float, ...] = ()
        self.connected = time()
        self.heard = self.beat = clock()
        self.orders: asyncio.Queue[Order | End] = asyncio.Queue()
        self.owed = 0
        self._introduced: dict[int, int] = {}  # by number: how many versions of its normalisation

    def lend(self, experiment: Experiment, work: list[Work]) -> None:
        """Put work on the stream, and note which genomes the worker knows from now on."""
        if work:  # otherwise an idle worker would come to know, and follow, every experiment
            self.introduce(experiment)
        for part in in_messages(work):
            self._lend_part(experiment, part)

    def introduce(self, experiment: Experiment) -> None:
        """Tell the worker of an experiment, unless it knows it; and of a version that is new to it."""
        told, versions = self._introduced.get(experiment.number), len(experiment.normalisations)
        if told != versions:
            self._introduced[experiment.number] = versions
            self.orders.put_nowait(Introduce(experiment))
        if told is None:
            self._send(experiment.number, experiment.start.checkpoint())
            if experiment.centre is not None:
                experiment.centre.agreement.join(self.identity.worker_id, experiment.centre.epochs)
            self.catch_up(experiment)

    def knows(self, experiment: Experiment) -> bool:
        """Whether the experiment was introduced on this stream."""
        return experiment.number in self._introduced

    def catch_up(self, experiment: Experiment, wanted: int | None = None) -> None:
        """Send what takes a fresh centre to where the others' are; a centre that is there ignores it.

        If a checkpoint on this way is wanted, it is asked for when the centre stands there.
        """
        number, centre = experiment.number, experiment.centre
        if centre is None:
            return
        checkpoint = newest_checkpoint(experiment)
        self._send(number, checkpoint)
        if wanted == (checkpoint.epoch if checkpoint is not None else 0):
            self.orders.put_nowait(AskCheckpoint(number, wanted))
        for closed in centre.updates:
            self.orders.put_nowait(Update(number, closed))
            if wanted == closed.epoch + 1:
                self.orders.put_nowait(AskCheckpoint(number, wanted))

    def _send(self, number: int, checkpoint: Checkpoint | None) -> None:
        """Send a checkpoint, if there is one, in parts."""
        if checkpoint is not None:
            for part in range(checkpoint.parts):
                self.orders.put_nowait(SendPart(number, checkpoint, part))

    def _lend_part(self, experiment: Experiment, work: list[Work]) -> None:
        known, unknown, forget = self.known, [], []
        for piece in work:
            base = base_id(piece.ask)
            if base < 0:
                continue
            if base in known:
                known.move_to_end(base)
            else:
                known[base] = None
                unknown.append(piece)
        while len(known) > MAX_KNOWN:
            forget.append(known.popitem(last=False)[0])
        self.credit = max(0, self.credit - sum(evaluations_of(piece.ask) for piece in work))
        self.held += len(work)
        self.orders.put_nowait(Lend(experiment, work, unknown, forget))


class _Away(NamedTuple):
    """A worker that broke off: since when, and its process."""

    since: float
    process: str


def in_messages(work: Sequence[Work]) -> Iterator[list[Work]]:
    """Work in parts that fit into a message each."""
    part: list[Work] = []
    seeds = 0
    for piece in work:
        seeds += len(piece.ask.episode_seeds)
        if part and (len(part) == MAX_LEASES_PER_MESSAGE or seeds > MAX_SEEDS_PER_MESSAGE):
            yield part
            part, seeds = [], len(piece.ask.episode_seeds)
        part.append(piece)
    if part:
        yield part


class Fleet:
    """The workers that are connected, and those that broke off not long ago.

    Attributes:
        away_s: time after which a worker that is silent or away loses its leases to others.
        slots: evaluations that all connected workers play at a time.
    """

    def __init__(self, clock: Callable[[], float], away_s: float) -> None:
        self.away_s = away_s
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._away: dict[str, _Away] = {}
        self.slots = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        """Yield the connected workers, longest connected first."""
        return iter(list(self._sessions.values()))

    def find(self, worker_id: str) -> Session | None:
        """A worker's stream, if it is connected."""
        return self._sessions.get(worker_id)

    def is_full_for(self, worker_id: str) -> bool:
        """Whether there is no place for a worker that is not here, nor was not long ago."""
        is_new = worker_id not in self._sessions and worker_id not in self._away
        return is_new and len(self._sessions) + len(self._away) >= MAX_WORKERS

    def is_anew(self, worker_id: str, process: str) -> bool:
        """Whether this process is another one than what was here, or not long ago, under the same name."""
        here = self._sessions.get(worker_id) or self._away.get(worker_id)
        return here is not None and bool(process and here.process) and here.process != process

    def join(self, identity: WorkerIdentity, slots: int, process: str = "") -> Session:
        """Begin a worker's stream; an older one of the same worker ends."""
        older = self._sessions.pop(identity.worker_id, None)
        if older is not None:
            older.orders.put_nowait(End(_taken(identity.worker_id, process, older.process)))
            self.slots -= older.slots
        session = self._sessions[identity.worker_id] = Session(identity, slots, self._clock, process)
        self.slots += slots
        self._away.pop(identity.worker_id, None)
        return session

    def resize(self, session: Session, slots: int) -> None:
        """A connected worker plays more or fewer evaluations at a time than before."""
        if self._sessions.get(session.identity.worker_id) is session:
            self.slots += slots - session.slots
            session.slots = slots

    def leave(self, session: Session, *, for_good: bool) -> bool:
        """End a worker's stream; False if a newer one has taken its place."""
        worker_id = session.identity.worker_id
        if self._sessions.get(worker_id) is not session:
            return False
        del self._sessions[worker_id]
        self.slots -= session.slots
        if not for_good:
            self._away[worker_id] = _Away(self._clock(), session.process)
        return True

    def silent(self) -> list[Session]:
        """Streams on which nothing came for too long."""
        limit = self._clock() - self.away_s
        return [session for session in self._sessions.values() if session.heard < limit]

    def gone(self) -> list[str]:
        """Forget and return the workers that broke off too long ago."""
        limit = self._clock() - self.away_s
        gone = [worker_id for worker_id, away in self._away.items() if away.since < limit]
        for worker_id in gone:
            del self._away[worker_id]
        return gone


def _taken(worker_id: str, process: str, older: str) -> MasterError:
    """Why a stream ends for which another one came.

    The hello of an earlier stream may come late, when a network held it: a process is not sent away for good
    because of its own ghost.
    """
    if process and process == older:
        return OutdatedStreamError(
            "this process came on another stream; open a new one if you are still here"
        )
    return ReplacedStreamError(f"another process came as hello.worker_id {worker_id!r}; give each its own")
