"""A part of an archive as bytes: consecutive records, column by column, each packed by itself.

Layout, little-endian. The head: magic ``GLARCHIV``, uint32 format version, uint32 rows, uint64 first and
uint64 end (the record numbers it covers), uint32 columns. Then for each column: uint8 length of its name,
the name in ASCII, uint8 how it is packed (0 as it is, 1 zlib), uint64 packed bytes, uint32 CRC-32 of these.
Then the uint32 CRC-32 of all this, and the packed columns in that order. A column is its rows one after the
other as :data:`germline.archive.record.RECORD` writes them; the column ``skipped`` (uint32) says how many
record numbers lie unused before each row, because a thinning took them out. Readers skip columns that they
do not know.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from germline.archive.record import RECORD, Records

FORMAT_VERSION: Final = 1
ROWS = 65_536
"""Record numbers in a full part."""
SKIPPED: Final = "skipped"

_MAGIC: Final = b"GLARCHIV"
_HEAD = struct.Struct("<8sIIQQI")
_NAME = struct.Struct("<B")
_COLUMN = struct.Struct("<BQI")
_CRC = struct.Struct("<I")
_PLAIN, _ZLIB = 0, 1
_LEVEL: Final = 1  # higher ones take twice as long for a hundredth less
_TRIED: Final = 16_384  # bytes of a column that say whether packing pays
_PAYS: Final = 0.9
_LARGEST: Final = 2**62  # a record number, so that they can be added up
_NAMES: Final = tuple(RECORD.names or ())


class PartError(Exception):
    """The bytes are no part of an archive that this build can read."""


class Head(NamedTuple):
    """What a part says of itself.

    Attributes:
        first: the first record number that it covers.
        end: the number behind the last.
        rows: how many records it holds; fewer than numbers where it was thinned.
        columns: how each is packed, its place in the bytes, packed size and CRC-32, by name.
    """

    first: int
    end: int
    rows: int
    columns: dict[str, tuple[int, int, int, int]]


def write_part(first: int, end: int, numbers: NDArray[np.int64], records: Records) -> bytes:
    """Records as bytes.

    Args:
        first: the first record number that is covered.
        end: the number behind the last.
        numbers: `[N]` the number of each record, rising, within these.
        records: `[N]`.
    """
    before = np.concatenate(([first - 1], numbers[:-1]))
    columns = {SKIPPED: (numbers - before - 1).astype("<u4").tobytes()}
    columns |= {name: np.ascontiguousarray(records[name]).tobytes() for name in _NAMES}
    packed = {name: _pack(data) for name, data in columns.items()}
    parts = [_HEAD.pack(_MAGIC, FORMAT_VERSION, len(records), first, end, len(packed))]
    for name, (how, data) in packed.items():
        parts += [_NAME.pack(len(name)), name.encode(), _COLUMN.pack(how, len(data), zlib.crc32(data))]
    head = b"".join(parts)
    return b"".join([head, _CRC.pack(zlib.crc32(head)), *(data for _, data in packed.values())])


def _pack(data: bytes) -> tuple[int, bytes]:
    """How a column is packed, and it.

    Ids and seeds are as good as random: zlib's time is wasted on them.
    """
    tried = data[:_TRIED]
    if len(zlib.compress(tried, _LEVEL)) > _PAYS * len(tried):
        return _PLAIN, data
    return _ZLIB, zlib.compress(data, _LEVEL)


def read_head(data: bytes) -> Head:
    """What a part says of itself. Raises PartError."""
    try:
        magic, version, rows, first, end, count = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise PartError(f"it begins with {magic!r}, not {_MAGIC!r}")
        if version != FORMAT_VERSION:
            raise PartError(f"it is of format version {version}; this build reads {FORMAT_VERSION}")
        found, at = [], _HEAD.size
        for _ in range(count):
            (length,) = _NAME.unpack_from(data, at)
            name = data[at + 1 : at + 1 + length].decode("ascii")
            found.append((name, *_COLUMN.unpack_from(data, at + 1 + length)))
            at += 1 + length + _COLUMN.size
        if _CRC.unpack_from(data, at)[0] != zlib.crc32(data[:at]):
            raise PartError("its head is damaged: the check sum does not fit")
    except (struct.error, UnicodeDecodeError) as error:
        raise PartError(f"its head is damaged: {error}") from None
    if not (rows <= end - first <= ROWS and end <= _LARGEST):
        raise PartError(f"it holds {rows:,} records for the numbers {first:,} to {end:,}")
    columns, at = {}, at + _CRC.size
    for name, how, size, crc in found:
        columns[name], at = (how, at, size, crc), at + size
    return Head(first, end, rows, columns)


def read_columns(data: bytes, names: Iterable[str]) -> dict[str, NDArray[np.generic]]:
    """Columns of a part, `[rows]` each and ``behaviour`` `[rows, 8]`; all zeros where it lacks one.

    Raises:
        PartError: one is damaged.
    """
    head = read_head(data)
    return {name: _read_column(data, head, name) for name in names}


def read_records(data: bytes) -> tuple[NDArray[np.int64], Records]:
    """The numbers of a part's records, and these. Raises PartError."""
    columns = read_columns(data, _NAMES)
    records = np.zeros(read_head(data).rows, RECORD)
    for name, column in columns.items():
        records[name] = column
    return read_numbers(data), records


def read_numbers(data: bytes) -> NDArray[np.int64]:
    """`[rows]` the number of each record of a part. Raises PartError."""
    head = read_head(data)
    skipped = _read_column(data, head, SKIPPED).astype(np.int64)
    numbers: NDArray[np.int64] = head.first - 1 + np.cumsum(skipped + 1)
    if head.rows and numbers[-1] >= head.end:
        raise PartError(f"its last record has the number {numbers[-1]:,}, and it ends before {head.end:,}")
    return numbers


def _read_column(data: bytes, head: Head, name: str) -> NDArray[np.generic]:
    base, shape = (np.dtype("<u4"), ()) if name == SKIPPED else _shape(name)
    if name not in head.columns:
        return np.zeros((head.rows, *shape), base)
    how, at, size, crc = head.columns[name]
    packed, wanted = data[at : at + size], head.rows * int(np.prod(shape, dtype=int)) * base.itemsize
    if len(packed) != size or zlib.crc32(packed) != crc:
        raise PartError(f"its column {name!r} is damaged")
    try:
        raw = zlib.decompressobj().decompress(packed, wanted + 1) if how == _ZLIB else packed
    except zlib.error as error:
        raise PartError(f"its column {name!r} cannot be unpacked: {error}") from None
    if len(raw) != wanted or how not in (_PLAIN, _ZLIB):
        raise PartError(f"its column {name!r} has {len(raw):,} bytes for {head.rows:,} records")
    return np.frombuffer(raw, base).reshape((head.rows, *shape))


def _shape(name: str) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
    column = RECORD.fields[name][0] if RECORD.fields else RECORD
    return column.base, column.shape
