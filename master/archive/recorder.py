"""An experiment's end of the archive: what happened to it, in memory until somebody takes it away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from germline.algorithms.base import Ask, JsonValue, Result
from germline.algorithms.slices import SliceAsk
from germline.archive.record import Records
from master.archive.records import count_of_slice, records_of, records_of_members, records_of_slice
from master.experiments.events import MembersTold, SetAside, Told

_AT_A_TIME = 1_024  # a millisecond's work: what waits holds whole results, a record is 80 bytes


class Batch(NamedTuple):
    """Records that follow each other, the first of this number."""

    first: int
    records: Records

    @property
    def end(self) -> int:
        """The number behind the last."""
        return self.first + len(self.records)

    def behind(self, number: int) -> Batch:
        """Only those from this number on."""
        skipped = max(0, number - self.first)
        return Batch(self.first + skipped, self.records[skipped:])


class Recorder:
    """Numbers the records of one experiment, from 0: the same live and when the journal is replayed.

    Attributes:
        is_kept: whether somebody will take the records; otherwise they are only counted.
    """

    def __init__(self) -> None:
        self.is_kept = False
        self._first = 0  # of the batches
        self._batches: list[Records] = []
        self._batched = 0
        self._asks: list[Ask] = []
        self._told: list[Told] = []

    @property
    def count(self) -> int:
        """Records so far."""
        return self._first + self._batched + len(self._asks)

    def note(self, piece: Ask | SliceAsk, told: Told) -> None:
        """An evaluation was accepted."""
        if not self.is_kept:
            self._batched += 1 if isinstance(piece, Ask) else count_of_slice(piece, told.result.returns)
        elif isinstance(piece, Ask):
            self._asks.append(piece)
            self._told.append(told)
            if len(self._asks) >= _AT_A_TIME:
                self._settle()
        else:
            self._add(records_of_slice(piece, told), count_of_slice(piece, told.result.returns))

    def note_aside(self, piece: Ask | SliceAsk, event: SetAside) -> None:
        """Work was set aside; of a slice, those members count that were scored."""
        if isinstance(piece, SliceAsk) and event.returns:
            self.note(piece, Told(Result(event.ticket, event.returns, 0, 0), 0, event.running_s))

    def note_members(self, event: MembersTold) -> None:
        """Members of an own population were evaluated."""
        records = records_of_members(event)
        self._add(records, len(records))

    @property
    def begin(self) -> int:
        """Number of the first record that was not taken yet."""
        return self._first

    def take(self) -> Batch:
        """Everything since the last time."""
        self._settle()
        batch = Batch(self._first, np.concatenate([_NOTHING, *self._batches]))
        self._first += self._batched
        self._batched = 0
        self._batches.clear()
        return batch

    def snapshot(self) -> dict[str, JsonValue]:
        """How many records there are: all of them are part of what is written down."""
        return {"records": self.count}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on behind what a snapshot counts; one of an earlier build counts evaluations."""
        self._first = int(snapshot.get("records", snapshot["evaluations"]))

    def _add(self, records: Records, count: int) -> None:
        self._settle()
        self._batched += count
        if self.is_kept:
            self._batches.append(records)

    def _settle(self) -> None:
        """Write down what waits as records."""
        asks, told = self._asks, self._told
        if not asks:
            return
        self._batched += len(asks)
        if self.is_kept:
            self._batches.append(records_of(asks, told))
        self._asks, self._told = [], []


_NOTHING = records_of([], [])
