"""What channels have cut, into the store: together, and one by one where the store refuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from redis.exceptions import ResponseError

from master.journal.channel import Channel
from master.journal.codec import write_snapshot
from master.journal.fenced import FencedStore, in_parts

logger = logging.getLogger(__name__)


class Appender:
    """Stores entries, of all experiments in one round trip.

    If the server takes others' entries and not those of one experiment, that one rests, and the others are
    stored; if it takes nobody's, that is the store's trouble, and is raised.
    """

    def __init__(self, store: FencedStore) -> None:
        self._store = store

    async def store(self, channels: Sequence[Channel]) -> None:
        """Store what these have cut. Raises what the store or the network says, if it fails for all."""
        for channel in [channel for channel in channels if channel.must_refill]:
            await self._alone(channel, partial(self._refill, channel))
        outstanding = [channel for channel in channels if channel.outstanding]
        await self._append([channel for channel in outstanding if not channel.trouble])
        for channel in [channel for channel in outstanding if channel.trouble]:
            await self._alone(channel, partial(self._append_now, [channel]))

    async def _append(self, channels: Sequence[Channel]) -> None:
        """Store the entries of these, all at once; if that fails, one by one."""
        try:
            await self._append_now(channels)
        except ResponseError as error:
            if len(channels) == 1:
                raise
            for channel in channels:
                await self._alone(channel, partial(self._append_now, [channel]))
            if all(channel.trouble for channel in channels):  # it is the store's trouble, not theirs
                for channel in channels:
                    channel.trouble = ""
                raise error from None

    async def _append_now(self, channels: Sequence[Channel]) -> None:
        entries = [channel.outstanding for channel in channels if channel.outstanding]
        if entries:
            await self._store.append(entries)
        for channel in channels:
            channel.settle()

    async def _alone(self, channel: Channel, store: Callable[[], Awaitable[None]]) -> None:
        """Store something of one experiment; what the server says against it is its own trouble."""
        try:
            await store()
        except ResponseError as error:
            sentence = f"the store does not take its journal: {type(error).__name__}: {error}"
            if sentence != channel.trouble:
                logger.error("experiment %s: %s", channel.name, sentence)
            channel.rest(sentence)

    async def _refill(self, channel: Channel) -> None:
        """Write the whole of an experiment into a store that has lost some of it."""
        snapshot = channel.begin_refill()
        parts = self._store.keys.refill(channel.number)
        for place, part in enumerate(in_parts(await asyncio.to_thread(write_snapshot, snapshot))):
            await self._store.stage(parts, place, part)
        async with channel.saving:
            await self._store.reseed(channel.number, snapshot.position)
            channel.saved = snapshot.position
        channel.settle()
