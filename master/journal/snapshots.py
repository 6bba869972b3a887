"""Snapshots: taken when they are due, stored beside the entries, and only then in the place of these."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeAlias

from master.journal.channel import Channel
from master.journal.codec import write_snapshot
from master.journal.fenced import FencedStore
from master.journal.values import Values

WhenArchived: TypeAlias = Callable[[int, Callable[[], None]], None]
"""Calls back as soon as all that is durable of this experiment is in its archive, too."""
WhenDurable: TypeAlias = Callable[[Callable[[], None], Collection[int]], None]
"""Calls back as soon as all that these experiments wrote so far is durable."""


class Snapshots:
    """Each holds an experiment as it stood between two entries; those up to there are deleted behind it.

    So it takes their place no earlier than they are durable, and than all that they say is in the archive.

    Attributes:
        when_archived: what a snapshot waits for; without an archive, for nothing.
        archived: set while none waits for the archive.
    """

    def __init__(
        self, store: FencedStore, values: Values, when_durable: WhenDurable, interval_s: float
    ) -> None:
        """Take none yet.

        Args:
            store: where they take the entries' place.
            values: stores them in parts.
            when_durable: waits for the entries of an experiment.
            interval_s: time between two snapshots of an experiment.
        """
        self.when_archived: WhenArchived = lambda _number, callback: callback()
        self.archived = asyncio.Event()
        self.archived.set()
        self._store = store
        self._values = values
        self._when_durable = when_durable
        self._interval_s = interval_s
        self._waiting: dict[int, Callable[[], None]] = {}  # for the archive: what stores them, by experiment

    def take(self, channel: Channel) -> None:
        """Take a snapshot if one is due; it is stored once the entries are that it holds."""
        if channel.queued or channel.must_refill or not channel.is_snapshot_due(self._interval_s):
            return
        snapshot = channel.cut_snapshot()

        async def publish() -> None:
            async with channel.saving:
                if snapshot.position > channel.saved:  # otherwise the store was filled again meanwhile
                    await self._store.save(channel.number, snapshot.position)
                    channel.saved = snapshot.position

        key = self._store.keys.snapshot(channel.number)
        encode = partial(write_snapshot, snapshot)
        put = partial(self._values.put, key, channel.number, "snapshot", encode, publish, lambda: None)
        self._when_durable(partial(self._put_when_archived, channel.number, put), (channel.number,))

    def drop(self, number: int) -> None:
        """Store none of this experiment any more."""
        self._waiting.pop(number, None)

    def _put_when_archived(self, number: int, put: Callable[[], None]) -> None:
        """Have a snapshot stored once the archive holds what is deleted then; only the newest one waits."""
        is_waiting = number in self._waiting
        self._waiting[number] = put
        self.archived.clear()
        if not is_waiting:
            self.when_archived(number, partial(self._put, number, put))

    def _put(self, number: int, put: Callable[[], None]) -> None:
        newest = self._waiting.pop(number, None)
        if newest is put:
            put()
        elif newest is not None:
            self._put_when_archived(number, newest)
        if not self._waiting:
            self.archived.set()
