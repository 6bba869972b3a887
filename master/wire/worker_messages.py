"""Between a worker's messages and the master's own words."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from typing import assert_never

from germline.algorithms.base import Ask, Result
from germline.algorithms.slices import SliceAsk
from germline.bottleneck import STAGES
from germline.limits import MAX_FAILURE, MAX_HELD, MAX_LIBRARIES, MAX_RESULTS, MAX_SLOTS, MAX_TEXT
from germline.spec.normalised import write_versions
from germline.spec.travelling import for_workers
from germline.v1 import genome_pb2, worker_pb2
from master.centres.keeper import Part, Report
from master.errors import StreamOrderError
from master.experiments.experiment import RefusedResult
from master.experiments.workers import WorkerIdentity
from master.journal.codec import parent_of
from master.work.dispatcher import Greeting
from master.work.fleet import (
    Acknowledge,
    AskCheckpoint,
    Drain,
    Introduce,
    Lend,
    Order,
    Revoke,
    SendPart,
    StartOver,
    Suspend,
    Update,
    Welcome,
)
from master.work.leases import Key

_WORKER_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_ENCODED_BYTES = 64 * 2**20


def read_hello(message: worker_pb2.WorkerMessage) -> Greeting:
    """The first message of a stream.

    Raises StreamOrderError if it is another one, or a field is not allowed.
    """
    kind = message.WhichOneof("kind")
    if kind != "hello":
        raise StreamOrderError(
            f"the stream begins with {kind or 'an empty message'}; its first message must be hello"
        )
    hello = message.hello
    if not _WORKER_ID.fullmatch(hello.worker_id):
        raise StreamOrderError(
            f"hello.worker_id is {hello.worker_id[:80]!r}; allowed: 1 to 64 letters, digits, '-', '_' or '.'"
        )
    _check_lengths(hello)
    return Greeting(
        identity=WorkerIdentity(hello.worker_id, hello.device, dict(hello.libraries)),
        version=hello.version,
        noise_version=hello.noise_version,
        noise_digest=hello.noise_digest,
        process=hello.process,
        slots=_slots("hello", hello.slots),
        held=read_keys("hello.held", hello.held),
    )


def read_slots(beat: worker_pb2.Heartbeat, before: int) -> int:
    """How many evaluations a worker plays at a time by now. Raises StreamOrderError for too many."""
    return _slots("heartbeat", beat.slots) if beat.slots else before


def read_stages(beat: worker_pb2.Heartbeat) -> tuple[float, ...]:
    """Seconds by stage, in the order of germline.bottleneck; none from a worker that does not say."""
    if not beat.HasField("stages"):
        return ()
    return tuple(getattr(beat.stages, f"{stage}_s") for stage in STAGES)


def _slots(message: str, slots: int) -> int:
    if not 1 <= slots <= MAX_SLOTS:
        raise StreamOrderError(f"{message}.slots is {slots}; allowed: 1 to {MAX_SLOTS}")
    return slots


def _check_lengths(hello: worker_pb2.Hello) -> None:
    """Refuse what would be kept of a worker with every experiment that it plays, if it is too long."""
    named = (
        ("version", hello.version),
        ("device", hello.device),
        ("process", hello.process),
        ("noise_digest", hello.noise_digest),
    )
    libraries = [("libraries", text) for library in hello.libraries.items() for text in library]
    for field, text in (*named, *libraries):
        if len(text) > MAX_TEXT:
            sentence = f"hello.{field} has {len(text)} letters; allowed: up to {MAX_TEXT}"
            raise StreamOrderError(sentence)
    if len(hello.libraries) > MAX_LIBRARIES:
        raise StreamOrderError(
            f"hello.libraries has {len(hello.libraries)} entries; allowed: up to {MAX_LIBRARIES}"
        )


def read_reason(text: str) -> str:
    """What a worker says to people, in one line that is not too long."""
    return " ".join(text[:MAX_FAILURE].split())


def read_keys(field: str, messages: Collection[worker_pb2.LeaseKey]) -> list[Key]:
    """Names of leases. Raises StreamOrderError for more than a worker can have."""
    _check_count(field, len(messages), MAX_HELD)
    return [Key(key.experiment, key.ticket, key.attempt, key.identity) for key in messages]


def _check_count(field: str, count: int, most: int) -> None:
    if count > most:
        raise StreamOrderError(f"{field} has {count:,} entries; allowed: up to {most:,}")


def read_results(messages: Collection[worker_pb2.Result]) -> Iterator[tuple[Key, Result]]:
    """Yield the results of a message. Raises StreamOrderError, before the first, if they are too many."""
    _check_count("results.results", len(messages), MAX_RESULTS)
    return _results(messages)


def _results(messages: Iterable[worker_pb2.Result]) -> Iterator[tuple[Key, Result]]:
    for message in messages:
        lease = message.lease
        ticket = lease.ticket
        failure = message.failure
        if failure:
            failure = read_reason(failure) or "no reason was given"
        yield (
            Key(lease.experiment, ticket, lease.attempt, lease.identity),
            Result(
                ticket,
                tuple(message.returns),
                message.frames,
                message.steps,
                failure,
                message.cut if message.HasField("cut") else None,
                message.behaviour,
                message.observed,
            ),
        )


def read_part(message: worker_pb2.CheckpointPart) -> Part:
    """A part of a checkpoint. Raises StreamOrderError for a digest that is none."""
    if len(message.digest) > MAX_TEXT:
        raise StreamOrderError(
            f"checkpoint.digest has {len(message.digest)} letters; allowed: up to {MAX_TEXT}"
        )
    return Part(
        message.experiment, message.epoch, message.digest, message.part, message.parts, message.data,
        message.identity,
    )  # fmt: skip


def read_report(message: worker_pb2.EpochReport) -> Report:
    """Where a worker's centre stands."""
    return Report(message.experiment, message.epoch, message.digest, message.identity)


