"""Who owns the store: one master at a time, for as long as it says so again and again. The others wait."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

from redis.exceptions import RedisError

from master.errors import StoreFailingError
from master.journal.connection import StoreError
from master.journal.fenced import FencedStore, GapError, SupersededError

logger = logging.getLogger(__name__)

_ASKS_S = 0.5  # a waiting master asks so often whether the owner is still there
_ANSWER_S = 2.0  # for which it waits for the store's answer, before it asks on another connection
_RENEWALS = 4  # of an ownership, while it lasts
_MARGIN = 0.95  # of it, for clocks that do not run alike
_RECOVERY_S = 60.0  # while it reads a long journal, a new owner may be busy for so long
_REMIND_S = 60.0


class Holder(NamedTuple):
    """A process that owns a store, or wants to.

    Attributes:
        host: the machine's name.
        machine: tells this start of this machine, and its space of process ids, from every other; empty where
            nobody knows.
        process: its process id.
        began: when that process began, in the machine's own ticks.
        nonce: drawn by the process.
        address: where it listens, for people.
    """

    host: str
    machine: str
    process: int
    began: str
    nonce: str
    address: str

    @classmethod
    def here(cls, address: str) -> Self:
        """This process."""
        process = os.getpid()
        return cls(
            socket.gethostname(), _this_machine(), process, _began(process), secrets.token_hex(8), address
        )

    @classmethod
    def read(cls, encoded: str) -> Self | None:
        """What :meth:`write` wrote; None for what another build wrote."""
        try:
            return cls(**json.loads(encoded))
        except (ValueError, TypeError):
            return None

    def write(self) -> str:
        """As it stands in the store."""
        return json.dumps(self._asdict())

    @property
    def is_dead(self) -> bool:
        """Whether it is known to have ended: only a process of this very machine can be looked after."""
        same = bool(self.machine) and self.machine == _this_machine()
        return same and _began(self.process) != self.began

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, which listens on {self.address}"


class Ownership:
    """A master's hold on its store.

    Promises:

    - At most one master at a time may write: each start has a number, the store knows the newest, and every
      change is made by a script that compares them first.
    - A master that does not renew its ownership for `lasts_s` may be superseded, and knows it: from then on
      :attr:`is_held` is false, also if it stood still meanwhile, until it has renewed it after all.
    - Who waits takes over within a second after the owner let go, or its process is seen to be dead, and else
      within half a second after the ownership ran out.
    - A store that lost everything stays with its owner, who fills it again, for as long as an ownership
      lasts.

    Attributes:
        lasts_s: how long an ownership lasts.
        trouble: why it was not renewed the last time; empty if it was.
    """

    def __init__(
        self,
        store: FencedStore,
        address: str,
        lasts_s: float,
        *,
        exclusive: bool = False,
        find_store: Callable[[], Awaitable[None]] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Own nothing yet.

        Args:
            store: what to own.
            address: where this master listens, for people.
            lasts_s: how long an ownership lasts.
            exclusive: whether nobody else can reach the store, so that it cannot be lost by waiting.
            find_store: looks for the server that takes writes, where that may be another one by now.
            clock: seconds; they pass while a process stands still and a machine sleeps.
        """
        self.lasts_s = lasts_s
        self.trouble = ""
        self._store = store
        self._holder = Holder.here(address)
        self._exclusive = exclusive
        self._find_store = find_store
        self._clock = clock or _seconds
        self._until_s = float("-inf")
        self._reads_journal = True
        self._seen: tuple[int, int] | None = None  # number of the owner's start, and of its store

    @property
    def is_held(self) -> bool:
        """Whether nobody else can own the store at this moment."""
        return self._clock() < self._until_s

    @property
    def was_taken(self) -> bool:
        """Whether this master ever owned the store."""
        return self._until_s > float("-inf")

    async def take(self, *, at_once: bool = False) -> Holder | None:
        """Own the store unless somebody else does; return that one.

        Args:
            at_once: whoever owns it.

        Raises StoreFailingError if the store does not answer.
        """
        began_s, lasts_s = self._clock(), self._term_s
        instead_of = "any" if at_once or self._exclusive else ""
        owner = await self._store.take(self._holder.write(), lasts_s, instead_of)
        other = Holder.read(owner) if owner else None
        if owner and other is not None and (other.nonce == self._holder.nonce or other.is_dead):
            owner = await self._store.take(self._holder.write(), lasts_s, owner)
        if owner:
            return other or Holder("?", "", 0, "", "", "?")
        self._hold(began_s, lasts_s)
        return None

    async def wait(self) -> None:
        """Wait until the store has no owner any more, and own it."""
        reminded_s, lost_s, owner = float("-inf"), None, None
        while True:
            try:
                async with asyncio.timeout(min(self.lasts_s, _ANSWER_S)):
                    lost_s = await self._lost_since(lost_s)
                    if lost_s is None or self._clock() - lost_s > self.lasts_s:
                        owner = await self.take()
                        if owner is None:
                            return
                trouble = ""
            except (StoreFailingError, TimeoutError) as error:
                trouble = f"; but {error or 'the store does not answer'}"
                await self._find_again()
            if self._clock() - reminded_s > _REMIND_S:
                reminded_s = self._clock()
                logger.info("waiting: the store is owned by %s%s", owner or "nobody known", trouble)
            await asyncio.sleep(_ASKS_S)

    async def keep(self, on_gap: Callable[[], None]) -> NoReturn:
        """Renew for ever; `on_gap` is called when the store turns out to have lost something.

        Raises SupersededError when another master has taken over.
        """
        while True:
            await asyncio.sleep(self.lasts_s / _RENEWALS)
            await self._renew(on_gap)

    async def _renew(self, on_gap: Callable[[], None]) -> None:
        began_s, lasts_s = self._clock(), self._term_s
        try:
            async with asyncio.timeout(self.lasts_s / 2):
                await self._store.renew(self._holder.write(), lasts_s)
        except GapError as error:
            self.trouble = str(error)
            on_gap()
        except (RedisError, OSError) as error:  # a TimeoutError is one
            self.trouble = str(error) or "it does not answer"
            await self._find_again()
        else:
            self.trouble = ""
            self._hold(began_s, lasts_s)

    @property
    def _term_s(self) -> float:
        return max(self.lasts_s, _RECOVERY_S) if self._reads_journal else self.lasts_s

    async def claim(self) -> None:
        """Stay the owner of a store that lost everything."""
        await self._store.claim(self._holder.write(), self.lasts_s)

    async def settle(self) -> None:
        """The journal is read: from now on, this master says often that it is there.

        Raises what :meth:`keep` raises.
        """
        self._reads_journal = False
        await self._renew(lambda: None)

    async def release(self) -> None:
        """Let go, so that who waits need not wait for the end."""
        self._until_s = float("-inf")
        with suppress(RedisError, OSError, SupersededError):
            async with asyncio.timeout(self.lasts_s):
                await self._store.release()

    def _hold(self, began_s: float, lasts_s: float) -> None:
        self._until_s = float("inf") if self._exclusive else began_s + _MARGIN * lasts_s

    async def _lost_since(self, since_s: float | None) -> float | None:
        """Since when the store lacks what a waiting master saw in it: its owner may fill it again."""
        now = await self._store.look_at_owner()
        if self._seen is None or (now[0] >= self._seen[0] and now[1] == self._seen[1]):
            self._seen = now
            return None
        return self._clock() if since_s is None else since_s

    async def _find_again(self) -> None:
        if self._find_store is not None:
            with suppress(RedisError, OSError, StoreError):
                async with asyncio.timeout(self.lasts_s):
                    await self._find_store()


def _seconds() -> float:
    """Time that passes while a machine sleeps, too, where there is such a clock."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def _this_machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _began(process: int) -> str:
    """When a process of this machine began; empty if it has ended, or nobody knows."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return "" if state in "ZX" else fields[18]
