"""The journal: what is acknowledged is kept.

Written by one master, in a server that speaks Redis's protocol.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import NoReturn

from redis.asyncio import Redis
from redis.exceptions import RedisError

from master.experiments.events import Event
from master.journal.appender import Appender
from master.journal.channel import Channel, TakeSnapshot
from master.journal.checkpoints import Checkpoints
from master.journal.codec import Snapshot
from master.journal.connection import StoreError
from master.journal.fenced import FencedStore, GapError, OtherStoreError, SupersededError
from master.journal.keys import Keys
from master.journal.ownership import Ownership
from master.journal.reading import entries_after, newest_snapshot
from master.journal.snapshots import Snapshots
from master.journal.values import Values
from master.journal.waiters import Waiters
from master.journal.whereabouts import may_be_elsewhere

__all__ = ["Journal", "OtherStoreError", "SupersededError", "WriteEvent"]

logger = logging.getLogger(__name__)

WriteEvent = Callable[[Event], None]

_COMMIT_PAUSE_S = 0.005  # commits begin at least so far apart: a group is worth its round trip
_OWNERSHIP_S = 5.0
_LOOK_S = 5.0  # an idle master sees at least so often whether the store is still its own
_FIRST_RETRY_S = 0.1
_LAST_RETRY_S = 5.0
_MAX_BACKLOG = 500_000
_ARCHIVE_S = 5.0  # whoever waits for everything waits no longer than this for the archive
_DELETIONS = 0  # no experiment has this number


class Journal:
    """The only writer of every experiment's events.

    Promises:

    - Order: events of one experiment are stored in the order in which they were written here. A crash keeps
      a prefix.
    - Durability: a callback given to :meth:`when_durable` runs when everything that its experiments wrote
      before it is stored, in a server that has synced it to its file (``appendfsync always``), and never
      earlier.
    - Group commit: one task stores everything that was queued meanwhile, for all experiments, in one round
      trip.
    - Exactly once: entries are numbered; one that was stored although its answer got lost is not stored
      again.
    - One writer: a master that takes the store over may write, and the older one gets SupersededError, within
      seconds even if it has nothing to write.
    - Outage: while the store fails, nothing is called durable, nothing is forgotten, and the commit is
      tried again until it succeeds. A store that comes back empty, or short of entries, is filled again
      from memory: with everything but the checkpoints of experiments that are over.
    - To each its own trouble: what the store does not take of one experiment keeps no other one waiting.
      Large values travel in parts, so that servers with small limits take them.
    - Bounds: entries up to a snapshot are deleted. A snapshot follows `snapshot_interval_s`, or 1,000,000
      events; where there is an archive, what it deletes is there.

    Attributes:
        trouble: why the store does not take anything just now; empty if it does.
        checkpoints: kept beside the entries.
        snapshots: in the place of the entries before them.
        ownership: this master's hold on the store; whoever opens the journal without it takes the store over.
    """

    def __init__(
        self,
        client: Redis,
        keys: Keys,
        *,
        snapshot_interval_s: float = 60.0,
        look_interval_s: float = _LOOK_S,
        observe_commit: Callable[[float, int], None] = lambda _seconds, _events: None,
        revive_store: Callable[[], Awaitable[None]] | None = None,
        own_store: bool = False,
        address: str = "",
        ownership_s: float = _OWNERSHIP_S,
    ) -> None:
        """Write nothing yet.

        Args:
            client: of the store's server.
            keys: what its keys are called.
            snapshot_interval_s: time between two snapshots of an experiment.
            look_interval_s: longest time without a look at the store.
            observe_commit: told how long each commit took, and of how many events it was.
            revive_store: starts a server of our own again, or finds the one that takes writes by now.
            own_store: whether nobody else can reach the server.
            address: where this master listens, for those who wait for it.
            ownership_s: how long this master owns the store without saying so again.
        """
        self.trouble = ""
        self._store = FencedStore(client, keys)
        self.ownership = Ownership(
            self._store, address, ownership_s, exclusive=own_store, find_store=revive_store
        )
        self._look_interval_s = look_interval_s
        self._observe_commit = observe_commit
        self._revive_store = revive_store
        self._appender = Appender(self._store)
        self._values = Values(self._store, self._look_now)
        self.checkpoints = Checkpoints(self._store, self._values, self.when_durable)
        self.snapshots = Snapshots(self._store, self._values, self.when_durable, snapshot_interval_s)
        self._channels: dict[int, Channel] = {}
        self._unnamed: dict[int, str] = {}  # whose names are still to be stored
        self._deleted: list[int] = []
        self._deletions = 0  # done
        self._waiters = Waiters(self._is_stored)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._looks_at_s = monotonic() + look_interval_s
        self._pause_s = 0.0

    @property
    def boot(self) -> int:
        """Number of this start of a master."""
        return self._store.boot

    @property
    def store_id(self) -> int:
        """Tells the store from every other; drawn by its first master."""
        return self._store.store_id

    @property
    def last_deleted(self) -> int:
        """The highest number of an experiment that was deleted; 0 for none."""
        return self._store.last_deleted

    # Reading, before anything is written

    async def open(self) -> list[int]:
        """Take the store over, if that was not done; return the numbers of the experiments in it."""
        if not self.ownership.was_taken:
            await self.ownership.take(at_once=True)
        return await self._store.open()

    async def name_of(self, number: int) -> str:
        """What an experiment is called that cannot be read; stores of earlier builds do not know."""
        return await self._store.name_of(number) or f"experiment:{number}"

    async def head_of(self, number: int) -> int:
        """The number of an experiment's last entry in the store."""
        return await self._store.head_of(number)

    async def load(self, number: int) -> tuple[Snapshot | None, AsyncIterator[tuple[int, list[Event]]]]:
        """An experiment's newest snapshot, and the entries after it: (number of the entry, its events).

        Raises:
            JournalFormatError: this build cannot read it.
            JournalLostError: some of it is missing.
            StoreFailingError: the store does not answer.
        """
        snapshot = await newest_snapshot(self._store, number)
        return snapshot, entries_after(self._store, number, snapshot.position if snapshot else 0)

    # Writing

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

    def write_whole(self, number: int) -> None:
        """Put the whole of an experiment in the place of whatever is stored of it."""
        self._channels[number].must_refill = True
        self._stir()

    def delete(self, number: int) -> None:
        """Forget an experiment and all that is stored of it, after what is queued now is stored."""
        self._channels.pop(number, None)
        self.snapshots.drop(number)
        self._values.drop(number)
        self.checkpoints.drop(number)
        self._store.last_deleted = max(self._store.last_deleted, number)
        self._deleted.append(number)
        self._stir()

    def when_durable(self, callback: Callable[[], None], numbers: Collection[int] | None = None) -> None:
        """Call back as soon as everything that these experiments wrote so far is durable, at once if it is.

        Without numbers, everything that all of them wrote, and what is to be forgotten.
        """
        named = self._channels if numbers is None else self._channels.keys() & set(numbers)
        positions = {number: self._channels[number].goal for number in named}
        if numbers is None:
            positions[_DELETIONS] = self._deletions + len(self._deleted)
        self._waiters.add(positions, callback)

    def _is_stored(self, number: int, position: int) -> bool:
        if number == _DELETIONS:
            return self._deletions >= position
        channel = self._channels.get(number)
        return channel is None or channel.stored >= position

    def trouble_of(self, number: int) -> str:
        """Why the store does not take something of an experiment; empty if it does."""
        channel = self._channels.get(number)
        own = channel.trouble if channel is not None else ""
        return self.trouble or own or self._values.trouble_of(number)

    def is_held_up(self, number: int) -> bool:
        """Whether an experiment should get no more results: the store takes others' and not its."""
        channel = self._channels.get(number)
        return channel is not None and bool(channel.trouble)

    @property
    def is_overfull(self) -> bool:
        """Whether so much waits for a store that fails that no more work should be begun."""
        return bool(self.trouble) and sum(len(c.queued) for c in self._channels.values()) > _MAX_BACKLOG

    async def durable(self, numbers: Collection[int] | None = None) -> None:
        """Wait until everything that these experiments wrote so far is durable; without numbers, all."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.when_durable(partial(_finish, done), numbers)
        await done

    @property
    def snapshot_age_s(self) -> float:
        """Time since the oldest snapshot of those that lack events; 0 where none does."""
        since = [c.snapshot_time for c in self._channels.values() if c.events_since_snapshot]
        return monotonic() - min((each for each in since if each > 0), default=monotonic())

    async def flush(self, timeout_s: float, *, with_snapshots: bool = False) -> bool:
        """Wait until everything is stored, large values too; False if that takes longer."""
        if with_snapshots:
            for channel in self._channels.values():
                channel.snapshot_time = float("-inf")
            self._stir()
        with self._values.hurrying(), suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._stored()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_ARCHIVE_S):
                        await self.snapshots.archived.wait()
                await self._stored()
                return True
        return False

    async def _stored(self) -> None:
        while not (self._idle.is_set() and self._values.idle.is_set()):
            await self._idle.wait()
            await self._values.idle.wait()

    async def stay(self) -> NoReturn:
        """Stay the owner of the store, which begins before the journal is read.

        Raises SupersededError when another master has taken over.
        """
        await self.ownership.keep(self._look_now)

    async def run(self) -> None:
        """Commit for ever. Raises SupersededError when another master has taken over."""
        loops = (self._commit_for_ever(), self._values.run())
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    # The committer

    def _stir(self) -> None:
        self._wake.set()
        self._idle.clear()

    def _look_now(self) -> None:
        """The store may have lost something: see to it."""
        self._looks_at_s = 0.0
        self._stir()

    async def _commit_for_ever(self) -> None:
        while True:
            resting = (c.rests_until_s for c in self._channels.values() if c.trouble)
            due_s = min([self._looks_at_s, *resting])
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due_s - monotonic())):
                    await self._wake.wait()
            started = monotonic()
            await self._commit(started)
            await asyncio.sleep(max(self._pause_s, started + _COMMIT_PAUSE_S - monotonic()))

    async def _commit(self, started: float) -> None:
        """Store everything that is queued, and have snapshots stored that are due."""
        self._wake.clear()
        ready = [c for c in self._channels.values() if c.rests_until_s <= started or not c.trouble]
        events = sum(len(channel.queued) for channel in ready)
        for channel in ready:
            channel.cut()
            self.snapshots.take(channel)
        try:
            await self._store_all([channel for channel in ready if channel.has_work])
        except (RedisError, OSError, GapError) as error:
            await self._fail(error)
        else:
            self._relax()
        self._waiters.call()
        self._observe_commit(monotonic() - started, events)
        if not (self._wake.is_set() or self.trouble or any(c.has_work for c in self._channels.values())):
            self._idle.set()

    async def _store_all(self, channels: Sequence[Channel]) -> None:
        """Store what there is; an experiment whose part fails alone rests. Raises if the store fails."""
        await self._appender.store(channels)
        if self._unnamed:
            await self._store.name(self._unnamed)
            self._unnamed.clear()
        while self._deleted:
            await self._store.delete(self._deleted[0])
            del self._deleted[0]
            self._deletions += 1
        if monotonic() >= self._looks_at_s:
            await self._store.look({c.number: c.stored for c in self._channels.values() if not c.trouble})
            self._looks_at_s = monotonic() + self._look_interval_s

    # Trouble

    async def _fail(self, error: Exception) -> None:
        """Say that the store fails, do what may bring it back, and try again a little later."""
        self._pause_s = min(max(2 * self._pause_s, _FIRST_RETRY_S), _LAST_RETRY_S)
        self._pause_s *= random.uniform(0.75, 1.0)  # noqa: S311 - jitter
        self._complain(error)
        self._wake.set()
        try:
            if isinstance(error, GapError):
                await self._fill_again()
            elif self._revive_store is not None and may_be_elsewhere(error):
                await self._revive_store()
        except (RedisError, OSError, StoreError, GapError) as again:
            self._complain(again)

    async def _fill_again(self) -> None:
        """Have the whole state of every experiment written into a store that has lost some of it."""
        logger.error(
            "the store has lost journal entries; all experiments are written to it again from memory"
        )
        await self.ownership.claim()
        for channel in self._channels.values():
            channel.must_refill = True
            self._unnamed[channel.number] = channel.name
        self.checkpoints.put_again()

    def _complain(self, error: Exception) -> None:
        sentence = f"{type(error).__name__}: {error}"
        if sentence != self.trouble:
            logger.error("the store does not take the journal, so results are not acknowledged: %s", sentence)
        self.trouble = sentence

    def _relax(self) -> None:
        self._pause_s = 0.0
        if self.trouble:
            logger.warning("the store takes the journal again; everything that waited is durable")
            self.trouble = ""
            self._values.hurry()


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
