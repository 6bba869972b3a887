"""Journal events and snapshots as bytes: germline.v1.JournalEntry and germline.v1.Snapshot."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from google.protobuf.message import DecodeError

from germline.algorithms.base import Ask, JsonValue, Purpose
from germline.algorithms.slices import EpochClosed, SliceAsk
from germline.algorithms.snapshot_codec import Rows
from germline.genome import Genome, Mutation, check_power
from germline.leisure import rest, resting
from germline.v1 import journal_pb2
from master.errors import JournalFormatError
from master.experiments.events import (
    CheckpointStored,
    Created,
    Event,
    Piece,
    Quarantined,
    State,
    Told,
    WorkerSeen,
)
from master.journal.messages import (
    checkpoint_message,
    created_message,
    quarantined_message,
    read_checkpoint,
    read_created,
    read_quarantined,
    read_rare,
    read_told,
    read_worker,
    worker_message,
    write_rare,
    write_slice,
    write_told,
)

FORMAT_VERSION = 1
_AT_A_TIME = 512  # rows of a snapshot: a millisecond in which nobody else has the interpreter
_MAX_JSON_BYTES = 1 << 30  # unpacked; a population of a million takes a seventh of it

_Stored = TypeVar("_Stored", journal_pb2.JournalEntry, journal_pb2.Snapshot, journal_pb2.Backup)


class Snapshot(NamedTuple):
    """An experiment up to and including one entry of its journal.

    Attributes:
        position: number of that entry; 0 is before the first.
        created: what the experiment is.
        state: where it stands.
        algorithm: the algorithm's own snapshot.
        progress: counters and curve.
        workers: seen so far.
        closed_epochs: of an evolution strategy.
        epochs: the last of them: all since the newest checkpoint.
        checkpoints: that are kept.
        told: of the open epoch.
        trouble: why it paused by itself.
        stop: its stop conditions, as serialized message; None for those that it was created with, in
            snapshots of builds that could not change them.
        quarantined: workers that were proven wrong and not released.
        tellers: who told what of a genetic algorithm's individuals: (the individual, the worker's number),
            and how many results that nobody confirmed.
        frozen: writes `algorithm`, where that is still to be done.
    """

    position: int
    created: Created
    state: State
    algorithm: dict[str, JsonValue]
    progress: dict[str, JsonValue]
    workers: Sequence[WorkerSeen]
    closed_epochs: int = 0
    epochs: Sequence[EpochClosed] = ()
    checkpoints: Sequence[CheckpointStored] = ()
    told: Sequence[Told] = ()
    trouble: str = ""
    stop: bytes | None = None
    quarantined: Sequence[Quarantined] = ()
    tellers: Collection[tuple[tuple[int, int], int]] = ()
    frozen: Callable[[], dict[str, JsonValue]] | None = None

    def written(self) -> Snapshot:
        """The same, with its algorithm's snapshot written."""
        return self if self.frozen is None else self._replace(algorithm=self.frozen(), frozen=None)


class EntryWriter:
    """Writes the entries of one experiment.

    An asked individual is written as its parent's id and one mutation. Replay must find that parent, so its
    whole genome goes into the first entry after a snapshot that needs it: a journal explains itself from
    any snapshot on.
    """

    def __init__(self) -> None:
        self._explained: set[int] = set()

    def write(self, events: Iterable[Event]) -> bytes:
        """One entry with these events."""
        entry = journal_pb2.JournalEntry(format_version=FORMAT_VERSION)
        add = entry.events.add
        for event in events:
            if isinstance(event, Told):
                write_told(add().told, event)
            elif isinstance(event, Ask):
                self._write_asked(add().asked, event)
            elif isinstance(event, SliceAsk):
                write_slice(add().asked, event)
            else:
                write_rare(add(), event)
        return entry.SerializeToString()

    def begin_anew(self) -> None:
        """A snapshot was taken: what follows must explain itself again."""
        self._explained.clear()

    def _write_asked(self, message: journal_pb2.Asked, ask: Ask) -> None:
        genome, explained = ask.genome, self._explained
        message.ticket = ask.ticket
        message.episode_seeds.extend(ask.episode_seeds)
        message.validation = ask.purpose is Purpose.VALIDATE
        message.measurement = ask.purpose is Purpose.MEASURE
        message.cap_frames = ask.cap_frames
        if ask.parent_id is None or genome.last is None:
            message.genome = genome.id
            if genome.id not in explained:
                message.encoded = genome.encode()
        else:
            message.genome = ask.parent_id
            mutation = message.mutation
            mutation.seed, mutation.power, mutation.rank = genome.last
            if ask.parent_id not in explained:
                explained.add(ask.parent_id)
                message.encoded = parent_of(ask).encode()
        explained.add(genome.id)


