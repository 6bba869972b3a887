"""An archive as it stood at one moment, read column by column."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from germline.archive.files import ArchiveFiles, Part
from germline.archive.part import PartError, read_columns, read_head, read_numbers
from germline.archive.record import RECORD, Records

Column = NDArray[Any]

NUMBER = "number"
"""The column of the records' own numbers: they count an experiment's evaluations from 0."""

_PACKED = "packed"  # a part as it lies in its file


class ColumnCache:
    """Parts that were read, and their columns: the last used ones, up to so many bytes. Of any thread."""

    def __init__(self, max_bytes: int = 256 << 20) -> None:
        """Begin empty."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[int, str, str], Column] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, str, str], make: Callable[[], Column]) -> Column:
        """A column; made if it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        column = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = column
                self._bytes += column.nbytes
            while self._bytes > self._max_bytes and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return column


class Piece(Protocol):
    """Consecutive records of a view.

    Attributes:
        first: the first record number that it covers.
        end: the number behind the last.
    """

    first: int
    end: int

    def column(self, name: str) -> Column:
        """One column of all its records."""
        ...

    def derived(self, name: str, make: Callable[[], Column]) -> Column:
        """What was computed from the piece, kept where the piece never changes."""
        ...


class StoredPiece:
    """A part in a file. A Piece."""

    def __init__(self, files: ArchiveFiles, part: Part, cache: ColumnCache, first: int = 0) -> None:
        """Read nothing yet; what lies before `first` counts elsewhere."""
        self.first, self.end = max(part.first, first), part.end
        self._files, self._part, self._cache = files, part, cache

    def column(self, name: str) -> Column:
        """One column. Raises MovedError, DestinationError and PartError."""
        return self.derived(name, lambda: self._read(name))

    def derived(self, name: str, make: Callable[[], Column]) -> Column:
        """Kept in the cache."""
        return self._cache.get((self._files.token, f"{self._part.name} {self.first}", name), make)

    def _read(self, name: str) -> Column:
        if name == NUMBER and not self._part.level:
            return np.arange(self.first, self.end, dtype=np.int64)
        data = self._packed()
        head = read_head(data)
        is_whole = self._part.level or head.rows == head.end - head.first
        if (head.first, head.end) != (self._part.first, self._part.end) or not is_whole:
            raise PartError(
                f"{self._part.name} holds {head.rows:,} records of the numbers {head.first:,} to {head.end:,}"
            )
        column = read_numbers(data) if name == NUMBER else read_columns(data, [name])[name]
        if self.first == self._part.first:
            return column
        return column[np.searchsorted(read_numbers(data), self.first) :]

    def _packed(self) -> bytes:
        """The file, which is fetched once for all its columns: a bucket is far, and counts requests."""

        def fetch() -> Column:
            return np.frombuffer(self._files.read(self._part), np.uint8)

        return self._cache.get((self._files.token, self._part.name, _PACKED), fetch).tobytes()


class HeldPiece:
    """Records in memory that are not in a file yet. A Piece."""

    def __init__(self, first: int, records: Records) -> None:
        """Take records that follow each other, the first of this number."""
        self.first, self.end = first, first + len(records)
        self._records = records

    def column(self, name: str) -> Column:
        """One column."""
        if name == NUMBER:
            return np.arange(self.first, self.end, dtype=np.int64)
        return self._records[name]

    def derived(self, name: str, make: Callable[[], Column]) -> Column:
        """Computed at every look: there are few records."""
        return make()


class View:
    """Records in the order of their numbers, which count evaluations from 0; thinned ones have gaps.

    Attributes:
        pieces: what it is made of.
    """

    def __init__(self, pieces: Sequence[Piece], first: int = 0, end: int | None = None) -> None:
        """See the records with numbers from `first` up to, and without, `end`."""
        self._first = first
        self._end = end if end is not None else max((piece.end for piece in pieces), default=0)
        self.pieces = [piece for piece in pieces if piece.end > first and piece.first < self._end]

    @classmethod
    def of_files(cls, files: ArchiveFiles, cache: ColumnCache) -> View:
        """Everything that is in files."""
        return cls(stored_pieces(files, files.parts, cache))

    @property
    def end(self) -> int:
        """The number behind the last record."""
        return self._end

    def between(self, first: int, end: int) -> View:
        """Only the records with numbers from `first` up to, and without, `end`."""
        return View(self.pieces, max(first, self._first), min(end, self._end))

    def column(self, name: str) -> Column:
        """A column of all its records, `[N]`; ``behaviour`` is `[N, 8]`.

        Raises:
            MovedError: the archive has changed meanwhile; look again.
            DestinationError: it cannot be read now.
            PartError: it is damaged.
        """
        columns = [self._trimmed(piece, piece.column(name)) for piece in self.pieces]
        if not columns:
            return HeldPiece(0, _NOTHING).column(name)
        return columns[0] if len(columns) == 1 else np.concatenate(columns)

    def partly(self, name: str, make: Callable[[Piece | HeldRange], Column]) -> list[Column]:
        """What is computed of each piece by itself; kept of a piece that is seen whole and never changes."""
        found = []
        for piece in self.pieces:
            if self._first <= piece.first and piece.end <= self._end:
                found.append(piece.derived(name, partial(make, piece)))
            else:
                found.append(make(HeldRange(self, piece.first, piece.end)))
        return found

    def numbers(self) -> NDArray[np.int64]:
        """`[N]` the records' numbers."""
        return self.column(NUMBER).astype(np.int64, copy=False)

    def records(self) -> Records:
        """All columns together; of few records."""
        return self.at(np.arange(len(self.numbers())))

    def at(self, rows: NDArray[np.int64]) -> Records:
        """The records of these rows, in this order; quick for few of many."""
        found, offset = np.zeros(len(rows), RECORD), 0
        for piece in self.pieces:
            numbers = piece.column(NUMBER)
            low, high = np.searchsorted(numbers, (self._first, self._end))
            here = np.flatnonzero((rows >= offset) & (rows < offset + high - low))
            for name in RECORD.names or () if len(here) else ():
                found[name][here] = piece.column(name)[rows[here] - offset + low]
            offset += high - low
        return found

    def where(self, name: str, value: int) -> NDArray[np.int64]:
        """The rows in which a column of whole numbers has this value."""
        found, offset = [np.zeros(0, np.int64)], 0
        for piece in self.pieces:
            column = self._trimmed(piece, piece.column(name))
            found.append(np.flatnonzero(column == column.dtype.type(value)) + offset)
            offset += len(column)
        return np.concatenate(found)

    def _trimmed(self, piece: Piece, column: Column) -> Column:
        if self._first <= piece.first and piece.end <= self._end:
            return column
        low, high = np.searchsorted(piece.column(NUMBER), (self._first, self._end))
        return column[low:high]


class HeldRange:
    """Some records of a view together: what is computed of them is not kept."""

    def __init__(self, view: View, first: int, end: int) -> None:
        """See only these numbers."""
        self.first, self.end = first, end
        self._view = view.between(first, end)

    def column(self, name: str) -> Column:
        """One column."""
        return self._view.column(name)


def stored_pieces(files: ArchiveFiles, parts: Sequence[Part], cache: ColumnCache) -> list[StoredPiece]:
    """The pieces of these parts; where one reaches into the next, that begins behind it."""
    ends = [0, *(part.end for part in parts)]
    return [StoredPiece(files, part, cache, end) for part, end in zip(parts, ends, strict=False)]


_NOTHING: Records = np.zeros(0, RECORD)
