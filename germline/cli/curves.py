"""Curves of runs as rows and as files: CSV, JSON and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from germline.cli.errors import needs_extra
from germline.cli.files import write_whole
from germline.client import HistoryPoint

Row: TypeAlias = Mapping[str, str | int | float | None]
Axis = Literal["frames", "evaluations", "seconds"]
Quantity = Literal["champion", "median", "best"]

SUFFIXES = (".csv", ".json", ".parquet")
_QUANTILES = ("lowest", "quantile_10", "median", "quantile_90", "highest")


def rows_of(name: str, history: Sequence[HistoryPoint]) -> list[Row]:
    """A curve as rows, oldest first; what a point does not know is None."""
    return [
        {
            "experiment": name,
            "evaluations": point.evaluations,
            "frames": point.frames,
            "seconds": point.running_s,
            **dict.fromkeys(_QUANTILES),
            **dict(zip(_QUANTILES, point.fitness_quantiles, strict=False)),
            "champion_mean": point.champion_mean,
        }
        for point in history
    ]


def position(point: HistoryPoint, over: Axis) -> float:
    """Where a point stands."""
    return {"frames": point.frames, "evaluations": point.evaluations, "seconds": point.running_s}[over]


def value_of(point: HistoryPoint, quantity: Quantity) -> float | None:
    """What a point says of the champion's validated mean, or of the population."""
    if quantity == "champion":
        return point.champion_mean
    if len(point.fitness_quantiles) != len(_QUANTILES):
        return None
    return point.fitness_quantiles[{"median": 2, "best": 4}[quantity]]


def write_rows(rows: Sequence[Row], file: Path) -> None:
    """Write rows into a file, whole or not at all; its name's end says how."""
    write_whole(file, encoded(rows, file.suffix.lower()))


def encoded(rows: Sequence[Row], suffix: str) -> bytes:
    """Rows as the bytes of a .csv, .json or .parquet file. Raises CommandError without what Parquet needs."""
    if suffix == ".json":
        return (json.dumps(list(rows), indent=1) + "\n").encode()
    if suffix == ".parquet":
        return _parquet(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _parquet(rows: Sequence[Row]) -> bytes:
    with needs_extra("models"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    written = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), written)
    return written.getvalue()
