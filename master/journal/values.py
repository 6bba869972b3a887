"""Large values, snapshots and checkpoints: each is stored by itself, in parts, and keeps nothing waiting."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic

from redis.exceptions import RedisError, ResponseError

from germline.leisure import at_leisure
from master.journal.fenced import FencedStore, GapError, in_parts

logger = logging.getLogger(__name__)

_FIRST_RETRY_S = 0.5
_LAST_RETRY_S = 5.0
_LAST_RETRY_REFUSED_S = 300.0  # a value that is too large for the store is so the next time, too


@dataclass(slots=True)
class _Job:
    """A value to store, or to forget.

    Attributes:
        number: the experiment's.
        what: for people.
        encode: gives the bytes, on a thread of its own; None: the value is forgotten.
        publish: puts the stored parts in their place.
        then: called when it is done.
        pause_s: until the next try, after one that failed.
        due_s: when to try.
    """

    number: int
    what: str
    encode: Callable[[], bytes] | None
    publish: Callable[[], Awaitable[None]]
    then: Callable[[], None]
    pause_s: float = _FIRST_RETRY_S
    due_s: float = 0.0


class Values:
    """Stores large values one after the other, the newest under each key.

    What cannot be stored is tried again later and later. That is the trouble of the experiment that it is of,
    and of nobody else: nothing waits for it.

    Attributes:
        idle: set while nothing is left to try at once.
    """

    def __init__(self, store: FencedStore, on_gap: Callable[[], None]) -> None:
        """Store nothing yet, see :meth:`run`; `on_gap` is called when the store turns out to lack some."""
        self.idle = asyncio.Event()
        self.idle.set()
        self._store = store
        self._on_gap = on_gap
        self._jobs: dict[str, _Job] = {}
        self._troubles: dict[int, str] = {}
        self._wake = asyncio.Event()
        self._hurried = threading.Event()

    def put(
        self,
        key: str,
        number: int,
        what: str,
        encode: Callable[[], bytes],
        publish: Callable[[], Awaitable[None]],
        then: Callable[[], None],
    ) -> None:
        """Store a value in place of any before it under this key."""
        self._add(key, _Job(number, what, encode, publish, then))

    def forget(self, key: str, number: int) -> None:
        """Delete a value."""
        self._add(key, _Job(number, "", None, lambda: self._store.drop(key), lambda: None))

    def drop(self, number: int) -> None:
        """Store nothing of this experiment any more."""
        for key in [key for key, job in self._jobs.items() if job.number == number]:
            del self._jobs[key]
        self._troubles.pop(number, None)

    def hurry(self) -> None:
        """The store takes something again: try everything at once."""
        for job in self._jobs.values():
            job.due_s, job.pause_s = 0.0, _FIRST_RETRY_S
        self._wake.set()

    @contextmanager
    def hurrying(self) -> Iterator[None]:
        """While this lasts, nothing rests for others' sake: somebody waits for it."""
        self._hurried.set()
        try:
            yield
        finally:
            self._hurried.clear()

    def is_storing(self, key: str) -> bool:
        """Whether this value is still to be stored, or forgotten."""
        return key in self._jobs

    def trouble_of(self, number: int) -> str:
        """Why something of this experiment is not stored; empty if nothing is wrong."""
        return self._troubles.get(number, "")

    async def run(self) -> None:
        """Store for ever. Raises SupersededError when another master has taken over."""
        try:
            while True:
                self._wake.clear()
                key = self._next()
                if key is None:
                    self.idle.set()
                    await self._rest()
                else:
                    await self._try(key, self._jobs[key])
        finally:
            self._hurried.set()  # a process ends no sooner than the thread that packs something

    def _add(self, key: str, job: _Job) -> None:
        self._jobs.pop(key, None)
        self._jobs[key] = job
        self.idle.clear()
        self._wake.set()

    def _next(self) -> str | None:
        now_s = monotonic()
        return next((key for key, job in self._jobs.items() if job.due_s <= now_s), None)

    async def _rest(self) -> None:
        """Wait for a value, or for the time to try one again."""
        due_s = min((job.due_s for job in self._jobs.values()), default=None)
        with suppress(TimeoutError):
            async with asyncio.timeout(None if due_s is None else max(0.0, due_s - monotonic())):
                await self._wake.wait()

    async def _try(self, key: str, job: _Job) -> None:
        try:
            await self._do(key, job)
        except (RedisError, OSError, GapError) as error:
            await self._fail(key, job, error)
            return
        if self._jobs.get(key) is job:
            del self._jobs[key]
            self._troubles.pop(job.number, None)
            job.then()

    async def _do(self, key: str, job: _Job) -> None:
        parts = in_parts(await asyncio.to_thread(self._encode, job.encode)) if job.encode else []
        for place, part in enumerate(parts):
            if self._jobs.get(key) is not job:  # nobody wants it any more
                await self._store.drop(self._store.keys.parts(key))
                return
            await self._store.stage(self._store.keys.parts(key), place, part)
        if self._jobs.get(key) is job:
            await job.publish()

    def _encode(self, encode: Callable[[], bytes]) -> bytes:
        with at_leisure(self._hurried):
            return encode()

    async def _fail(self, key: str, job: _Job, error: Exception) -> None:
        """Give up for now: leave no part in the store's way, and try later."""
        longest_s = _LAST_RETRY_REFUSED_S if isinstance(error, ResponseError) else _LAST_RETRY_S
        job.due_s, job.pause_s = monotonic() + job.pause_s, min(2 * job.pause_s, longest_s)
        if isinstance(error, GapError):
            self._on_gap()
        elif isinstance(error, ResponseError):
            sentence = f"its {job.what} is not stored: {type(error).__name__}: {error}"
            if self._troubles.get(job.number) != sentence:
                logger.error("experiment %d: %s", job.number, sentence)
            self._troubles[job.number] = sentence
            with suppress(RedisError, OSError):
                await self._store.drop(self._store.keys.parts(key))
