"""The store as one start of a master may read and change it."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import NamedTuple, TypeVar, cast

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError, ResponseError

from master.errors import JournalFormatError, StoreFailingError
from master.journal import scripts
from master.journal.keys import Keys

PART_BYTES = 1 << 19  # servers take values of 512 MiB by default, but of 1 MiB where they are set so
_KEYS_PER_SCAN = 1_000
_ASKED_FOR_S = 10.0
_ASKS_AGAIN_S = 0.1

_Found = list[tuple[bytes, dict[bytes, bytes]]]
_Argument = bytes | int | str
_Answer = TypeVar("_Answer")


class SupersededError(RuntimeError):
    """Another master has taken the store over; this one must not write."""


class OtherStoreError(SupersededError):
    """Another store answers where this master's was."""


class GapError(Exception):
    """The store has lost something that it had taken."""


class Entry(NamedTuple):
    """An entry of an experiment's journal, under its number."""

    number: int
    position: int
    data: bytes


class FencedStore:
    """Reads and changes the store. Every change is refused once a newer master has started on it.

    A server that refuses, or does not answer, may not be the one that takes writes any more: the next try
    dials anew.

    Attributes:
        boot: number of this start of a master.
        store_id: tells the store from every other; drawn by its first master.
        last_deleted: the highest number of an experiment that was deleted; 0 for none.
    """

    def __init__(self, client: Redis, keys: Keys) -> None:
        self.boot = self.store_id = self.last_deleted = 0
        self.keys = keys
        self._client = client
        owning = ("TAKE", "RENEW", "RELEASE")
        writing = ("APPEND", "LOOK", "CLAIM", "STAGE", "KEEP", "SAVE", "RESEED", "NAME", "DELETE", "DROP")
        names = owning + writing
        self._scripts = {name: client.register_script(getattr(scripts, name)) for name in names}

    # Reading

    async def open(self) -> list[int]:
        """Read what is in a store that was taken; return the numbers of the experiments in it."""
        self.store_id = int(await self._read(partial(self._client.get, self.keys.store)) or 0)
        self.last_deleted = int(await self._read(partial(self._client.get, self.keys.deleted)) or 0)
        heads = await self._read(partial(self._client.hkeys, self.keys.heads))
        return sorted(int(number) for number in heads)

    async def look_at_owner(self) -> tuple[int, int]:
        """The number of the newest start of a master, and that of the store; 0 for none."""
        with reading():
            boot, store = await self._client.mget(self.keys.boot, self.keys.store)
        return int(boot or 0), int(store or 0)

    async def name_of(self, number: int) -> str:
        """What an experiment is called; empty if the store does not know."""
        name = await self._read(partial(self._client.hget, self.keys.names, str(number)))
        return name.decode() if isinstance(name, bytes) else ""

    async def head_of(self, number: int) -> int:
        """The position of an experiment's last entry."""
        return int(await self._read(partial(self._client.hget, self.keys.heads, str(number))) or 0)

    async def entries(self, number: int, first: int, count: int) -> list[tuple[int, bytes]]:
        """An experiment's entries from a position on, with theirs; at most so many."""
        stream = self.keys.entries(number)
        found = await self._read(partial(self._client.xrange, stream, min=f"{first}-0", count=count))
        return [
            (int(name.partition(b"-")[0]), b"".join(parts.values())) for name, parts in cast(_Found, found)
        ]

    async def value(self, key: str) -> bytes | None:
        """A large value; None if it is not there."""
        return await self._read(partial(self._value, key))

    async def _value(self, key: str) -> bytes | None:
        if await self._client.type(key) == b"string":  # as builds wrote it that did not know parts
            return cast(bytes, await self._client.get(key))
        parts = [await self._client.hget(key, str(n)) for n in range(await self._client.hlen(key))]
        return b"".join(part for part in parts if isinstance(part, bytes)) if parts else None

    async def keys_like(self, prefix: str, middle: str = "") -> AsyncIterator[str]:
        """Yield the keys that begin with this, and hold that somewhere behind it."""
        escaped = re.sub(r"([*?\[\]\\])", r"\\\1", prefix)
        with reading():
            async for key in self._client.scan_iter(match=f"{escaped}*{middle}*", count=_KEYS_PER_SCAN):
                yield key.decode()

    async def _read(self, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """The answer to a question, asked again for a while if the network has lost it.

        A master that takes over would otherwise end because of one cut. Raises what :func:`reading` does.
        """
        until_s = monotonic() + _ASKED_FOR_S
        while True:
            try:
                with reading():
                    return await ask()
            except StoreFailingError as error:
                if isinstance(error.__cause__, ResponseError) or monotonic() > until_s:
                    raise
            await asyncio.sleep(_ASKS_AGAIN_S)

    # Owning

    async def take(self, who: str, lasts_s: float, instead_of: str) -> str:
        """Own the store, with a new number, unless somebody else does; return that one, or nothing.

        Args:
            who: this master, in a word for others.
            lasts_s: how long the store is owned, unless that is renewed.
            instead_of: an owner as the store says it, whose ownership ends; "any" for whoever owns it.

        Raises StoreFailingError.
        """
        script: AsyncScript = self._scripts["TAKE"]
        keys = [self.keys.boot, self.keys.owner, self.keys.store]
        with reading():
            answer = await script(keys, [who, round(1_000 * lasts_s), secrets.randbits(63), instead_of])
        if isinstance(answer, bytes):
            return answer.decode()
        self.boot = int(answer)
        return ""

    async def renew(self, who: str, lasts_s: float) -> None:
        """Own the store for so long from now on. Raises GapError if it has lost something."""
        await self._run("RENEW", [self.keys.owner], [who, round(1_000 * lasts_s)])

    async def release(self) -> None:
        """Own the store no more."""
        await self._run("RELEASE", [self.keys.owner], [])

    # Writing

    async def append(self, entries: Sequence[Entry]) -> None:
        """Store entries, all at once. Raises GapError if earlier ones are not there any more."""
        keys = [self.keys.heads, *(self.keys.entries(entry.number) for entry in entries)]
        args: list[_Argument] = []
        for number, position, data in entries:
            parts = in_parts(data)
            args += [number, position, len(parts), *parts]
        await self._run("APPEND", keys, args)

    async def look(self, heads: Mapping[int, int]) -> None:
        """See whether the store is still this master's, and has what it took. Raises GapError if not."""
        args = [self.store_id, *(part for head in heads.items() for part in head)]
        await self._run("LOOK", [self.keys.heads, self.keys.store], args)

    async def claim(self, who: str, lasts_s: float) -> None:
        """Be the master of a store that lost everything, for so long unless that is renewed."""
        args: list[_Argument] = [self.store_id, self.last_deleted, who, round(1_000 * lasts_s)]
        await self._run("CLAIM", [self.keys.store, self.keys.deleted, self.keys.owner], args)

    async def stage(self, parts: str, place: int, part: bytes) -> None:
        """Store a part of a large value under the key of its parts; the first part begins anew."""
        await self._run("STAGE", [parts], [place, part])

    async def keep(self, key: str) -> None:
        """Put a value whose parts are all stored in its place."""
        await self._run("KEEP", [self.keys.parts(key), key], [])

    async def save(self, number: int, position: int) -> None:
        """Put a snapshot up to this entry in its place; the entries that it holds go."""
        key = self.keys.snapshot(number)
        await self._run("SAVE", [self.keys.parts(key), key, self.keys.entries(number)], [position + 1])

    async def reseed(self, number: int, position: int) -> None:
        """Put a snapshot in the place of everything that is left of an experiment."""
        key = self.keys.snapshot(number)
        keys = [self.keys.refill(number), key, self.keys.entries(number), self.keys.heads]
        await self._run("RESEED", keys, [number, position])

    async def name(self, names: Mapping[int, str]) -> None:
        """Note what experiments are called."""
        await self._run("NAME", [self.keys.names], [part for item in names.items() for part in item])

    async def delete(self, number: int) -> None:
        """Forget all that is stored of an experiment."""
        found = [key async for key in self.keys_like(self.keys.of(number))]
        keys = [self.keys.heads, self.keys.deleted, self.keys.names, *found]
        await self._run("DELETE", keys, [number])

    async def drop(self, key: str) -> None:
        """Forget one value."""
        await self._run("DROP", [key], [])

    async def _run(self, name: str, keys: Sequence[str], args: Sequence[_Argument]) -> None:
        """Run a script. Raises SupersededError, GapError, or whatever the server or the network says."""
        script: AsyncScript = self._scripts[name]
        try:
            await script(keys=[self.keys.boot, *keys], args=[self.boot, *args])
        except (RedisError, OSError) as error:
            if _says(error, scripts.FENCED):
                raise SupersededError("another master has taken this store over") from None
            if _says(error, scripts.OTHER):
                raise OtherStoreError(
                    "another store answers where this master's was; it is left as it is"
                ) from None
            if _says(error, scripts.GAP):
                raise GapError(str(error)) from None
            await self._client.connection_pool.disconnect(inuse_connections=False)
            raise


def in_parts(data: bytes) -> list[bytes]:
    """A value as it travels: in parts that every server takes, at least one."""
    return [data[at : at + PART_BYTES] for at in range(0, max(len(data), 1), PART_BYTES)]


@contextmanager
def reading() -> Iterator[None]:
    """Around questions to the store: its trouble is nobody's damage, but for a key that is something else."""
    try:
        yield
    except ResponseError as error:
        if _says(error, "WRONGTYPE"):
            raise JournalFormatError(f"a key of it holds what no journal writes: {error}") from None
        raise StoreFailingError(f"the journal cannot be read: {error}") from error
    except (RedisError, OSError) as error:
        raise StoreFailingError(f"the journal cannot be read: {error}") from error


def _says(error: Exception, word: str) -> bool:
    return isinstance(error, ResponseError) and word in str(error)
