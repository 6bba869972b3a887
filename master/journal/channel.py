"""One experiment's end of the journal: what is queued, and when its next snapshot is due."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from master.experiments.events import Event
from master.journal.codec import EntryWriter, Snapshot

TakeSnapshot = Callable[[int], Snapshot]

_MAX_EVENTS_BETWEEN_SNAPSHOTS = 1_000_000
_SNAPSHOT_SHARE = 0.01  # of the time, at most: taking one stops the master for a moment


class Channel:
    """Cuts what is queued into numbered entries, and takes snapshots between two of them."""

    def __init__(
        self, number: int, name: str, head: int, take_snapshot: TakeSnapshot, wake: Callable[[], None]
    ) -> None:
        self.number = number
        self.name = name
        self.head = head
        self.take_snapshot = take_snapshot
        self.queued: list[Event] = []
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
