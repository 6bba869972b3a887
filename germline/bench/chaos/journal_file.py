"""Every journal entry that a store was ever given, from its own append-only file.

The journal's streams are trimmed behind each snapshot; the file, which a bench's store never rewrites, has
all of them in the order in which they became durable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from germline.v1 import journal_pb2

_STREAM = re.compile(rb".*:experiment:(\d+):entries$")
_NUMBER = re.compile(r"\.(\d+)\.incr\.aof$")


class Entry(NamedTuple):
    """One entry of one experiment's journal: the experiment's number, the entry's own, and what it holds."""

    experiment: int
    position: int
    events: tuple[journal_pb2.Event, ...]


class JournalFileError(ValueError):
    """The file is not what a server writes; the text says where."""


def entries(folder: Path) -> Iterator[Entry]:
    """Yield all entries in the order in which they were written."""
    files = sorted(folder.glob("appendonlydir/*.incr.aof"), key=_number)
    for file in files:
        with file.open("rb") as opened:
            for command in commands(opened):
                if command[0].upper() == b"XADD" and (stream := _STREAM.match(command[1])):
                    yield _entry(int(stream[1]), command)


def commands(file: IO[bytes]) -> Iterator[list[bytes]]:
    """Yield the commands of a file in the server's own protocol; one that was cut off is left out."""
    while (line := file.readline()).endswith(b"\n"):
        if line.startswith(b"#"):
            continue
        count = _length(line, b"*")
        words = [_word(file) for _ in range(count)]
        whole = [word for word in words if word is not None]
        if len(whole) < count:
            return
        yield whole


def _word(file: IO[bytes]) -> bytes | None:
    line = file.readline()
    if not line.endswith(b"\n"):
        return None
    length = _length(line, b"$")
    word = file.read(length + 2)
    return word[:-2] if len(word) == length + 2 else None


def _length(line: bytes, mark: bytes) -> int:
    if not line.startswith(mark) or not line[1:].strip().isdigit():
        raise JournalFileError(f"{line[:40]!r} stands where {mark.decode()} and a length should")
    return int(line[1:])


def _entry(experiment: int, command: list[bytes]) -> Entry:
    """XADD stream position-0 entry BYTES, and for a large one entry:2 BYTES ..."""
    encoded = b"".join(command[4::2])
    position = int(command[2].partition(b"-")[0])
    return Entry(experiment, position, tuple(journal_pb2.JournalEntry.FromString(encoded).events))


def _number(file: Path) -> int:
    found = _NUMBER.search(file.name)
    return int(found[1]) if found else 0
