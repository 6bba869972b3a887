"""Where the journal lives: a server of our own in a folder, or somebody else's behind a URL."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from master.errors import StoreFailingError
from master.journal.connection import NotReachedError, StoreError, connect
from master.journal.keys import Keys
from master.journal.own_store import OwnStore
from master.journal.whereabouts import NoPrimaryError, at_address, primary_of

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

_REACHED_WITHIN_S = 5.0
_ASKS_AGAIN_S = 0.2
_OLDEST_VERSION = (6, 2)  # XTRIM MINID


class Store(NamedTuple):
    """An open store.

    Attributes:
        client: talks to it.
        is_own: whether the server is ours alone.
        revive: starts its server again if it has died, or turns to the one that took somebody else's place.
    """

    client: Redis
    is_own: bool
    revive: Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def open_store(url: str, folder: Path, prefix: str = "germline") -> AsyncIterator[Store]:
    """The store behind a URL, or without one a server of our own in a folder.

    Args:
        url: of a server, of any node of a cluster that keeps the journal, or of a Sentinel.
        folder: of our own server.
        prefix: what the journal's keys begin with.

    Raises:
        StoreError: it cannot be used, at the beginning or later on.
    """
    async with contextlib.AsyncExitStack() as stack:
        own = None if url else await stack.enter_async_context(OwnStore(folder))
        key = Keys(prefix).store
        client = connect(own.url if own else await patiently(partial(find_primary, url, key)))
        stack.push_async_callback(client.aclose)
        try:
            if own is None:
                await patiently(partial(check_server, client))
            yield Store(client, own is not None, own.revive if own else partial(_follow, client, url, key))
        except RedisError as error:
            raise StoreError(f"the journal cannot be read: {error}") from error


async def patiently(question: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Ask until somebody answers, for a while: a store may start beside its master, and a network cuts.

    Raises what the question raises.
    """
    until_s = monotonic() + _REACHED_WITHIN_S
    while True:
        try:
            return await question()
        except (NotReachedError, StoreFailingError):
            if monotonic() > until_s:
                raise
        await asyncio.sleep(_ASKS_AGAIN_S)


async def find_primary(url: str, key: str) -> str:
    """The URL of the server that keeps this key, behind one of a server that knows.

    Raises StoreError.
    """
    client = connect(url)
    try:
        found = await primary_of(client, key)
    except NoPrimaryError as error:
        raise StoreError(f"the store cannot be used: {error}") from None
    except (RedisError, OSError) as error:
        raise NotReachedError(f"the store cannot be reached: {error}") from error
    finally:
        await client.aclose()
    if found is None:
        return url
    logger.debug("the journal is kept by %s, port %d", *found)
    return at_address(url, *found)


async def _follow(client: Redis, url: str, key: str) -> None:
    """Turn to the server that keeps this key by now. Raises StoreError."""
    fresh = connect(await find_primary(url, key))
    client.connection_pool, left = fresh.connection_pool, client.connection_pool
    await left.disconnect()


async def check_server(client: Redis) -> None:
    """Look whether somebody else's server can keep a journal.

    Raises StoreError, or warns where it cannot know.
    """
    try:
        server, persistence = await client.info("server"), await client.info("persistence")
        memory = await client.info("memory")
    except (RedisError, OSError) as error:
        raise NotReachedError(f"the store cannot be reached: {error}") from error
    version = tuple(int(part) for part in str(server["redis_version"]).split(".")[:2])
    if version < _OLDEST_VERSION:
        raise StoreError(
            f"the store is Redis {server['redis_version']}; it must be 6.2 or newer, or any Valkey"
        )
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        raise StoreError(
            f"the store's maxmemory-policy is {policy}: it may throw the journal away; use noeviction"
        )
    if not int(persistence.get("aof_enabled", 0)):
        logger.warning(
            "the store has no append-only file: results are acknowledged, but lost if the store restarts. "
            "Set appendonly yes"
        )
    await _warn_of_lazy_sync(client)


async def _warn_of_lazy_sync(client: Redis) -> None:
    with contextlib.suppress(RedisError):  # managed servers hide their configuration
        answer = await client.config_get("appendfsync")
        if answer.get("appendfsync") not in (None, "always"):
            logger.info(
                "the store syncs %s: if its machine dies, about a second of acknowledged results is lost",
                answer["appendfsync"],
            )
