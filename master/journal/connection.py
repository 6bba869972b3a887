"""How a store's server is talked to."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as NoReplyError

_REPLY_S = 30.0


class StoreError(Exception):
    """The store cannot be used; the text says why and what to do."""


class NotReachedError(StoreError):
    """Nobody answers there, perhaps not yet."""


class _Client(Redis):
    """A client that bounds its commands with `asyncio.timeout`, instead of redis-py's `socket_timeout`.

    With that, redis-py writes under `asyncio.wait_for`. On Python 3.11 a `wait_for` that is cancelled in the
    very turn of the loop in which its write is done returns as if nothing had happened: the journal's task
    lives on, and a master that stops waits for it for ever.
    """

    async def execute_command(self, *args: object, **options: object) -> object:
        """Send a command and wait for its reply; raises redis-py's own TimeoutError if there is none."""
        try:
            async with asyncio.timeout(_REPLY_S):
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except TimeoutError:
            raise NoReplyError(f"no reply to {args[0]} within {_REPLY_S:g} s") from None


def connect(url: str) -> Redis:
    """A client that fails at once instead of trying again: the journal does that, and says so."""
    return _Client.from_url(
        url,
        socket_timeout=None,
        socket_connect_timeout=5.0,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
    )
