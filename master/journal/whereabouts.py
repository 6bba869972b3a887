"""Which server keeps the journal, behind the URL of one that knows: a cluster's node, a replica, a Sentinel.

All keys of a journal lie in one slot, so of a cluster only that slot's primary matters. It is looked for when
a master starts, and again whenever the one that was found does not answer, or takes no writes any more.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from redis.asyncio import Redis
from redis.exceptions import AskError, ClusterDownError, ReadOnlyError, ResponseError


class NoPrimaryError(Exception):
    """Whoever was asked does not know a server that could keep the journal; the text says why."""


def may_be_elsewhere(error: Exception) -> bool:
    """Whether this trouble may be because another server keeps the journal by now."""
    return not isinstance(error, ResponseError) or isinstance(
        error,
        ReadOnlyError | AskError | ClusterDownError,  # MOVED and MASTERDOWN are such, too
    )


async def primary_of(client: Redis, key: str) -> tuple[str, int] | None:
    """Host and port of the server that keeps this key; None if it is the one that was asked.

    Raises:
        NoPrimaryError: there is none, or more than one.
        RedisError: no answer.
    """
    known = await client.info()
    if known.get("redis_mode") == "sentinel" or known.get("server_mode") == "sentinel":
        return await _of_sentinel(client)
    if known.get("cluster_enabled"):
        return await _of_cluster(client, key)
    if known.get("role") == "slave":
        return str(known["master_host"]), int(known["master_port"])
    return None


async def _ask(client: Redis, *words: str) -> object:
    """The answer as it comes: a command in one word would be read, and differently by each redis-py."""
    answer: object = await client.execute_command(*words)  # type: ignore[no-untyped-call]
    return answer


async def _of_sentinel(client: Redis) -> tuple[str, int]:
    watched = await client.execute_command("SENTINEL MASTERS")  # type: ignore[no-untyped-call]
    found = list(watched.values()) if isinstance(watched, dict) else list(watched)
    if len(found) != 1:
        raise NoPrimaryError(
            f"the Sentinel watches {len(found)} servers; allowed: one. Give that server's URL"
        )
    return str(found[0]["ip"]), int(found[0]["port"])


async def _of_cluster(client: Redis, key: str) -> tuple[str, int] | None:
    slot = int(await _ask(client, "CLUSTER", "KEYSLOT", key))  # type: ignore[call-overload]
    for first, last, primary, *_ in await _ask(client, "CLUSTER", "SLOTS"):  # type: ignore[attr-defined]
        if first <= slot <= last:
            host = primary[0].decode() if primary[0] else ""
            return (host, int(primary[1])) if host else None
    raise NoPrimaryError(f"the cluster has nobody for slot {slot}, in which the journal's keys lie")


def at_address(url: str, host: str, port: int) -> str:
    """The same URL for another server: with its user, password, database and encryption."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    place = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(netloc=f"{user}{at}{place}:{port}"))
