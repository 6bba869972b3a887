"""Checkpoints: too large for journal entries, so they are kept beside them, each under its own key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial

from master.errors import JournalLostError, StoreFailingError
from master.journal.fenced import FencedStore
from master.journal.values import Values

WhenDurable = Callable[[Callable[[], None], Collection[int]], None]


class Checkpoints:
    """The checkpoints of all experiments.

    Bound: in memory are those of experiments that are not over, two each at most (with Adam, a checkpoint is
    three times the float32 weights): late joiners get them, and a store that comes back empty is filled
    with them. Those of experiments that are over are released, and fetched when somebody asks.
    """

    def __init__(self, store: FencedStore, values: Values, when_durable: WhenDurable) -> None:
        """Hold nothing; `when_durable` calls back when what these experiments wrote is stored."""
        self._store = store
        self._values = values
        self._when_durable = when_durable
        self._held: dict[str, bytes] = {}
        self._to_release: set[str] = set()

    def put(self, number: int, epoch: int, data: bytes, then: Callable[[], None] = lambda: None) -> None:
        """Hold a checkpoint and store it; only `then` may anything be written that relies on it."""
        key = self._store.keys.checkpoint(number, epoch)
        self._held[key] = data
        self._put(key, number, then)

    def held(self, number: int, epoch: int) -> bytes | None:
        """A checkpoint in memory; None if it was released."""
        return self._held.get(self._store.keys.checkpoint(number, epoch))

    def release(self, number: int, epoch: int) -> None:
        """Hold a checkpoint in memory only until it is stored."""
        key = self._store.keys.checkpoint(number, epoch)
        if key in self._held:
            self._to_release.add(key)
            self._release(key)

    def forget(self, number: int, epoch: int) -> None:
        """Keep it no longer: deleted after what was written so far is stored."""
        key = self._store.keys.checkpoint(number, epoch)
        self._held.pop(key, None)
        self._when_durable(partial(self._values.forget, key, number), (number,))

    def drop(self, number: int) -> None:
        """Hold nothing of an experiment any more; the journal deletes what is stored."""
        for key in [key for key in self._held if key.startswith(self._store.keys.of(number))]:
            del self._held[key]

    async def hold(self, number: int, epochs: Iterable[int]) -> None:
        """Have released checkpoints, or those of before a restart, in memory again.

        Raises:
            JournalLostError: one is lost.
            StoreFailingError: the store does not answer.
        """
        keys = {epoch: self._store.keys.checkpoint(number, epoch) for epoch in epochs}
        found = {key: await self.get(number, epoch) for epoch, key in keys.items()}
        self._held |= found
        self._to_release -= found.keys()

    async def get(self, number: int, epoch: int) -> bytes:
        """A checkpoint, wherever it is.

        Raises:
            JournalLostError: it is nowhere.
            StoreFailingError: the store does not answer.
        """
        found = self.held(number, epoch)
        if found is None:
            try:
                found = await self._store.value(self._store.keys.checkpoint(number, epoch))
            except StoreFailingError as error:
                raise StoreFailingError(f"the store does not give the checkpoint: {error}") from None
        if found is None:
            raise JournalLostError(f"experiment {number} misses its checkpoint of epoch {epoch}")
        return found

    async def sweep(self, kept: Collection[tuple[int, int]], others: Collection[int]) -> None:
        """Delete what is stored and not kept, of all experiments but these others: crashes left it behind."""
        prefix = self._store.keys.experiments
        wanted = {self._store.keys.checkpoint(number, epoch) for number, epoch in kept}
        found = [key async for key in self._store.keys_like(prefix, ":checkpoint:") if key not in wanted]
        for key in found:
            if int(key.removeprefix(prefix).partition(":")[0]) not in others:
                await self._store.drop(key)

    def put_again(self) -> None:
        """The store has lost something: all that is held is to be stored again."""
        for key in self._held:
            number = int(key.removeprefix(self._store.keys.experiments).partition(":")[0])
            if not self._values.is_storing(key):
                self._put(key, number, lambda: None)

    def _put(self, key: str, number: int, then: Callable[[], None]) -> None:
        def stored() -> None:
            then()
            self._release(key)

        what = f"checkpoint of epoch {key.rpartition(':')[2]}"
        data = self._held[key]
        self._values.put(key, number, what, lambda: data, partial(self._store.keep, key), stored)

    def _release(self, key: str) -> None:
        """Let go of a checkpoint that is stored, unless somebody wants it again."""
        if key in self._to_release and not self._values.is_storing(key):
            self._to_release.discard(key)
            self._held.pop(key, None)
