"""What a W&B run's own file holds: read here, since W&B has no public reader for it.

The file is a log of records in LevelDB's format: 7 bytes of header, then blocks of 32 KiB with pieces of
records, each with a checksum (4 bytes), a length (2) and a kind (1: a whole, 2: first, 3: middle, 4: last).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from wandb.proto.wandb_internal_pb2 import Record

_HEADER, _BLOCK, _PIECE = 7, 32_768, 7
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def records(file: Path) -> Iterator[Record]:
    """The records of a file, in their order, up to one that was not written wholly."""
    for data in _whole(file.read_bytes()):
        record = Record()
        try:
            record.ParseFromString(data)
        except DecodeError:
            return
        yield record


def rows(file: Path) -> Iterator[dict[str, object]]:
    """The rows of history that a file holds, each with its "_step"."""
    for record in records(file):
        if record.HasField("history"):
            row = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            yield {**row, "_step": record.history.step.num}


def _whole(data: bytes) -> Iterator[bytes]:
    at, record = _HEADER, b""
    while at + _PIECE <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _PIECE:  # too little for another piece: the block ends in zeros
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        piece = data[at + _PIECE : at + _PIECE + length]
        if kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST) or len(piece) < length:
            return
        record = piece if kind in (_WHOLE, _FIRST) else record + piece
        if kind in (_WHOLE, _LAST):
            yield record
        at += _PIECE + length
