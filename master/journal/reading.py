"""One experiment as it comes back from the store: its newest snapshot, and the entries after it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from master.errors import JournalLostError
from master.experiments.events import Event
from master.journal.codec import EntryReader, Snapshot, read_snapshot
from master.journal.fenced import FencedStore

_ENTRIES_PER_READ = 64


async def newest_snapshot(store: FencedStore, number: int) -> Snapshot | None:
    """An experiment's newest snapshot; None before its first."""
    stored = await store.value(store.keys.snapshot(number))
    return read_snapshot(stored) if stored is not None else None


async def entries_after(
    store: FencedStore, number: int, after: int
) -> AsyncIterator[tuple[int, list[Event]]]:
    """Yield the entries after a position: (number of the entry, its events).

    Raises:
        JournalFormatError: this build cannot read one.
        JournalLostError: one is missing.
        StoreFailingError: the store does not answer.
    """
    reader = EntryReader()
    head = await store.head_of(number)
    while after < head:
        found = await store.entries(number, after + 1, _ENTRIES_PER_READ)
        if not found:
            raise _lost(number, after + 1, head)
        for position, data in found:
            if position != after + 1:
                raise _lost(number, after + 1, head)
            after = position
            yield position, list(reader.read(data))


def _lost(number: int, position: int, head: int) -> JournalLostError:
    return JournalLostError(f"experiment {number} misses its journal entry {position} of {head}")
