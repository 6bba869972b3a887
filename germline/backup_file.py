"""Backups of experiments in one file: each with its name, its size and its digest.

A first line says what the file is. Each experiment follows as a line of JSON and its bytes; a last line says
how many there were, so that a file that was cut off is known for one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

HEADER = b"germline backup 1\n"
MAX_BYTES = 2**31 - 1  # of one experiment
_LONGEST_LINE = 4_096


class BackupError(ValueError):
    """A file that is no backup, or a damaged one; the text says which and why."""


class Backup(NamedTuple):
    """One experiment: its name, and what a master said of it."""

    name: str
    data: bytes


def write(file: IO[bytes], backups: Iterable[Backup]) -> int:
    """Write experiments one by one; return how many there were."""
    file.write(HEADER)
    count = 0
    for name, data in backups:
        _write_line(file, {"name": name, "bytes": len(data), "digest": digest(data)})
        file.write(data)
        count += 1
    _write_line(file, {"end": count})
    return count


def read(path: Path) -> Iterator[Backup]:
    """Yield the experiments of a file, each checked by its digest. Raises BackupError."""
    with path.open("rb") as file:
        if file.read(len(HEADER)) != HEADER:
            raise BackupError(f"{path} is no backup, or of a later build")
        count = 0
        while "end" not in (about := _read_line(path, file)):
            count += 1
            yield _read_one(path, file, about)
        if about["end"] != count or file.read(1):
            raise BackupError(f"{path} is damaged: it ends after {count} experiments, or behind its end")


def digest(data: bytes) -> str:
    """What bytes are checked by."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def _read_one(path: Path, file: IO[bytes], about: dict[str, object]) -> Backup:
    name, size = about.get("name"), about.get("bytes")
    if not isinstance(name, str) or not isinstance(size, int) or not 0 <= size <= MAX_BYTES:
        raise BackupError(f"{path} is damaged: {about} is no experiment's name and size")
    data = file.read(size)
    if digest(data) != about.get("digest"):
        raise BackupError(f"{path} is damaged: experiment {name} has not the digest that was noted")
    return Backup(name, data)


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