class EntryReader:
    """Reads the entries of one experiment in order, from a snapshot on.

    Every genome asked since the snapshot can be a parent later, so all of them are kept; relatives share the
    line that they have in common, so each costs one mutation.
    """

    def __init__(self) -> None:
        self._genomes: dict[int, Genome] = {}

    def read(self, encoded: bytes) -> Iterator[Event]:
        """Yield the events of one entry. Raises JournalFormatError if this build cannot read it."""
        entry = _parse(journal_pb2.JournalEntry, encoded)
        for event in entry.events:
            kind = event.WhichOneof("kind")
            with _as_damage("event"):
                read = self._read(event, kind)
            yield read

    def _read(self, event: journal_pb2.Event, kind: str | None) -> Event:
        if kind == "told":
            return read_told(event.told)
        return self._read_asked(event.asked) if kind == "asked" else read_rare(event, kind)

    def _read_asked(self, message: journal_pb2.Asked) -> Piece:
        if message.HasField("slice"):
            part = message.slice
            seeds = tuple(message.episode_seeds)
            return SliceAsk(message.ticket, part.epoch, part.first_pair, part.pairs, seeds)
        named = self._find(message.genome, message.encoded)
        purpose = _purpose(message)
        seeds = tuple(message.episode_seeds)
        if not message.HasField("mutation"):
            return Ask(message.ticket, named, purpose, seeds, None, message.cap_frames)
        mutation = Mutation(message.mutation.seed, message.mutation.power, message.mutation.rank)
        check_power("mutation.power", mutation.power)
        child = named.child(mutation)
        self._genomes.setdefault(child.id, child)
        return Ask(message.ticket, child, purpose, seeds, named.id, message.cap_frames)

    def _find(self, genome_id: int, encoded: bytes) -> Genome:
        if encoded and genome_id not in self._genomes:
            relative = next(reversed(self._genomes.values()), None)
            genome = Genome.decode(encoded)
            self._genomes[genome_id] = genome.beside(relative) if relative else genome
        found = self._genomes.get(genome_id)
        if found is None:
            raise JournalFormatError(f"journal names genome {genome_id:016x} but does not explain it")
        return found


def _purpose(message: journal_pb2.Asked) -> Purpose:
    if message.measurement:
        return Purpose.MEASURE
    return Purpose.VALIDATE if message.validation else Purpose.EXPLORE


def parent_of(ask: Ask) -> Genome:
    """The parent of a child that was asked; costs no digest."""
    parent = ask.genome.parent()
    if ask.parent_id is None or parent is None:
        raise ValueError(f"ticket {ask.ticket} asks for no child")
    return parent


def write_snapshot(snapshot: Snapshot) -> bytes:
    """A snapshot as bytes; takes seconds for large populations, and may be done on another thread."""
    frozen, snapshot = snapshot, snapshot.written()
    message = journal_pb2.Snapshot(
        format_version=FORMAT_VERSION,
        position=str(snapshot.position),
        created=created_message(snapshot.created),
        state=int(snapshot.state),
        algorithm=_pack_json(snapshot.algorithm),
        progress=_pack_json(snapshot.progress),
        workers=[worker_message(worker) for worker in snapshot.workers],
        closed_epochs=snapshot.closed_epochs,
        epochs=[
            journal_pb2.EpochClosed(epoch=e.epoch, fitness=e.fitness, next_centre=e.next_centre)
            for e in snapshot.epochs
        ],
        checkpoints=[checkpoint_message(checkpoint) for checkpoint in snapshot.checkpoints],
        trouble=snapshot.trouble,
        quarantined=map(quarantined_message, snapshot.quarantined),
    )
    for (individual, worker), results in resting(snapshot.tellers):
        message.tellers.individuals.append(individual)
        message.tellers.workers.append(worker)
        message.tellers.results.append(results)
    for told in snapshot.told:
        write_told(message.told.add(), told)
    if snapshot.stop is not None:
        message.stop.ParseFromString(snapshot.stop)
        message.stop.SetInParent()  # present, also where there is no condition at all
    if snapshot is not frozen:
        _let_go(snapshot.algorithm)
    return message.SerializeToString()


def _let_go(written: dict[str, JsonValue]) -> None:
    """Free what is packed and nobody else's, bit by bit: a population at once would hold everybody up."""
    for value in written.values():
        while isinstance(value, Rows) and value:
            del value[-_AT_A_TIME:]
            rest()


def read_snapshot(encoded: bytes) -> Snapshot:
    """What :func:`write_snapshot` wrote. Raises JournalFormatError if this build cannot read it."""
    with _as_damage("snapshot"):
        return _read_snapshot(_parse(journal_pb2.Snapshot, encoded))


