"""An experiment's archive as files: parts that are written once, named by the record numbers that they cover.

``0000000065536-0000000131072-0-1f2e3d4c.part`` holds the numbers 65,536 up to, and without, 131,072, thinned
0 times, by the writer 1f2e3d4c (files of earlier builds name none). A part that covers others takes their
place: it is written before they are deleted, so whoever is interrupted leaves both, and the wider one counts.

Several writers, one after the other: an earlier one may still be at work for a while, as a request to an
object store can be underway for long. It writes the same records under the same numbers; and as names tell
writers apart, it deletes no file that a later one wrote, only what the wider files cover that it left.
"""

from __future__ import annotations

import itertools
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from germline.archive import part as layout
from germline.archive.part import read_records, write_part
from germline.archive.record import Records
from germline.destinations import Destination, DestinationError

_NAME = re.compile(r"(\d{13})-(\d{13})-(\d{1,2})(?:-([0-9a-f]{8}))?\.part")
_ABOUT = "about.json"
_TOKENS = itertools.count()


class Part(NamedTuple):
    """A file of an archive.

    Attributes:
        first: the first record number that it covers.
        end: the number behind the last.
        level: how often it was thinned; each time, about every other record went.
        size: its bytes.
        writer: who wrote it, 8 hexadecimal digits; empty in files of earlier builds.
    """

    first: int
    end: int
    level: int
    size: int
    writer: str

    @property
    def is_full(self) -> bool:
        """Whether nothing will be added to it."""
        return self.end % layout.ROWS == 0

    @property
    def name(self) -> str:
        """Of the file."""
        writer = f"-{self.writer}" if self.writer else ""
        return f"{self.first:013d}-{self.end:013d}-{self.level}{writer}.part"


class MovedError(DestinationError):
    """A part is not there any more: others have taken its place."""


class NotOwnedError(DestinationError):
    """Nothing may be deleted here any more."""


@dataclass(frozen=True, slots=True)
class About:
    """Whose archive a folder holds, for those who find it without a master.

    Attributes:
        experiment: its name.
        created: seconds since 1970.
    """

    experiment: str
    created: float


class ArchiveFiles:
    """The files of one experiment at a destination. Whatever it does waits for that; one thread at a time.

    Only the owner of an archive may delete: what was listed or written while it owned it. It may lose the
    archive at any moment, so it is asked before each file.

    Attributes:
        folder: of the experiment.
        token: tells these files from all others that this process has looked at.
        parts: what counts, in the order of their numbers; replaced, never changed.
    """

    def __init__(
        self, destination: Destination, folder: str, may_delete: Callable[[], bool] = lambda: True
    ) -> None:
        """Look at nothing yet."""
        self._destination = destination
        self._may_delete = may_delete
        self._writer = secrets.token_hex(4)
        self.folder = folder
        self.token = next(_TOKENS)
        self.parts: tuple[Part, ...] = ()
        self._superseded: set[Part] = set()

    def open(self) -> None:
        """See what is there. Raises DestinationError."""
        found = (_parse(name, size) for name, size in self._destination.sizes(self.folder).items())
        parts = {part for part in found if part is not None}
        self.parts = valid(parts)
        self._superseded = parts - set(self.parts)

    def read(self, part: Part) -> bytes:
        """A part's bytes. Raises MovedError, DestinationError."""
        data = self._destination.read(self._path(part.name))
        if data is None:
            raise MovedError(f"{self._path(part.name)} is not there any more")
        return data

    def write(
        self, first: int, end: int, numbers: NDArray[np.int64], records: Records, level: int = 0
    ) -> None:
        """Add a part, in place of those whose numbers it covers. Raises DestinationError."""
        part = self._put(first, end, numbers, records, level)
        covered = {each for each in self.parts if first <= each.first and each.end <= end}
        self.parts = valid([*(each for each in self.parts if each not in covered), part])
        self._superseded |= {each for each in covered if each.name != part.name}

    def sweep(self) -> None:
        """Delete the files whose place others have taken. Raises DestinationError."""
        for part in list(self._superseded):
            self._delete(part.name)
            self._superseded.discard(part)

    def cut(self, end: int) -> None:
        """Forget every record from this number on. Raises DestinationError, and PartError for damage."""
        for part in [part for part in self.parts if part.end > end]:
            others = [each for each in self.parts if each != part]
            if part.first < end:
                numbers, records = read_records(self.read(part))
                kept = numbers < end
                others.append(self._put(part.first, end, numbers[kept], records[kept], part.level))
            self._delete(part.name)
            self.parts = valid(others)
        self.sweep()

    def drop(self, part: Part) -> None:
        """Forget a part. Raises DestinationError."""
        self._delete(part.name)
        self.parts = tuple(each for each in self.parts if each != part)

    def delete(self) -> None:
        """Forget everything, about whom it was, too. Raises DestinationError."""
        for name in self._destination.sizes(self.folder):
            self._delete(name)
        self.parts = ()

    def introduce(self, about: About) -> None:
        """Write down whose archive it is. Raises DestinationError."""
        if self._destination.read(self._path(_ABOUT)) is None:
            data = json.dumps({"experiment": about.experiment, "created": about.created})
            self._destination.write(self._path(_ABOUT), data.encode())

    def _put(self, first: int, end: int, numbers: NDArray[np.int64], records: Records, level: int) -> Part:
        data = write_part(first, end, numbers, records)
        part = Part(first, end, level, len(data), self._writer)
        self._destination.write(self._path(part.name), data)
        self._superseded = {each for each in self._superseded if each.name != part.name}
        return part

    def _delete(self, name: str) -> None:
        if not self._may_delete():
            raise NotOwnedError(f"{self._path(name)} is not deleted: the archive has another owner by now")
        self._destination.delete(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}"


def valid(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Those parts that count, in order: all but what lies inside of another, or was thinned less often.

    One may reach into the next; then the numbers that both cover count in the first of them.
    """
    chosen: list[Part] = []
    for part in sorted(parts, key=lambda each: (each.first, -each.end, -each.level, each.writer)):
        if not chosen or part.end > chosen[-1].end:
            chosen.append(part)
    return tuple(chosen)


def archives_in(folder: Path) -> Iterator[tuple[About, str]]:
    """The archives in a folder: whose each is, and the name of its own folder."""
    for file in sorted(folder.glob(f"*/{_ABOUT}")):
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            yield About(str(fields["experiment"]), float(fields["created"])), file.parent.name
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise DestinationError(f"{file} cannot be read: {error}") from None


def block_of(number: int) -> int:
    """The first number of the full part that will cover this one."""
    return number // layout.ROWS * layout.ROWS


def _parse(name: str, size: int) -> Part | None:
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    first, end, level = map(int, found.groups()[:3])
    return Part(first, end, level, size, found[4] or "") if first < end <= first + layout.ROWS else None
