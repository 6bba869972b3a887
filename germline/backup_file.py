"""Backups of experiments in one file: each with its name, its size and its digest, and its archive behind it.

A first line says what the file is. Each experiment follows as a line of JSON and its bytes, each part of its
archive in the same manner; a last line says how many experiments there were, so that a file that was cut off
is known for one. A file without archives says that it is of version 1, which earlier builds read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

_HEADERS = {False: b"germline backup 1\n", True: b"germline backup 2\n"}
MAX_BYTES = 2**31 - 1  # of one experiment
_LONGEST_LINE = 4_096
_AT_A_TIME = 1 << 20


class BackupError(ValueError):
    """A file that is no backup, or a damaged one; the text says which and why."""


class Backup(NamedTuple):
    """One experiment, or a part of its archive.

    Attributes:
        name: the experiment's.
        data: what a master said of it.
        is_archive: whether that is a part of the archive of the experiment before it.
    """

    name: str
    data: bytes
    is_archive: bool = False


class Place(NamedTuple):
    """Where a file holds an experiment, or a part of its archive: from which byte on, and how many."""

    name: str
    is_archive: bool
    at: int
    size: int
    digest: str


def write(file: IO[bytes], backups: Iterable[Backup], *, with_archives: bool = False) -> int:
    """Write experiments one by one, their archives behind them; return how many experiments there were."""
    file.write(_HEADERS[with_archives])
    count = 0
    for name, data, is_archive in backups:
        about = {"archive" if is_archive else "name": name, "bytes": len(data), "digest": digest(data)}
        _write_line(file, about)
        file.write(data)
        count += not is_archive
    _write_line(file, {"end": count})
    return count


def read(path: Path) -> Iterator[Backup]:
    """Yield what a file holds, each checked by its digest. Raises BackupError."""
    for place in places(path):
        yield Backup(place.name, load(path, place), place.is_archive)


def places(path: Path) -> Iterator[Place]:
    """Yield where a file holds what, each checked by its digest, and never much of it in memory.

    Raises BackupError.
    """
    with path.open("rb") as file:
        if file.readline(_LONGEST_LINE) not in _HEADERS.values():
            raise BackupError(f"{path} is no backup, or of a later build")
        count, name = 0, None
        while "end" not in (about := _read_line(path, file)):
            place = _place(path, file, about, name)
            count, name = count + (not place.is_archive), place.name
            yield place
        if about["end"] != count or file.read(1):
            raise BackupError(f"{path} is damaged: it ends after {count} experiments, or behind its end")


def load(path: Path, place: Place) -> bytes:
    """What a file holds there. Raises BackupError if that has changed meanwhile."""
    with path.open("rb") as file:
        file.seek(place.at)
        data = file.read(place.size)
    if digest(data) != place.digest:
        raise BackupError(f"{path} has changed while it was read")
    return data


def digest(data: bytes) -> str:
    """What bytes are checked by."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def _place(path: Path, file: IO[bytes], about: dict[str, object], before: str | None) -> Place:
    """Where what a line announces lies; behind the name of the experiment before it."""
    is_archive = "archive" in about
    name, size = about.get("archive" if is_archive else "name"), about.get("bytes")
    if not isinstance(name, str) or not isinstance(size, int) or not 0 <= size <= MAX_BYTES:
        raise BackupError(f"{path} is damaged: {about} is no experiment's name and size")
    if is_archive and name != before:
        raise BackupError(f"{path} is damaged: an archive of {name} follows experiment {before}")
    at, found, left = file.tell(), hashlib.blake2b(digest_size=32), size
    while left and (data := file.read(min(left, _AT_A_TIME))):
        found.update(data)
        left -= len(data)
    if found.hexdigest() != about.get("digest"):
        raise BackupError(f"{path} is damaged: experiment {name} has not the digest that was noted")
    return Place(name, is_archive, at, size, found.hexdigest())


def _write_line(file: IO[bytes], value: dict[str, object]) -> None:
    file.write(json.dumps(value).encode() + b"\n")


def _read_line(path: Path, file: IO[bytes]) -> dict[str, object]:
    line = file.readline(_LONGEST_LINE)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not line.endswith(b"\n") or not isinstance(value, dict):
        raise BackupError(f"{path} is damaged, or cut off")
    return value