class OrderWriter:
    """Writes what the master says, and remembers what many workers need: parents, and the closed epoch."""

    def __init__(self) -> None:
        self._update: tuple[Update, worker_pb2.MasterMessage] | None = None  # the last one that was written
        self._encoded: OrderedDict[int, bytes] = OrderedDict()
        self._encoded_bytes = 0

    def write(self, order: Order) -> worker_pb2.MasterMessage:
        """One order as a message, which is not to be changed."""
        if isinstance(order, Update):
            return self._write_update(order)
        message = worker_pb2.MasterMessage()
        if isinstance(order, Lend):
            self._write_leases(message.leases, order)
        elif isinstance(order, Acknowledge):
            message.acknowledgement.sequence = order.sequence
            message.acknowledgement.refused.extend(map(_write_refusal, order.refused))
        elif isinstance(order, Welcome):
            message.welcome.master_id, message.welcome.heartbeat_s = order
        elif isinstance(order, Introduce):
            message.introduction.experiment = order.experiment.number
            message.introduction.identity = order.experiment.identity
            message.introduction.spec.CopyFrom(for_workers(order.experiment.settings.spec))
            message.introduction.normalisations.extend(write_versions(order.experiment.normalisations))
        elif isinstance(order, Revoke):
            message.revocation.leases.extend(map(_write_key, order.keys))
        elif isinstance(order, Drain | Suspend):
            (message.drain if isinstance(order, Drain) else message.quarantine).reason = order.reason
        elif isinstance(order, SendPart | AskCheckpoint | StartOver):
            _write_centre(message, order)
        else:
            assert_never(order)
        return message

    def _write_update(self, order: Update) -> worker_pb2.MasterMessage:
        """A closed epoch, which all workers are told of at about the same time; up to 16 MiB of scores."""
        if self._update is None or self._update[0] != order:
            message = worker_pb2.MasterMessage()
            message.epoch.experiment, message.epoch.epoch = order.number, order.closed.epoch
            message.epoch.fitness.extend(order.closed.fitness)
            message.epoch.next_centre = order.closed.next_centre
            self._update = order, message
        return self._update[1]

    def _write_leases(self, leases: worker_pb2.Leases, order: Lend) -> None:
        for work in order.unknown:
            if isinstance(work.ask, Ask):
                leases.known.append(self._known_genome(work.ask))
        leases.forget.extend(order.forget)
        number, identity = order.experiment.number, order.experiment.identity
        lease_s = order.experiment.settings.lease_s
        add = leases.leases.add
        for ask, held in order.work:
            lease = add()
            key = lease.key
            key.experiment, key.ticket, key.attempt, key.identity = number, ask.ticket, held.attempt, identity
            if isinstance(ask, SliceAsk):
                part = lease.slice
                part.epoch, part.first_pair, part.pairs = ask.epoch, ask.first_pair, ask.pairs
            elif ask.parent_id is None or ask.genome.last is None:
                lease.genome = ask.genome.id
                lease.cap_frames = ask.cap_frames
            else:
                lease.cap_frames = ask.cap_frames
                lease.genome = ask.parent_id
                mutation = lease.mutation
                mutation.seed, mutation.power, mutation.rank = ask.genome.last
            lease.episode_seeds.extend(ask.episode_seeds)
            lease.lease_s = lease_s

    def _known_genome(self, ask: Ask) -> genome_pb2.KnownGenome:
        """The genome that a worker must know to play this."""
        if ask.parent_id is None:
            return genome_pb2.KnownGenome(id=ask.genome.id, encoded=ask.genome.encode())
        encoded = self._encoded.get(ask.parent_id)
        if encoded is None:
            encoded = self._encoded[ask.parent_id] = parent_of(ask).encode()
            self._encoded_bytes += len(encoded)
            while self._encoded_bytes > _MAX_ENCODED_BYTES and len(self._encoded) > 1:
                self._encoded_bytes -= len(self._encoded.popitem(last=False)[1])
        return genome_pb2.KnownGenome(id=ask.parent_id, encoded=encoded)


def _write_centre(message: worker_pb2.MasterMessage, order: SendPart | AskCheckpoint | StartOver) -> None:
    """What keeps an evolution strategy's centre in step."""
    if isinstance(order, AskCheckpoint):
        message.checkpoint_request.experiment, message.checkpoint_request.epoch = order
    elif isinstance(order, StartOver):
        message.reload.experiment, message.reload.reason = order
    else:
        part, checkpoint = message.checkpoint, order.checkpoint
        part.experiment, part.epoch, part.digest = order.number, checkpoint.epoch, checkpoint.digest
        part.part, part.parts = order.part, checkpoint.parts
        part.data = checkpoint.part(order.part)


def _write_refusal(refused: RefusedResult) -> worker_pb2.Refusal:
    code = worker_pb2.RefusalCode.ValueType(int(refused.code))
    return worker_pb2.Refusal(lease=_write_key(refused.key), code=code, message=refused.message)


def _write_key(key: Key) -> worker_pb2.LeaseKey:
    number, ticket, attempt, identity = key
    return worker_pb2.LeaseKey(experiment=number, ticket=ticket, attempt=attempt, identity=identity)
