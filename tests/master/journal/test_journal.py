"""What the journal promises, on a real server: our own, and the one that REDIS_URL names if it is set."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from germline.algorithms.base import Ask, JsonValue, Purpose, Result
from germline.genome import Genome, Mutation
from germline.spec import loads
from master.errors import JournalFormatError, JournalLostError, StoreFailingError
from master.experiments.events import Created, Event, State, StateChanged, Told, WorkerSeen
from master.journal.codec import Snapshot, write_snapshot
from master.journal.connection import StoreError, connect
from master.journal.journal import Journal, SupersededError
from master.journal.keys import Keys
from master.journal.own_store import OwnStore

SPEC = loads("""
name = "journal"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
""")
CREATED = Created(1, SPEC.SerializeToString(deterministic=True), 1_700_000_000.0)
FOUNDER = Genome.founder(5)
CHILD = FOUNDER.child(Mutation(6, 0.5))
GRANDCHILD = CHILD.child(Mutation(7, 0.25, 3))
PATIENCE_S = 30.0


def asked(ticket: int, genome: Genome, purpose: Purpose = Purpose.EXPLORE) -> Ask:
    parent = genome.parent()
    parent_id = parent.id if parent is not None and purpose is Purpose.EXPLORE else None
    return Ask(ticket, genome, purpose, (ticket, 2**64 - 1), parent_id)


def told(ticket: int, fitness: float = 1.5) -> Told:
    return Told(Result(ticket, (fitness, -2.0), 4_000, 1_000), 1, 12.5)


EVENTS: list[Event] = [
    CREATED,
    WorkerSeen(1, "w-1", "cpu:AMD", {"torch": "2.13"}, 2),
    asked(0, FOUNDER),
    asked(1, CHILD),
    told(0),
    asked(2, GRANDCHILD),
    asked(3, CHILD, Purpose.VALIDATE),
    told(1, 1e300),
    StateChanged(State.PAUSED, 1_700_000_100.0, 99.5),
]


class Relay:
    """A cable between a journal and its server that can be cut, or lose answers. No store of its own."""

    def __init__(self, server: str, path: Path) -> None:
        self.lose_answers = False
        self.path = path
        self.server = server
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Relay":
        self._listener = await asyncio.start_unix_server(self._serve, str(self.path))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()
        await asyncio.sleep(0)

    def cut(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(self.server)
        self._writers += [writer, upstream_writer]
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(
                self._carry(reader, upstream_writer, answers=False),
                self._carry(upstream_reader, writer, answers=True),
            )

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await source.read(65_536):
            if answers and self.lose_answers:
                self.lose_answers = False
                self.cut()
                return
            target.write(data)
            await target.drain()
        target.close()


class Book:
    """A journal with its committer running."""

    def __init__(
        self,
        client: Redis,
        keys: Keys,
        snapshot_interval_s: float = 1e9,
        revive: Callable[[], Awaitable[None]] | None = None,
        look_interval_s: float = 1e9,
    ) -> None:
        self.journal = Journal(
            client,
            keys,
            snapshot_interval_s=snapshot_interval_s,
            look_interval_s=look_interval_s,
            revive_store=revive,
        )
        self.snapshot_says: JsonValue = [1.5]
        self.write: Callable[[Event], None] = lambda _event: None
        self.taken = 0
        self._committer: asyncio.Task[None] | None = None

    async def open(self, head: int | None = None) -> list[int]:
        numbers = await self.journal.open()
        self._committer = asyncio.create_task(self.journal.run())
        if head is not None:
            self.attach(head)
        return numbers

    def attach(self, head: int) -> None:
        self.write = self.journal.attach(1, "journal", head, self.take_snapshot)

    async def store(self, *events: Event, numbers: Collection[int] | None = None) -> None:
        for event in events:
            self.write(event)
        await self.durable(numbers)

    async def ended(self) -> None:
        assert self._committer is not None
        async with asyncio.timeout(PATIENCE_S):
            await self._committer

    async def durable(self, numbers: Collection[int] | None = None) -> None:
        async with asyncio.timeout(PATIENCE_S):
            done = asyncio.create_task(self.journal.durable(numbers))
            assert self._committer is not None
            await asyncio.wait([done, self._committer], return_when=asyncio.FIRST_COMPLETED)
            if self._committer.done():
                done.cancel()
                self._committer.result()
            await done

    async def close(self) -> None:
        if self._committer is not None:
            self._committer.cancel()
            with contextlib.suppress(asyncio.CancelledError, SupersededError):
                await self._committer

    def take_snapshot(self, position: int) -> Snapshot:
        self.taken += 1
        return Snapshot(
            position, CREATED, State.RUNNING, {"taken": self.taken}, {"points": self.snapshot_says}, []
        )


@pytest.fixture(params=["own", "external"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Redis]:
    if request.param == "external":
        url = os.environ.get("REDIS_URL")
        if not url:
            pytest.skip("REDIS_URL names no server: the journal was not tried on an external one")
        outside = connect(url)
        yield outside
        await outside.aclose()
        return
    async with OwnStore(tmp_path / "store") as store:
        own = connect(store.url)
        yield own
        await own.aclose()


@pytest.fixture
def keys() -> Keys:
    return Keys("test-" + secrets.token_hex(6))


@pytest.fixture
async def book(client: Redis, keys: Keys) -> AsyncIterator[Book]:
    book = Book(client, keys)
    await book.open(head=0)
    yield book
    await book.close()


async def replay(client: Redis, keys: Keys) -> tuple[Snapshot | None, list[Event]]:
    journal = Journal(client, keys)
    assert await journal.open() == [1]
    snapshot, entries = await journal.load(1)
    return snapshot, [event async for _, events in entries for event in events]


class TestJournal:
    async def test_a_new_store_holds_no_experiments(self, client: Redis, keys: Keys) -> None:
        journal = Journal(client, keys)
        assert (await journal.open(), journal.boot, journal.trouble) == ([], 1, "")

    async def test_events_come_back_as_they_were_in_order(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        for event in EVENTS:
            await book.store(event)
        assert await replay(client, keys) == (None, EVENTS)

    async def test_events_that_wait_are_stored_in_one_entry(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        await book.store(*EVENTS)
        assert await client.xlen(keys.entries(1)) == 1
        assert await replay(client, keys) == (None, EVENTS)

    async def test_nothing_is_called_durable_before_it_is_stored(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        called: list[int] = []
        book.write(CREATED)
        book.journal.when_durable(lambda: called.append(1))
        assert called == []
        await book.durable()
        assert called == [1]
        assert await client.xlen(keys.entries(1)) == 1

    async def test_what_is_durable_already_is_called_so_at_once(self, book: Book) -> None:
        await book.store(CREATED)
        called: list[int] = []
        book.journal.when_durable(lambda: called.append(1))
        assert called == [1]

    async def test_a_snapshot_replaces_the_entries_before_it(self, client: Redis, keys: Keys) -> None:
        book = Book(client, keys, snapshot_interval_s=0.0)
        await book.open(head=0)
        await book.store(*EVENTS[:4])
        assert await book.journal.flush(PATIENCE_S)
        await book.close()
        assert await client.xlen(keys.entries(1)) == 0
        assert await replay(client, keys) == (
            Snapshot(1, CREATED, State.RUNNING, {"taken": 1}, {"points": [1.5]}, []),
            [],
        )

    async def test_a_journal_explains_itself_from_any_snapshot_on(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        await book.store(*EVENTS[:4])
        assert await book.journal.flush(PATIENCE_S, with_snapshots=True)
        later = [asked(4, GRANDCHILD), asked(5, GRANDCHILD, Purpose.VALIDATE), asked(6, FOUNDER)]
        await book.store(*later)
        snapshot, events = await replay(client, keys)
        assert snapshot is not None
        assert snapshot.position == 1
        assert events == later

    async def test_a_child_of_a_long_line_is_rebuilt(self, book: Book, client: Redis, keys: Keys) -> None:
        genome, asks = FOUNDER, [asked(0, FOUNDER)]
        for ticket in range(1, 30):
            genome = genome.child(Mutation(ticket, 0.5))
            asks.append(asked(ticket, genome))
        await book.store(CREATED, *asks)
        _, events = await replay(client, keys)
        assert events[1:] == asks

    async def test_a_journal_is_continued_after_a_restart(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        await book.store(*EVENTS[:4])
        await book.close()
        second = Book(client, keys)
        await second.open(head=1)
        await second.store(*EVENTS[4:])
        await second.close()
        _, events = await replay(client, keys)
        assert events == EVENTS

    async def test_a_newer_master_takes_the_store_over(self, book: Book, client: Redis, keys: Keys) -> None:
        await book.store(*EVENTS[:4])
        newer = Book(client, keys)
        await newer.open(head=1)
        with pytest.raises(SupersededError, match="another master"):
            await book.store(told(0))
        await newer.store(told(1))
        await newer.close()
        _, events = await replay(client, keys)
        assert events == [*EVENTS[:4], told(1)]

    async def test_commits_follow_each_other_within_milliseconds(self, book: Book) -> None:
        async with asyncio.timeout(10):  # a pause of 5 ms, and of no second
            for ticket in range(20):
                await book.store(told(ticket))

    async def test_a_store_without_room_makes_results_wait_and_loses_none(
        self, book: Book, client: Redis, keys: Keys, caplog: pytest.LogCaptureFixture
    ) -> None:
        await book.store(CREATED)
        limit = (await client.config_get("maxmemory"))["maxmemory"]
        await client.config_set("maxmemory", 1)
        book.write(told(0))
        waiting = asyncio.create_task(book.durable())
        async with asyncio.timeout(PATIENCE_S):
            while not book.journal.trouble:
                await asyncio.sleep(0)
        assert "OutOfMemory" in book.journal.trouble
        assert not waiting.done()
        await client.config_set("maxmemory", limit or 0)
        await waiting
        assert book.journal.trouble == ""
        assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
            "the store does not take the journal, so results are not acknowledged",
            "the store takes the journal again; everything that waited is durable",
        ]
        assert (await replay(client, keys))[1] == [CREATED, told(0)]

    async def test_a_store_that_comes_back_empty_is_filled_again(
        self, book: Book, client: Redis, keys: Keys, caplog: pytest.LogCaptureFixture
    ) -> None:
        await book.store(*EVENTS)
        await client.delete(keys.boot, keys.heads, keys.entries(1), keys.snapshot(1))
        await book.store(told(2))
        assert book.taken == 1
        assert (
            "the store has lost journal entries; all experiments are written to it again from memory"
            in caplog.messages
        )
        await book.store(told(3))
        snapshot, events = await replay(client, keys)
        assert snapshot is not None
        assert events == [told(3)]

    async def test_a_checkpoint_is_in_memory_until_it_is_released_and_in_the_store_until_it_is_forgotten(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        book.journal.checkpoints.put(1, 4, b"centre")
        book.journal.checkpoints.release(1, 4)
        assert book.journal.checkpoints.held(1, 4) == b"centre"  # it is not stored yet
        assert await book.journal.flush(PATIENCE_S)
        assert book.journal.checkpoints.held(1, 4) is None
        assert await book.journal.checkpoints.get(1, 4) == b"centre"
        assert book.journal.checkpoints.held(1, 4) is None
        book.journal.checkpoints.forget(1, 4)
        assert await book.journal.flush(PATIENCE_S)
        assert not await client.exists(keys.checkpoint(1, 4))
        with pytest.raises(JournalLostError, match="experiment 1 misses its checkpoint of epoch 4"):
            await book.journal.checkpoints.get(1, 4)

    async def test_a_checkpoint_that_the_store_loses_is_stored_again_before_it_is_released(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        book.journal.checkpoints.put(1, 4, b"centre")
        await book.store(CREATED)
        assert await book.journal.flush(PATIENCE_S)
        await client.delete(keys.boot, keys.heads, keys.entries(1), keys.snapshot(1), keys.checkpoint(1, 4))
        book.write(told(2))
        await book.durable()
        book.journal.checkpoints.release(1, 4)
        assert await book.journal.flush(PATIENCE_S)
        assert book.journal.checkpoints.held(1, 4) is None
        assert await book.journal.checkpoints.get(1, 4) == b"centre"

    async def test_a_store_that_lost_its_last_entries_is_filled_again(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        await book.store(CREATED)
        await book.store(*EVENTS[1:])
        await client.hset(keys.heads, "1", "1")
        await client.xtrim(keys.entries(1), maxlen=1, approximate=False)
        await book.store(told(2))
        await book.store(told(3))
        assert (await replay(client, keys))[1] == [told(3)]

    async def test_a_missing_entry_is_noticed(self, book: Book, client: Redis, keys: Keys) -> None:
        for event in EVENTS[:4]:
            await book.store(event)
        await client.xdel(keys.entries(1), "2-0")
        with pytest.raises(JournalLostError, match="misses its journal entry 2 of 4"):
            await replay(client, keys)

    @pytest.mark.parametrize(
        ("stored", "problem"),
        [(b"\xff\xff", "damaged"), (b"\x08\x63", "format version 99; this build reads 1")],
    )
    async def test_an_entry_that_cannot_be_read_is_refused(
        self, book: Book, client: Redis, keys: Keys, stored: bytes, problem: str
    ) -> None:
        await book.store(CREATED)
        await client.xadd(keys.entries(1), {"entry": stored}, id="2-0")
        await client.hset(keys.heads, "1", "2")
        with pytest.raises(JournalFormatError, match=problem):
            await replay(client, keys)

    async def test_large_values_travel_in_parts_that_a_server_with_small_limits_takes(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        limit = (await client.config_get("proto-max-bulk-len"))["proto-max-bulk-len"]
        await client.config_set("proto-max-bulk-len", 1 << 20)
        large = Told(Result(0, (1.5,) * 400_000, 4_000, 1_000), 1, 12.5)
        data = bytes(range(256)) * 20_000
        book.journal.checkpoints.put(1, 4, data)
        await book.store(CREATED, large)
        book.snapshot_says = secrets.token_hex(2 << 20)
        assert await book.journal.flush(PATIENCE_S, with_snapshots=True)
        await book.store(large)
        assert (book.journal.trouble, book.journal.trouble_of(1)) == ("", "")
        book.journal.checkpoints.release(1, 4)
        assert await book.journal.checkpoints.get(1, 4) == data
        snapshot, events = await replay(client, keys)
        assert snapshot is not None
        assert snapshot.progress["points"] == book.snapshot_says
        assert events == [large]
        await client.config_set("proto-max-bulk-len", limit or 512 << 20)

    async def test_a_snapshot_that_an_earlier_build_wrote_as_one_value_is_read(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        await book.store(CREATED)
        written = Snapshot(1, CREATED, State.PAUSED, {}, {}, [])
        await client.set(keys.snapshot(1), write_snapshot(written))
        await client.set(keys.checkpoint(1, 4), b"centre")
        assert await replay(client, keys) == (written, [])
        assert await book.journal.checkpoints.get(1, 4) == b"centre"

    async def test_an_experiment_that_the_store_does_not_take_keeps_no_other_one_waiting(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        await client.set(keys.entries(2), "somebody else's")
        write = book.journal.attach(2, "two", 0, lambda _: pytest.fail("no snapshot is due"))
        stored: list[int] = []
        for number in (1, 2, 1):
            (book.write if number == 1 else write)(CREATED)
            book.journal.when_durable(partial(stored.append, number), (number,))
        async with asyncio.timeout(PATIENCE_S):
            await book.journal.durable((1,))
        await book.store(told(0), numbers=(1,))
        assert stored == [1, 1]
        assert (book.journal.trouble, book.journal.trouble_of(1)) == ("", "")
        assert "WRONGTYPE" in book.journal.trouble_of(2)
        assert book.journal.is_held_up(2)
        await client.delete(keys.entries(2))
        async with asyncio.timeout(PATIENCE_S):
            await book.journal.durable()
        assert stored == [1, 1, 2]
        assert not book.journal.is_held_up(2)

    async def test_a_checkpoint_for_which_the_store_has_no_room_keeps_nobody_waiting(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        await book.store(CREATED)
        limit = (await client.config_get("maxmemory"))["maxmemory"]
        used = (await client.info("memory"))["used_memory"]
        await client.config_set("maxmemory", used + (4 << 20))
        counted: list[str] = []
        book.journal.checkpoints.put(1, 4, bytes(16 << 20), partial(counted.append, "stored"))
        async with asyncio.timeout(PATIENCE_S):
            while not book.journal.trouble_of(1):
                await asyncio.sleep(0.01)
        await book.store(told(0))
        assert "its checkpoint of epoch 4 is not stored" in book.journal.trouble_of(1)
        assert (book.journal.trouble, counted) == ("", [])
        await client.config_set("maxmemory", limit or 0)
        async with asyncio.timeout(PATIENCE_S):
            while not counted:
                await asyncio.sleep(0.01)
        assert book.journal.trouble_of(1) == ""
        assert await book.journal.checkpoints.get(1, 4) == bytes(16 << 20)

    async def test_checkpoints_that_a_crash_left_behind_are_deleted_and_no_others(
        self, book: Book, client: Redis, keys: Keys
    ) -> None:
        checkpoints = book.journal.checkpoints
        for number, epoch in ((1, 4), (1, 8), (2, 4), (3, 4)):
            checkpoints.put(number, epoch, b"centre")
        await client.hset(keys.parts(keys.checkpoint(1, 12)), "0", b"half")
        assert await book.journal.flush(PATIENCE_S)
        await checkpoints.sweep({(1, 8)}, others={3})
        found = [(number, epoch) for number in (1, 2, 3) for epoch in (4, 8)]
        there = [at for at in found if await client.exists(keys.checkpoint(*at))]
        assert there == [(1, 8), (3, 4)]
        assert not await client.exists(keys.parts(keys.checkpoint(1, 12)))

    async def test_a_master_with_nothing_to_write_notices_that_another_one_took_over(
        self, client: Redis, keys: Keys
    ) -> None:
        idle = Book(client, keys, look_interval_s=0.01)
        await idle.open(head=0)
        await idle.store(CREATED)
        await Journal(client, keys).open()
        with pytest.raises(SupersededError, match="another master"):
            await idle.ended()

    @pytest.mark.parametrize("loses", ["everything", "the last entry"])
    async def test_a_master_with_nothing_to_write_notices_that_the_store_lost_something(
        self, client: Redis, keys: Keys, loses: str
    ) -> None:
        idle = Book(client, keys, look_interval_s=0.01)
        await idle.open(head=0)
        await idle.store(CREATED)
        if loses == "everything":
            await client.delete(keys.boot, keys.heads, keys.store, keys.entries(1))
        else:
            await client.hset(keys.heads, "1", 0)
        async with asyncio.timeout(PATIENCE_S):
            while not await client.exists(keys.snapshot(1)):
                await asyncio.sleep(0.01)
        await idle.store(told(0))
        assert await client.get(keys.store) == str(idle.journal.store_id).encode()
        await idle.close()


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[OwnStore]:
    async with OwnStore(tmp_path / "store") as store:
        yield store


async def test_a_checkpoint_that_a_dead_store_has_is_refused_for_now(tmp_path: Path, keys: Keys) -> None:
    async with OwnStore(tmp_path / "store") as store:
        client = connect(store.url)
    with pytest.raises(StoreFailingError, match="the store does not give the checkpoint"):
        await Journal(client, keys).checkpoints.get(1, 4)
    await client.aclose()


async def test_a_committer_that_is_cancelled_ends_whatever_it_is_doing(own: OwnStore) -> None:
    """Also in the very turn of the loop in which a command has been written: redis-py alone would go on."""
    for turn in range(40):
        client = connect(own.url)
        journal = Journal(client, Keys(f"turn-{turn}"))
        await journal.open()
        write = journal.attach(1, "journal", 0, lambda _: pytest.fail("no snapshot is due"))
        committer = asyncio.create_task(journal.run())
        write(CREATED)
        for _ in range(turn):
            await asyncio.sleep(0)
        committer.cancel()
        ended, _ = await asyncio.wait([committer], timeout=PATIENCE_S)
        assert ended, f"cancelled in turn {turn}, the committer lives on"
        await client.aclose()


def test_no_more_work_is_begun_once_half_a_million_events_wait_for_a_store_that_fails() -> None:
    journal = Journal(connect("unix:///nowhere"), Keys("test"))
    write = journal.attach(1, "journal", 0, lambda _position: pytest.fail("no snapshot is due"))
    journal.trouble = "ConnectionError: no store"
    for _ in range(500_000):
        write(CREATED)
    assert not journal.is_overfull
    write(CREATED)
    assert journal.is_overfull
    journal.trouble = ""
    assert not journal.is_overfull


async def test_an_entry_whose_answer_got_lost_is_not_stored_twice(
    own: OwnStore, keys: Keys, tmp_path: Path
) -> None:
    async with Relay(own.url.removeprefix("unix://"), tmp_path / "relay") as relay:
        through = connect(f"unix://{relay.path}")
        book = Book(through, keys)
        await book.open(head=0)
        await book.store(CREATED)
        relay.lose_answers = True
        await book.store(told(0))
        relay.cut()
        await book.store(told(1))
        await book.close()
        assert (await replay(through, keys))[1] == [CREATED, told(0), told(1)]
        await through.aclose()


async def test_a_store_that_was_demoted_is_left_for_the_one_that_takes_writes(
    tmp_path: Path, keys: Keys
) -> None:
    async with (
        OwnStore(tmp_path / "old") as old,
        OwnStore(tmp_path / "new") as new,
        Relay(old.url.removeprefix("unix://"), tmp_path / "relay") as relay,
    ):
        through, demoted, promoted = connect(f"unix://{relay.path}"), connect(old.url), connect(new.url)
        book = Book(through, keys)
        await book.open(head=0)
        await book.store(CREATED)
        relay.server = new.url.removeprefix("unix://")  # where new connections go: a failover
        await demoted.replicaof("127.0.0.1", "1")
        await book.store(told(0))
        assert await promoted.exists(keys.snapshot(1))
        await book.close()
        for client in (through, demoted, promoted):
            await client.aclose()


async def test_a_store_that_is_another_one_is_left_as_it_is(tmp_path: Path, keys: Keys) -> None:
    async with (
        OwnStore(tmp_path / "own") as own,
        OwnStore(tmp_path / "other") as other,
        Relay(own.url.removeprefix("unix://"), tmp_path / "relay") as relay,
    ):
        through, foreign = connect(f"unix://{relay.path}"), connect(other.url)
        book = Book(through, keys)
        await book.open(head=0)
        await book.store(CREATED)
        await Journal(foreign, keys).open()
        relay.server = other.url.removeprefix("unix://")
        relay.cut()
        with pytest.raises(SupersededError, match="another store answers"):
            await book.store(told(0))
        assert await foreign.keys(f"*{keys.of(1)}*") == []
        for client in (through, foreign):
            await client.aclose()


async def test_a_store_that_dies_and_comes_back_has_everything(tmp_path: Path, keys: Keys) -> None:
    async with OwnStore(tmp_path / "store") as store:
        client = connect(store.url)
        book = Book(client, keys, revive=store.revive)
        await book.open(head=0)
        await book.store(*EVENTS)
        process_id = int((await client.info("server"))["process_id"])
        os.kill(process_id, 9)
        await book.store(told(2))
        await book.close()
        assert int((await client.info("server"))["process_id"]) != process_id
        assert (await replay(client, keys))[1] == [*EVENTS, told(2)]
        await client.aclose()


async def test_a_server_that_cannot_be_started_yet_is_started_later(tmp_path: Path, keys: Keys) -> None:
    async with OwnStore(tmp_path / "store") as store:
        client = connect(store.url)
        failures = [StoreError("no room"), OSError("no memory")]

        async def revive() -> None:
            if failures:
                raise failures.pop()
            await store.revive()

        book = Book(client, keys, revive=revive)
        await book.open(head=0)
        await book.store(CREATED)
        os.kill(int((await client.info("server"))["process_id"]), 9)
        await book.store(told(0))
        assert not failures
        await book.close()
        assert (await replay(client, keys))[1] == [CREATED, told(0)]
        await client.aclose()
