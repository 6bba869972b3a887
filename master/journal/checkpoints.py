"""Checkpoints: too large for journal entries, so they are kept beside them, each under its own key."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from master.errors import JournalLostError, StoreFailingError
from master.journal.keys import Keys


class Checkpoints:
    """The checkpoints of all experiments.

    Bound: in memory are those of experiments that are not over, two each at most (with Adam, a checkpoint is
    three times the float32 weights): late joiners get them, and a store that comes back empty is filled
    with them. Those of experiments that are over are released, and fetched when somebody asks.
    """

    def __init__(
        self,
        client: Redis,
        keys: Keys,
        stir: Callable[[], None],
        when_durable: Callable[[Callable[[], None]], None],
    ) -> None:
        """Hold nothing; `stir` has the journal take the changes, `when_durable` says when they are stored."""
        self._client = client
        self._keys = keys
        self._stir = stir
        self._when_durable = when_durable
        self._held: dict[str, bytes] = {}
        self._changed: dict[str, None] = {}  # keys, in the order in which they changed
        self._to_release: set[str] = set()

    def put(self, number: int, epoch: int, data: bytes) -> None:
        """Keep a checkpoint, and hold it: stored before what is written later."""
        key = self._keys.checkpoint(number, epoch)
        self._held[key] = data
        self._changed[key] = None
        self._stir()

    def held(self, number: int, epoch: int) -> bytes | None:
        """A checkpoint in memory; None if it was released."""
        return self._held.get(self._keys.checkpoint(number, epoch))

    def release(self, number: int, epoch: int) -> None:
        """Hold a checkpoint in memory only until it is stored."""
        key = self._keys.checkpoint(number, epoch)
        if key in self._held:
            self._to_release.add(key)
            self._when_durable(lambda: self._release(key))

    def forget(self, number: int, epoch: int) -> None:
        """Keep it no longer: deleted after what was written so far is stored."""
        key = self._keys.checkpoint(number, epoch)
        self._held.pop(key, None)
        self._changed[key] = None
        self._stir()

    def drop(self, number: int) -> None:
        """Hold nothing of an experiment any more; the journal deletes what is stored."""
        of_it = self._keys.of(number)
        for key in [key for key in (*self._held, *self._changed) if key.startswith(of_it)]:
            self._held.pop(key, None)
            self._changed.pop(key, None)

    async def hold(self, number: int, epochs: Iterable[int]) -> None:
        """Have released checkpoints, or those of before a restart, in memory again.

        Raises:
            JournalLostError: one is lost.
            StoreFailingError: the store does not answer.
        """
        found = {self._keys.checkpoint(number, epoch): await self.get(number, epoch) for epoch in epochs}
        self._held |= found
        self._to_release -= found.keys()

    async def get(self, number: int, epoch: int) -> bytes:
        """A checkpoint, wherever it is.

        Raises:
            JournalLostError: it is nowhere.
            StoreFailingError: the store does not answer.
        """
        try:
            return self.held(number, epoch) or await self._fetch(number, epoch)
        except (RedisError, OSError) as error:
            raise StoreFailingError(f"the store does not give the checkpoint: {error}") from None

    # For the journal

    def take_changes(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """What is to be stored before the entries of a commit, and what is to be deleted after them."""
        changed, self._changed = self._changed, {}
        new = {key: self._held[key] for key in changed if key in self._held}
        return new, dict.fromkeys((key for key in changed if key not in new), b"")

    def put_again(self) -> None:
        """The store has lost something: all that is held is to be stored again."""
        self._changed |= dict.fromkeys(self._held)
        self._stir()

    def _release(self, key: str) -> None:
        if key not in self._to_release:  # somebody wants it again
            return
        if key in self._changed:  # the store has lost it meanwhile
            self._when_durable(lambda: self._release(key))
        else:
            self._to_release.discard(key)
            self._held.pop(key, None)

    async def _fetch(self, number: int, epoch: int) -> bytes:
        found = await self._client.get(self._keys.checkpoint(number, epoch))
        if not isinstance(found, bytes):
            raise JournalLostError(f"experiment {number} misses its checkpoint of epoch {epoch}")
        return found
