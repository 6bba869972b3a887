"""One upstream for any number of browsers: who looks at the same thing shares what is heard of it.

A feed runs while somebody reads it. Its readers get the latest value, and never a queue of old ones.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from germline.cli.output import Json

MOST_READERS = 64
_SILENT_S = 4.0
_KEEP_ALIVE_S = 15.0

Producer = Callable[[threading.Event], Iterator[Json]]
"""Yields values until the event is set. Yields the same value again to say that it is still so."""


class Feed:
    """A thread that produces values, and those who read them.

    Attributes:
        users: how many want it to go on.
    """

    def __init__(self, produce: Producer) -> None:
        """Start at once, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self.users = 0
        self._readers: set[asyncio.Event] = set()
        self._latest: Json = None
        self._version = 0
        self._heard_s = monotonic()
        self._produce = produce
        threading.Thread(target=self._run, name="feed", daemon=True).start()

    def stop(self) -> None:
        """Produce no more, and send the readers home."""
        self._stopped.set()
        for reader in self._readers:
            reader.set()

    def _run(self) -> None:
        for value in self._produce(self._stopped):
            if self._stopped.is_set():
                return
            self._loop.call_soon_threadsafe(self._publish, value)

    def _publish(self, value: Json) -> None:
        self._heard_s = monotonic()
        if value == self._latest:
            return
        self._latest, self._version = value, self._version + 1
        for reader in self._readers:
            reader.set()

    async def read(self) -> AsyncIterator[Json]:
        """Values as they come, the latest first; None now and then while nothing is new."""
        changed, seen, spoke_s = asyncio.Event(), 0, monotonic()
        self._readers.add(changed)
        try:
            while not self._stopped.is_set():
                changed.clear()
                if self._version > seen:
                    seen, spoke_s = self._version, monotonic()
                    yield self._latest
                elif monotonic() - spoke_s > _KEEP_ALIVE_S:
                    spoke_s = monotonic()
                    yield None
                await self._wait(changed)
        finally:
            self._readers.discard(changed)

    async def _wait(self, changed: asyncio.Event) -> None:
        """Until there is something new, or the upstream has been silent for too long, which is news, too."""
        try:
            async with asyncio.timeout(1.0):
                await changed.wait()
        except TimeoutError:
            if monotonic() - self._heard_s > _SILENT_S and not _is_lost(self._latest):
                heard_s = self._heard_s
                self._publish({"lost": "the master has not said a word for some seconds"})
                self._heard_s = heard_s


class Feeds:
    """Feeds by name; each is made when somebody wants to read it, and stopped when nobody does any more."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}

    @property
    def are_full(self) -> bool:
        """Whether there is no room for one more reader."""
        return sum(feed.users for feed in self._feeds.values()) >= MOST_READERS

    @contextmanager
    def reading(self, name: str, produce: Producer) -> Iterator[Feed]:
        """The feed of this name while the context lasts."""
        feed = self._feeds.get(name) or self._feeds.setdefault(name, Feed(produce))
        feed.users += 1
        try:
            yield feed
        finally:
            feed.users -= 1
            if not feed.users:
                feed.stop()
                if self._feeds.get(name) is feed:
                    del self._feeds[name]

    def close(self) -> None:
        """Stop them all."""
        for feed in self._feeds.values():
            feed.stop()
        self._feeds.clear()


def _is_lost(value: Json) -> bool:
    return isinstance(value, dict) and "lost" in value