def _read_snapshot(message: journal_pb2.Snapshot) -> Snapshot:
    return Snapshot(
        position=int(message.position),
        created=read_created(message.created),
        state=State(message.state),
        algorithm=_unpack_json(message.algorithm),
        progress=_unpack_json(message.progress),
        workers=[read_worker(worker) for worker in message.workers],
        closed_epochs=message.closed_epochs,
        epochs=tuple(EpochClosed(e.epoch, tuple(e.fitness), e.next_centre) for e in message.epochs),
        checkpoints=tuple(map(read_checkpoint, message.checkpoints)),
        told=tuple(map(read_told, message.told)),
        trouble=message.trouble,
        stop=message.stop.SerializeToString(deterministic=True) if message.HasField("stop") else None,
        quarantined=tuple(map(read_quarantined, message.quarantined)),
        tellers=_read_tellers(message.tellers),
    )


def write_backup(snapshot: Snapshot, checkpoints: Mapping[int, bytes]) -> bytes:
    """A snapshot with its checkpoints, by their epochs, as bytes for another store."""
    kept = [journal_pb2.BackedUpCheckpoint(epoch=epoch, data=data) for epoch, data in checkpoints.items()]
    backup = journal_pb2.Backup(
        format_version=FORMAT_VERSION, snapshot=write_snapshot(snapshot), checkpoints=kept
    )
    return backup.SerializeToString()


def read_backup(encoded: bytes) -> tuple[Snapshot, dict[int, bytes]]:
    """What :func:`write_backup` wrote. Raises JournalFormatError if this build cannot read it."""
    message = _parse(journal_pb2.Backup, encoded)
    snapshot = read_snapshot(message.snapshot)
    checkpoints = {each.epoch: each.data for each in message.checkpoints}
    missing = {each.epoch for each in snapshot.checkpoints} - checkpoints.keys()
    if missing:
        raise JournalFormatError(f"Backup lacks the checkpoint of epoch {min(missing)}")
    return snapshot, checkpoints


def _read_tellers(message: journal_pb2.Tellers) -> tuple[tuple[tuple[int, int], int], ...]:
    keys = zip(message.individuals, message.workers, strict=True)
    return tuple(zip(keys, message.results, strict=True))


@contextlib.contextmanager
def _as_damage(what: str) -> Iterator[None]:
    """Around what reads stored values: one that cannot be is damage, said as such."""
    try:
        yield
    except JournalFormatError:
        raise
    except (ValueError, OverflowError) as error:
        raise JournalFormatError(f"{what} is damaged: {error}") from None


def _parse(kind: type[_Stored], encoded: bytes) -> _Stored:
    try:
        message = kind.FromString(encoded)
    except DecodeError as error:
        raise JournalFormatError(f"{kind.__name__} of {len(encoded)} bytes is damaged: {error}") from None
    if message.format_version != FORMAT_VERSION:
        raise JournalFormatError(
            f"{kind.__name__} is of format version {message.format_version}; "
            f"this build reads {FORMAT_VERSION}"
        )
    return message


def _pack_json(value: dict[str, JsonValue]) -> bytes:
    packing = zlib.compressobj(level=1)
    return b"".join([*(packing.compress(piece.encode()) for piece in _json_pieces(value)), packing.flush()])


def _json_pieces(value: JsonValue) -> Iterator[str]:
    """JSON bit by bit: all of a population in one call would hold up everything else in this process."""
    if isinstance(value, dict):
        for number, (key, item) in enumerate(value.items()):
            yield ("," if number else "{") + json.dumps(key) + ":"
            yield from _json_pieces(item)
        yield "}" if value else "{}"
    elif isinstance(value, list) and len(value) > _AT_A_TIME:
        for first in range(0, len(value), _AT_A_TIME):
            rest()
            rows = json.dumps(value[first : first + _AT_A_TIME], separators=(",", ":"))
            yield ("," if first else "[") + rows[1:-1]
        yield "]"
    else:
        yield json.dumps(value, separators=(",", ":"))


def _decompressed(packed: bytes) -> bytes:
    """What was packed, as long as it is no larger than a snapshot can be: few bytes may stand for many."""
    unpacking = zlib.decompressobj()
    whole = unpacking.decompress(packed, _MAX_JSON_BYTES)
    if not unpacking.eof:
        raise ValueError(f"cut off, or more than {_MAX_JSON_BYTES:,} bytes")
    return whole


def _unpack_json(packed: bytes) -> dict[str, JsonValue]:
    try:
        value = json.loads(_decompressed(packed))
    except (zlib.error, ValueError, RecursionError) as error:
        raise JournalFormatError(
            f"snapshot holds {len(packed)} bytes that are no packed JSON: {error}"
        ) from None
    if not isinstance(value, dict):
        raise JournalFormatError(f"snapshot holds a JSON {type(value).__name__}; it must be an object")
    return value
