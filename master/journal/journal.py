"""The journal: what is acknowledged is kept.

Written by one master, in a server that speaks Redis's protocol.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from master.errors import JournalLostError, StoreFailingError
from master.experiments.events import Event
from master.journal.channel import Channel, TakeSnapshot
from master.journal.checkpoints import Checkpoints
from master.journal.codec import EntryReader, Snapshot, read_snapshot, write_snapshot
from master.journal.keys import Keys
from master.journal.scripts import APPEND, DELETE, FENCED, GAP, KEEP, NAME, RESEED, SAVE
from master.journal.store import StoreError

logger = logging.getLogger(__name__)

WriteEvent = Callable[[Event], None]
_Found = list[tuple[bytes, dict[bytes, bytes]]]

_COMMIT_PAUSE_S = 0.005  # commits begin at least so far apart: a group is worth its round trip
_FIRST_RETRY_S = 0.1
_LAST_RETRY_S = 5.0
_ENTRIES_PER_READ = 64
_MAX_BACKLOG = 500_000
_KEYS_PER_SCAN = 1_000


class SupersededError(RuntimeError):
    """Another master has started on the same store; this one must not write any more."""


class Journal:
    """The only writer of every experiment's events.

    Promises:

    - Order: events of one experiment are stored in the order in which they were written here. A crash keeps
      a prefix.
    - Durability: a callback given to :meth:`when_durable` runs when everything written before it is stored,
      in a server that has synced it to its file (``appendfsync always``), and never earlier.
    - Group commit: one task stores everything that was queued meanwhile, for all experiments, in one round
      trip.
    - Exactly once: entries are numbered; one that was stored although its answer got lost is not stored
      again.
    - One writer: a master that starts later on the same store takes over; the older one gets SupersededError.
    - Outage: while the store fails, nothing is called durable, nothing is forgotten, and the commit is
      tried again until it succeeds. A store that comes back empty, or short of entries, is filled again
      from memory: with everything but the checkpoints of experiments that are over.
    - Bounds: entries up to a snapshot are deleted. A snapshot follows `snapshot_interval_s`, or 1,000,000
      events.

    Attributes:
        boot: number of this start of a master.
        store_id: tells the store from every other; drawn by its first master.
        last_deleted: the highest number of an experiment that was deleted; 0 for none.
        trouble: why the store does not take anything just now; empty if it does.
        checkpoints: kept beside the entries; a change is stored with what is written after it.
    """

    def __init__(
        self,
        client: Redis,
        keys: Keys,
        *,
        snapshot_interval_s: float = 60.0,
        observe_commit: Callable[[float, int], None] = lambda _seconds, _events: None,
        revive_store: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.boot = self.store_id = self.last_deleted = 0
        self.trouble = ""
        self._client = client
        self._keys = keys
        self._snapshot_interval_s = snapshot_interval_s
        self._observe_commit = observe_commit
        self._revive_store = revive_store
        self._append = client.register_script(APPEND)
        self._save = client.register_script(SAVE)
        self._reseed = client.register_script(RESEED)
        self._keep = client.register_script(KEEP)
        self._name = client.register_script(NAME)
        self._delete = client.register_script(DELETE)
        self.checkpoints = Checkpoints(client, keys, self._stir, self.when_durable)
        self._channels: dict[int, Channel] = {}
        self._unnamed: dict[int, str] = {}  # whose names are still to be stored
        self._deleted: list[int] = []
        self._waiting: list[Callable[[], None]] = []  # for what is queued
        self._in_flight: list[Callable[[], None]] | None = None  # for what is being stored
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._refills = 0

    async def open(self) -> list[int]:
        """Take the store over from any master before; return the numbers of the experiments in it."""
        with _reading():
            self.boot = int(await self._client.incr(self._keys.boot))
            await self._client.set(self._keys.store, secrets.randbits(63), nx=True)
            self.store_id = int(await self._client.get(self._keys.store) or 0)
            self.last_deleted = int(await self._client.get(self._keys.deleted) or 0)
            heads = await self._client.hkeys(self._keys.heads)
        return sorted(int(number) for number in heads)

    async def name_of(self, number: int) -> str:
        """What an experiment is called that cannot be read; stores of earlier builds do not know."""
        with _reading():
            name = await self._client.hget(self._keys.names, str(number))
        return name.decode() if isinstance(name, bytes) else f"experiment:{number}"

    async def load(self, number: int) -> tuple[Snapshot | None, AsyncIterator[tuple[int, list[Event]]]]:
        """An experiment's newest snapshot, and the entries after it: (number of the entry, its events).

        Raises:
            JournalFormatError: this build cannot read it.
            JournalLostError: some of it is missing.
            StoreFailingError: the store does not answer.
        """
        with _reading():
            stored = await self._client.get(self._keys.snapshot(number))
        snapshot = read_snapshot(bytes(stored)) if isinstance(stored, bytes) else None
        return snapshot, self._entries(number, snapshot.position if snapshot else 0)

    def attach(self, number: int, name: str, head: int, take_snapshot: TakeSnapshot) -> WriteEvent:
        """Begin to write an experiment whose last entry is `head`.

        Args:
            number: of the experiment.
            name: of the experiment.
            head: number of its last entry; 0 for a new one.
            take_snapshot: called between two events, with the number of the entry that holds the last one.

        Returns:
            What queues an event.
        """
        channel = self._channels[number] = Channel(number, name, head, take_snapshot, self._stir)
        self._unnamed[number] = name
        return channel.write

    def delete(self, number: int) -> None:
        """Forget an experiment and all that is stored of it, after what is queued now is stored."""
        self._channels.pop(number, None)
        self.checkpoints.drop(number)
        self.last_deleted = max(self.last_deleted, number)
        self._deleted.append(number)
        self._stir()

    def _stir(self) -> None:
        self._wake.set()
        self._idle.clear()

    def when_durable(self, callback: Callable[[], None]) -> None:
        """Call back as soon as everything written so far is durable, at once if it is."""
        if self._wake.is_set():
            self._waiting.append(callback)
        elif self._in_flight is not None:
            self._in_flight.append(callback)
        else:
            callback()

    @property
    def is_overfull(self) -> bool:
        """Whether so much waits for a store that fails that no more work should be begun."""
        return bool(self.trouble) and sum(len(c.queued) for c in self._channels.values()) > _MAX_BACKLOG

    async def durable(self) -> None:
        """Wait until everything written so far is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.when_durable(partial(_finish, done))
        await done

    async def run(self) -> None:
        """Commit for ever. Raises SupersededError when another master has taken over."""
        while True:
            await self._wake.wait()
            started = monotonic()
            await self._commit()
            await asyncio.sleep(max(0.0, started + _COMMIT_PAUSE_S - monotonic()))

    async def flush(self, timeout_s: float, *, with_snapshots: bool = False) -> bool:
        """Wait until everything is durable; False if that takes longer."""
        if with_snapshots:
            for channel in self._channels.values():
                channel.snapshot_time = float("-inf")
            self._stir()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
                return True
        return False

    async def _entries(self, number: int, after: int) -> AsyncIterator[tuple[int, list[Event]]]:
        reader = EntryReader()
        with _reading():
            head = int(await self._client.hget(self._keys.heads, str(number)) or 0)
        while after < head:
            stream, first = self._keys.entries(number), f"{after + 1}-0"
            with _reading():
                found = cast(_Found, await self._client.xrange(stream, min=first, count=_ENTRIES_PER_READ))
            if not found:
                raise JournalLostError(f"experiment {number} misses its journal entry {after + 1} of {head}")
            for entry_id, fields in found:
                position = int(entry_id.partition(b"-")[0])
                if position != after + 1:
                    raise JournalLostError(
                        f"experiment {number} misses its journal entry {after + 1} of {head}"
                    )
                after = position
                yield position, list(reader.read(fields[b"entry"]))

    async def _commit(self) -> None:
        """Store everything that is queued; then snapshots that are due."""
        self._wake.clear()
        callbacks, self._waiting = self._waiting, []
        self._in_flight = callbacks
        started = monotonic()
        channels = [channel for channel in self._channels.values() if channel.queued]
        events = sum(len(channel.queued) for channel in channels)
        entries = [(channel, channel.head + 1, channel.cut_entry()) for channel in channels]
        due = [c for c in self._channels.values() if c.is_snapshot_due(self._snapshot_interval_s)]
        snapshots, refills = [channel.cut_snapshot() for channel in due], self._refills
        new, unwanted = self.checkpoints.take_changes()
        deleted, self._deleted = self._deleted, []
        unnamed, self._unnamed = self._unnamed, {}
        await self._store_blobs(new)
        await self._persist(lambda: self._store_entries(entries))
        await self._store_blobs(unwanted)
        if unnamed:
            await self._persist(partial(self._store_names, unnamed))
        for number in deleted:
            await self._persist(partial(self._delete_one, number))
        self._in_flight = None
        for callback in callbacks:
            callback()
        self._observe_commit(monotonic() - started, events)
        for snapshot in snapshots:
            await self._store_snapshot(snapshot, refills)
        if not self._wake.is_set():
            self._idle.set()

    async def _store_entries(self, entries: list[tuple[Channel, int, bytes]]) -> None:
        if not entries:
            return
        keys = [self._keys.boot, self._keys.heads, *(self._keys.entries(c.number) for c, _, _ in entries)]
        args: list[bytes | int] = [self.boot]
        for channel, position, encoded in entries:
            args += [channel.number, position, encoded]
        await self._append(keys=keys, args=args)

    async def _store_blobs(self, blobs: Mapping[str, bytes]) -> None:
        for key, data in blobs.items():
            args: list[bytes | int] = [self.boot, data]
            await self._persist(partial(self._keep, keys=[self._keys.boot, key], args=args))

    async def _store_names(self, names: Mapping[int, str]) -> None:
        args: list[str | int] = [self.boot, *(part for item in names.items() for part in item)]
        await self._name(keys=[self._keys.boot, self._keys.names], args=args)

    async def _delete_one(self, number: int) -> None:
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", self._keys.of(number)) + "*"
        found = [key async for key in self._client.scan_iter(match=pattern, count=_KEYS_PER_SCAN)]
        keys = [self._keys.boot, self._keys.heads, self._keys.deleted, self._keys.names, *found]
        await self._delete(keys=keys, args=[self.boot, number])

    async def _store_snapshot(self, snapshot: Snapshot, refills: int) -> None:
        encoded = await asyncio.to_thread(write_snapshot, snapshot)
        number = snapshot.created.number
        keys = [self._keys.boot, self._keys.snapshot(number), self._keys.entries(number)]
        args: list[bytes | int] = [self.boot, encoded, snapshot.position + 1]

        async def save() -> None:
            if refills == self._refills:  # otherwise a newer snapshot is stored
                await self._save(keys=keys, args=args)

        await self._persist(save)

    async def _persist(self, store: Callable[[], Awaitable[object]]) -> None:
        """Try until it is stored."""
        pause_s = _FIRST_RETRY_S
        while True:
            try:
                await store()
            except (RedisError, OSError) as error:
                if _says(error, FENCED):
                    raise SupersededError(
                        "another master has started on this store; it has taken over"
                    ) from None
                self._complain(error)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause_s = min(2 * pause_s, _LAST_RETRY_S)
                await self._repair(error)
            else:
                self._relax()
                return

    async def _repair(self, error: Exception) -> None:
        """Do what may bring the store back; its failure is only another failed attempt."""
        try:
            if _says(error, GAP):
                await self._fill_again()
            elif self._revive_store is not None and not isinstance(error, ResponseError):
                await self._revive_store()
        except (RedisError, OSError, StoreError) as again:
            self._complain(again)

    async def _fill_again(self) -> None:
        """Write the whole state of every experiment into a store that has lost some of it."""
        logger.error(
            "the store has lost journal entries; all experiments are written to it again from memory"
        )
        self._refills += 1
        snapshots = []
        for channel in self._channels.values():
            channel.queued.clear()
            channel.head += 1
            snapshots.append((channel, channel.cut_snapshot()))
        keys = [self._keys.boot, self._keys.heads, self._keys.store, self._keys.deleted, self._keys.names]
        args: list[bytes | int | str] = [self.boot, self.store_id, self.last_deleted]
        for channel, snapshot in snapshots:
            keys += [self._keys.snapshot(channel.number), self._keys.entries(channel.number)]
            encoded = await asyncio.to_thread(write_snapshot, snapshot)
            args += [channel.number, channel.name, snapshot.position, encoded]
        await self._reseed(keys=keys, args=args)
        self.checkpoints.put_again()

    def _complain(self, error: Exception) -> None:
        sentence = f"{type(error).__name__}: {error}"
        if sentence != self.trouble:
            logger.error("the store does not take the journal, so results are not acknowledged: %s", sentence)
        self.trouble = sentence

    def _relax(self) -> None:
        if self.trouble:
            logger.warning("the store takes the journal again; everything that waited is durable")
            self.trouble = ""


@contextmanager
def _reading() -> Iterator[None]:
    """Around questions to the store: its trouble is nobody's damage."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreFailingError(f"the journal cannot be read: {error}") from error


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _says(error: Exception, word: str) -> bool:
    return isinstance(error, ResponseError) and word in str(error)
