"""Values as they travel to a model and back: nothing, numbers, texts, tables, and what JSON has.

Bytes of strangers are read here, so each kind says how much there may be of it.
"""

from __future__ import annotations

import json
import struct
import sys
from typing import TYPE_CHECKING

import numpy as np

from germline.peers.model_runner_pb2 import (
    ARROW,
    DOUBLE,
    INT,
    JSON,
    NONE,
    PARQUET,
    STRING,
    Variant,
    VariantType,
)

if TYPE_CHECKING:
    import pandas as pd

_ALLOWED = "None, a number, a text, a list, a dictionary, a NumPy array or a table"


class VariantError(ValueError):
    """A value that cannot travel, or bytes that hold none; the sentence says why."""


def encode(value: object) -> Variant:
    """A value as a message. Raises VariantError for what no kind of value holds."""
    if value is None:
        return Variant(type=NONE)
    if isinstance(value, bool | int | np.integer | np.bool_):
        return Variant(type=INT, value=_whole(int(value)))
    if isinstance(value, float | np.floating):
        return Variant(type=DOUBLE, value=struct.pack("<d", float(value)))
    if isinstance(value, str):
        return Variant(type=STRING, value=_utf8(value))
    if _is_table(value):
        return Variant(type=PARQUET, value=_write_table(value))
    if isinstance(value, list | tuple | dict | np.ndarray):
        return Variant(type=JSON, value=_utf8(_json(value)))
    raise VariantError(f"a {type(value).__name__} cannot travel; allowed: {_ALLOWED}")


def decode(variant: Variant) -> object:
    """The value in a message; a table is a pandas DataFrame. Raises VariantError."""
    data = variant.value
    match variant.type:
        case VariantType.NONE:
            return None
        case VariantType.DOUBLE:
            _expect(len(data) == 8, f"a DOUBLE has 8 bytes, and not {len(data)}")
            (number,) = struct.unpack("<d", data)
            return float(number)
        case VariantType.INT:
            _expect(len(data) <= 8, f"an INT has up to 8 bytes, and not {len(data)}")
            return int.from_bytes(data, "little", signed=True)
        case VariantType.STRING:
            return _text(data)
        case VariantType.PARQUET:
            return _read_table(data)
        case VariantType.JSON:
            return _read_json(data)
    _expect(variant.type != ARROW, "an ARROW value can be read by nobody; allowed: PARQUET for a table")
    raise VariantError(f"the value's type is {variant.type}; allowed: 0 to 6, without 5")


def _expect(holds: bool, sentence: str) -> None:
    if not holds:
        raise VariantError(sentence)


def _whole(value: int) -> bytes:
    try:
        return value.to_bytes(8, "little", signed=True)
    except OverflowError:
        raise VariantError("a whole number is out of range; allowed: -2^63 to 2^63 - 1") from None


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise VariantError("a text holds half of a surrogate pair, which UTF-8 cannot write") from None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise VariantError(f"a text is not UTF-8: {error.reason} at byte {error.start}") from None


def _json(value: object) -> str:
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise VariantError(f"a {type(value).__name__} holds what JSON cannot: {error}") from None


def _plain(value: object) -> object:
    """What NumPy holds, as JSON has it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__}")


def _read_json(data: bytes) -> object:
    try:
        found: object = json.loads(_text(data))
    except (ValueError, RecursionError) as error:
        raise VariantError(f"a value is not JSON: {error}") from None
    return found


def _is_table(value: object) -> bool:
    """Whether it is a table; whoever has one has imported what makes it."""
    pandas, arrow = sys.modules.get("pandas"), sys.modules.get("pyarrow")
    return (pandas is not None and isinstance(value, pandas.DataFrame)) or (
        arrow is not None and isinstance(value, arrow.Table)
    )


def _write_table(value: object) -> bytes:
    with _Tables():
        from germline.models import tables  # noqa: PLC0415 - of an extra

        return tables.write(value)


def _read_table(data: bytes) -> pd.DataFrame:
    with _Tables():
        from germline.models import tables  # noqa: PLC0415 - of an extra

        try:
            return tables.read(data)
        except tables.TableError as error:
            raise VariantError(str(error)) from None


class _Tables:
    """Around what reads and writes tables: whatever that raises is one sentence."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, ModuleNotFoundError):
            raise VariantError(
                f"tables need {error.name}, which is not installed: pip install 'germline[models]'"
            ) from None
        if isinstance(error, Exception) and not isinstance(error, VariantError):
            raise VariantError(f"a table is not Parquet, or holds what it cannot: {error}") from None
