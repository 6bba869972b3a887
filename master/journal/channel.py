"""One experiment's end of the journal: what is queued, what is stored, and when its next snapshot is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from master.experiments.events import Event
from master.journal.codec import EntryWriter, Snapshot
from master.journal.fenced import Entry

TakeSnapshot = Callable[[int], Snapshot]

_MAX_EVENTS_BETWEEN_SNAPSHOTS = 1_000_000
_SNAPSHOT_SHARE = 0.01  # of the time, at most: taking one stops the master for a moment
_FIRST_REST_S = 0.5
_LAST_REST_S = 60.0


class Channel:
    """Cuts what is queued into numbered entries, and takes snapshots between two of them.

    Attributes:
        head: position of the last entry.
        stored: position of the last one that is stored.
        outstanding: an entry that is cut and not stored yet.
        saved: position of the newest snapshot that is stored.
        must_refill: the store has lost some of it, or never had it, and gets a snapshot of the whole.
        trouble: why the store does not take it although it takes others'; empty if it does.
    """

    def __init__(
        self, number: int, name: str, head: int, take_snapshot: TakeSnapshot, wake: Callable[[], None]
    ) -> None:
        self.number = number
        self.name = name
        self.head = head
        self.take_snapshot = take_snapshot
        self.queued: list[Event] = []
        self.stored = head
        self.outstanding: Entry | None = None
        self.saved = -1
        self.saving = asyncio.Lock()  # held while a snapshot takes its place
        self.must_refill = False
        self.trouble = ""
        self.rests_until_s = 0.0
        self._rest_s = _FIRST_REST_S
        self._wake = wake
        self.writer = EntryWriter()
        self.events_since_snapshot = 0
        self.snapshot_time = monotonic()
        self.snapshot_cost_s = 0.0

    def write(self, event: Event) -> None:
        """Queue an event."""
        if not self.queued:
            self._wake()
        self.queued.append(event)

    @property
    def goal(self) -> int:
        """The position that will hold everything written so far."""
        return self.head + 1 if self.queued or self.must_refill else self.head

    @property
    def has_work(self) -> bool:
        """Whether something of it is to be stored."""
        return bool(self.queued or self.outstanding or self.must_refill)

    def cut(self) -> None:
        """Make an entry of what is queued, unless an earlier one is still to be stored."""
        if self.queued and self.outstanding is None and not self.must_refill:
            self.outstanding = Entry(self.number, self.head + 1, self.cut_entry())

    def settle(self) -> None:
        """All that was cut is stored."""
        self.stored, self.outstanding, self.must_refill = self.head, None, False
        self.trouble, self._rest_s = "", _FIRST_REST_S

    def rest(self, trouble: str) -> None:
        """The store takes others' entries and not this one's: try again later and later."""
        self.trouble = trouble
        self.rests_until_s = monotonic() + self._rest_s
        self._rest_s = min(2 * self._rest_s, _LAST_REST_S)

    def begin_refill(self) -> Snapshot:
        """Take the whole experiment, in place of everything that was written of it."""
        self.queued.clear()
        self.outstanding = None
        self.head += 1
        return self.cut_snapshot()

    def is_snapshot_due(self, interval_s: float) -> bool:
        """Whether a replay from the last snapshot would take long, or enough time has passed."""
        since_s = monotonic() - self.snapshot_time
        many = self.events_since_snapshot >= _MAX_EVENTS_BETWEEN_SNAPSHOTS
        affordable = self.snapshot_cost_s <= _SNAPSHOT_SHARE * since_s
        return self.events_since_snapshot > 0 and affordable and (many or since_s >= interval_s)

    def cut_entry(self) -> bytes:
        """Turn what is queued into the next entry."""
        events, self.queued = self.queued, []
        self.head += 1
        self.events_since_snapshot += len(events)
        return self.writer.write(events)

    def cut_snapshot(self) -> Snapshot:
        """Take the experiment as it stands; nothing may be queued."""
        self.writer.begin_anew()
        self.events_since_snapshot = 0
        self.snapshot_time = monotonic()
        snapshot = self.take_snapshot(self.head)
        self.snapshot_cost_s = monotonic() - self.snapshot_time
        return snapshot
