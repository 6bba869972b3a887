"""Tables as they travel, in Parquet: few bytes may stand for very many, which are counted first.

Imported by: only what reads and writes values.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

if TYPE_CHECKING:
    import pandas as pd

MAX_CELLS = 20_000_000
"""Of one table; Parquet packs a million equal ones into a few bytes."""
MAX_BYTES = 1 << 29
"""Of one table, unpacked."""


class TableError(ValueError):
    """A table that is too large; the sentence says what is allowed."""


def write(value: pa.Table | pd.DataFrame) -> bytes:
    """A table as Parquet."""
    table = value if isinstance(value, pa.Table) else pa.Table.from_pandas(value)
    into = io.BytesIO()
    parquet.write_table(table, into)
    return into.getvalue()


def read(data: bytes) -> pd.DataFrame:
    """A table of Parquet. Raises TableError, and whatever the library raises for what is none."""
    file = parquet.ParquetFile(pa.BufferReader(data))
    _check_cells(file)
    _check_texts(data, file)
    return file.read(use_threads=False).to_pandas()


def _check_cells(file: parquet.ParquetFile) -> None:
    """Refuse too many values, those inside of lists counted, and too many bytes of them."""
    metadata = file.metadata
    cells, leaves, size = metadata.num_rows * metadata.num_columns, 0, 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for place in range(metadata.num_columns):
            column, length = group.column(place), max(8, file.schema.column(place).length)
            leaves += column.num_values
            size += max(column.num_values * length, column.total_uncompressed_size)
    if max(cells, leaves) > MAX_CELLS:
        raise TableError(f"a table has {max(cells, leaves):,} cells; allowed: up to {MAX_CELLS:,}")
    _check_size(size)


def _check_texts(data: bytes, file: parquet.ParquetFile) -> None:
    """Refuse texts that are short in the file because they are all the same: they are not, once unpacked."""
    columns = [file.schema.column(place) for place in range(file.metadata.num_columns)]
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    if not texts:
        return
    size = 0
    packed = parquet.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
    for batch in packed.iter_batches(use_threads=False):
        size += sum(map(_size, batch.columns))
        _check_size(size)


def _size(array: pa.Array) -> int:
    """Bytes of an array without its dictionaries' help."""
    if pa.types.is_dictionary(array.type):
        lengths = pc.binary_length(array.dictionary).cast(pa.int64())
        return int(pc.sum(lengths.take(array.indices)).as_py() or 0)
    if pa.types.is_struct(array.type):
        return sum(map(_size, array.flatten()))
    if pa.types.is_map(array.type):
        return _size(array.keys) + _size(array.items)
    return _size(array.flatten()) if pa.types.is_nested(array.type) else int(array.nbytes)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise TableError(f"a table has {size:,} bytes, unpacked; allowed: up to {MAX_BYTES:,}")
