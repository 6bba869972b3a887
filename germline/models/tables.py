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
    """Refuse too many values, too many bytes of them, and lists, of which nobody knows how long they are.

    What the file says of each column's pieces is not asked for: where that is damaged, the library ends the
    process.
    """
    metadata, columns = file.metadata, list(map(file.schema.column, range(file.metadata.num_columns)))
    for column in columns:
        if column.max_repetition_level:
            raise TableError(
                f"a table has lists in {column.path[:100]!r}; allowed: numbers, texts, times and structures "
                "of them, and lists as JSON"
            )
    cells = metadata.num_rows * len(columns)
    if cells > MAX_CELLS:
        raise TableError(f"a table has {cells:,} cells; allowed: up to {MAX_CELLS:,}")
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    rows = [group.num_rows for group in groups]
    if min(rows, default=0) < 0 or sum(rows) != metadata.num_rows:  # room is made for as many as they say
        raise TableError(
            f"a table says that it has {metadata.num_rows:,} rows, and its pieces have {sum(rows):,}"
        )
    size = metadata.num_rows * sum(max(8, column.length) for column in columns)
    _check_size(max(size, sum(group.total_byte_size for group in groups)))


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
    return sum(map(_size, array.flatten())) if pa.types.is_struct(array.type) else int(array.nbytes)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise TableError(f"a table has {size:,} bytes, unpacked; allowed: up to {MAX_BYTES:,}")
