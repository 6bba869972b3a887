"""Events and snapshots come back from their bytes as they were; bytes that cannot be read say why."""

from __future__ import annotations

import json
import zlib

import pytest

from germline.algorithms.base import Ask, JsonValue, Purpose, Result
from germline.algorithms.eggroll import Eggroll
from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.slices import EpochClosed, SliceAsk
from germline.genome import Genome, Mutation
from germline.spec import loads
from germline.v1 import journal_pb2
from master.errors import JournalFormatError
from master.experiments.events import (
    CheckpointStored,
    Created,
    Discarded,
    Event,
    MasterStarted,
    MembersTold,
    Quarantined,
    Released,
    SetAside,
    State,
    StateChanged,
    StopChanged,
    Told,
    WorkerSeen,
    returns_of,
)
from master.journal.codec import (
    EntryReader,
    EntryWriter,
    Snapshot,
    parent_of,
    read_snapshot,
    write_snapshot,
)

SPEC = loads("""
name = "codec"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
""")
LIMITED = """
name = "limited"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
[stop]
evaluations = 7
"""
CREATED = Created(3, SPEC.SerializeToString(deterministic=True), 1_700_000_000.5)
FOUNDER = Genome.founder(2**64 - 1)
CHILD = FOUNDER.child(Mutation(2**64 - 2, 0.5, 3))
GRANDCHILD = CHILD.child(Mutation(7, 0.25))


def explore(ticket: int, genome: Genome) -> Ask:
    parent = genome.parent()
    return Ask(ticket, genome, Purpose.EXPLORE, (ticket, 2**64 - 1), parent.id if parent else None)


EVENTS: list[Event] = [
    CREATED,
    WorkerSeen(1, "w-1", "cpu:AMD", {"torch": "2.13", "numpy": "2.4"}, 2),
    explore(0, FOUNDER),
    explore(1, CHILD),
    explore(2, GRANDCHILD),
    Ask(3, CHILD, Purpose.VALIDATE, (5,)),
    Ask(4, CHILD, Purpose.MEASURE, (6,)),
    Told(Result(1, (1e300, -2.0), 4_000, 1_000), 1, 12.5),
    Told(Result(2, (1.0,), 4_000, 1_000, cut=1, behaviour=b"\x00\xff\x01\x00"), 1, 13.5),
    SliceAsk(9, 4, 6, 2, (11, 12)),
    SliceAsk(10, 5, 0, 0, (13,)),
    EpochClosed(4, (1.5, -2.5)),
    CheckpointStored(5, "d1", 123, is_best=True),
    CheckpointStored(6, "d2", 456, is_best=False),
    Discarded(2, (9, 10)),
    SetAside(9, (1.5, -2.5), 3, "w-1", "RuntimeError: no", 100.5),
    SetAside(10, (), 1, "w-2", "lost", 101.5),
    StateChanged(State.PAUSED, 1_700_000_100.25, 99.5),
    StateChanged(State.PAUSED, 1_700_000_200.25, 199.5, "too many failed"),
    Quarantined("w-1", "it lies", 1_700_000_300.5, (1, 2**64 - 1)),
    Quarantined("w-2", "it lies, too", 1_700_000_301.5),
    Released("w-1"),
    MasterStarted(1_700_000_400.5, took_over=True),
    MasterStarted(1_700_000_500.5, took_over=False),
    MembersTold(3, 5, (-1.5, 1e300), 12.5),
    StopChanged(SPEC.stop.SerializeToString()),
    StopChanged(loads(LIMITED).stop.SerializeToString()),
]


def entry_of(*events: Event, writer: EntryWriter | None = None) -> bytes:
    return (writer or EntryWriter()).write(events)


def explained(encoded: bytes) -> list[bool]:
    """Of each ask in an entry, whether it brings a whole genome."""
    entry = journal_pb2.JournalEntry.FromString(encoded)
    return [bool(event.asked.encoded) for event in entry.events]


@pytest.mark.parametrize("at_once", [True, False])
def test_every_kind_of_event_comes_back_as_it_was(at_once: bool) -> None:
    writer, reader = EntryWriter(), EntryReader()
    entries = [writer.write(EVENTS)] if at_once else [writer.write([event]) for event in EVENTS]
    assert [event for entry in entries for event in reader.read(entry)] == EVENTS


def test_no_kind_of_event_is_left_out_here() -> None:
    entry = journal_pb2.JournalEntry.FromString(entry_of(*EVENTS))
    kinds = {field.name for field in journal_pb2.Event.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert {event.WhichOneof("kind") for event in entry.events} == kinds


def test_a_child_finds_the_parent_that_an_entry_before_it_explained() -> None:
    reader = EntryReader()
    events = [explore(0, FOUNDER), explore(1, CHILD), explore(2, GRANDCHILD)]
    *_, grandchild = reader.read(entry_of(*events))
    assert isinstance(grandchild, Ask)
    assert grandchild.genome == GRANDCHILD
    line = list(grandchild.genome.ancestors())
    assert [each.id for each in line] == [FOUNDER.id, CHILD.id, GRANDCHILD.id]


def test_relatives_share_their_line_in_memory() -> None:
    sibling = CHILD.child(Mutation(8, 0.25))
    first, second = EntryReader().read(
        entry_of(Ask(0, GRANDCHILD, Purpose.VALIDATE, (1,)), Ask(1, sibling, Purpose.VALIDATE, (1,)))
    )
    assert isinstance(first, Ask)
    assert isinstance(second, Ask)
    assert first.genome.parent() is second.genome.parent()


def test_a_genome_is_explained_once_and_again_after_a_snapshot() -> None:
    writer = EntryWriter()
    asks = [explore(0, CHILD), explore(1, GRANDCHILD), Ask(2, GRANDCHILD, Purpose.VALIDATE, (1,))]
    assert explained(entry_of(*asks, writer=writer)) == [True, False, False]
    assert explained(entry_of(*asks, writer=writer)) == [False, False, False]
    writer.begin_anew()
    assert explained(entry_of(asks[1], asks[2], asks[0], writer=writer)) == [True, False, True]


def test_an_entry_that_names_a_genome_nobody_explained_is_refused() -> None:
    writer = EntryWriter()
    entry_of(explore(0, CHILD), writer=writer)
    later = entry_of(explore(1, GRANDCHILD), writer=writer)
    with pytest.raises(
        JournalFormatError, match=f"^journal names genome {CHILD.id:016x} but does not explain it$"
    ):
        list(EntryReader().read(later))


def test_only_a_child_has_a_parent_to_explain() -> None:
    assert parent_of(explore(1, CHILD)) is FOUNDER
    for ask in (explore(4, FOUNDER), Ask(4, CHILD, Purpose.VALIDATE, (1,))):
        with pytest.raises(ValueError, match=r"^ticket 4 asks for no child$"):
            parent_of(ask)


def played(search: GeneticAlgorithm | Eggroll) -> GeneticAlgorithm | Eggroll:
    """A search some way into its second epoch, or with a population."""
    for ask in [ask for _ in range(9) for ask in search.ask(1)]:
        search.tell(Result(ask.ticket, tuple(map(float, range(returns_of(ask)))), 1, 1))
    return search


@pytest.mark.parametrize(
    "search",
    [
        GeneticAlgorithm(GaSettings(window=5, parents=2), 1),
        Eggroll(EggrollSettings(pairs=4, slice_pairs=1), 1),
    ],
    ids=["genetic algorithm", "evolution strategy"],
)
def test_what_is_frozen_and_written_down_changes_nothing_of_the_search(
    search: GeneticAlgorithm | Eggroll,
) -> None:
    before = json.dumps(played(search).snapshot())
    write_snapshot(SNAPSHOT._replace(algorithm={}, frozen=search.freeze()))
    assert json.dumps(search.snapshot()) == before


SNAPSHOT = Snapshot(
    position=12,
    created=CREATED,
    state=State.PAUSED,
    algorithm={"population": [1.5, None]},
    progress={"evaluations": 7},
    workers=[WorkerSeen(1, "w-1", "cpu", {"torch": "2.13"}, 2)],
    closed_epochs=5,
    epochs=(EpochClosed(4, (1.0, 2.0)),),
    checkpoints=(CheckpointStored(4, "d", 9, is_best=True),),
    told=(Told(Result(1, (1.0,), 4, 1), 1, 2.5),),
    trouble="too many failed",
    stop=loads(LIMITED).stop.SerializeToString(deterministic=True),
    quarantined=(Quarantined("w-1", "it lies", 2.5),),
    tellers=(((1, 1), 2), ((2**64 - 1, 1), 1)),
)


def test_a_snapshot_of_many_rows_is_the_json_that_it_would_be_in_one_piece() -> None:
    window: list[JsonValue] = [[number, number / 7, "ä"] for number in range(10_000)]
    algorithm: dict[str, JsonValue] = {
        "none": {},
        "empty": [],
        "window": window,
        "in": {"lines": window[:5_000]},
    }
    stored = journal_pb2.Snapshot.FromString(write_snapshot(SNAPSHOT._replace(algorithm=algorithm)))
    assert zlib.decompress(stored.algorithm) == json.dumps(algorithm, separators=(",", ":")).encode()


def test_a_snapshot_comes_back_as_it_was() -> None:
    assert read_snapshot(write_snapshot(SNAPSHOT)) == SNAPSHOT


@pytest.mark.parametrize("stop", [None, b""])
def test_no_stop_condition_is_told_from_none_that_was_changed(stop: bytes | None) -> None:
    assert read_snapshot(write_snapshot(SNAPSHOT._replace(stop=stop))).stop == stop


def changed(**fields: object) -> bytes:
    """A snapshot's bytes with some fields replaced."""
    message = journal_pb2.Snapshot.FromString(write_snapshot(SNAPSHOT))
    for name, value in fields.items():
        setattr(message, name, value)
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("encoded", "says"),
    [
        (b"\xff\xff", "^Snapshot of 2 bytes is damaged: "),
        (changed(format_version=2), "^Snapshot is of format version 2; this build reads 1$"),
        (changed(algorithm=b"junk"), "^snapshot holds 4 bytes that are no packed JSON: "),
        (changed(progress=zlib.compress(b"[1")), "^snapshot holds 10 bytes that are no packed JSON: "),
        (changed(progress=zlib.compress(b"[]")), "^snapshot holds a JSON list; it must be an object$"),
    ],
)
def test_a_snapshot_that_cannot_be_read_says_why(encoded: bytes, says: str) -> None:
    with pytest.raises(JournalFormatError, match=says):
        read_snapshot(encoded)


@pytest.mark.parametrize(
    ("encoded", "says"),
    [
        (b"\xff\xff", "^JournalEntry of 2 bytes is damaged: "),
        (
            journal_pb2.JournalEntry(format_version=9).SerializeToString(),
            "^JournalEntry is of format version 9; this build reads 1$",
        ),
        (
            journal_pb2.JournalEntry(format_version=1, events=[journal_pb2.Event()]).SerializeToString(),
            "^journal holds an event of kind None; this build knows none such$",
        ),
    ],
)
def test_an_entry_that_cannot_be_read_says_why(encoded: bytes, says: str) -> None:
    with pytest.raises(JournalFormatError, match=says):
        list(EntryReader().read(encoded))
