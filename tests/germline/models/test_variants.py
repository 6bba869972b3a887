"""Values travel as the protocol's own bytes, and bytes of strangers are read or refused by name."""

import math
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.models import tables
from germline.models.variants import VariantError, decode, encode
from germline.peers.model_runner_pb2 import ARROW, DOUBLE, INT, JSON, NONE, PARQUET, STRING, Variant

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (-5, "10021a08fbffffffffffffff"),
        (1.5, "10011a08000000000000f83f"),
        ("ä", "10031a02c3a4"),
        ([1, None], "10061a095b312c206e756c6c5d"),
        (None, ""),
    ],
)
def test_bytes_are_those_of_the_protocol(value: object, written: str) -> None:
    assert encode(value).SerializeToString().hex() == written


@given(values)
def test_what_was_written_is_read_again(value: Any) -> None:
    assert decode(encode(value)) == value


def test_numbers_of_numpy_are_numbers() -> None:
    assert decode(encode(np.int64(3))) == 3
    assert decode(encode(np.float32(0.5))) == 0.5
    assert encode(np.float64(0.5)).type == DOUBLE
    assert encode(True).type == INT
    assert decode(encode(np.array([[1, 2]], np.uint8))) == [[1, 2]]
    assert decode(encode({"a": np.float32(0.5), "b": (1,)})) == {"a": 0.5, "b": [1]}


def test_a_table_keeps_its_columns_and_its_index() -> None:
    table = pd.DataFrame({"a": [1.5, math.nan], "b": ["x", None]}, index=pd.Index(["p", "q"], name="who"))
    found = decode(encode(table))
    assert isinstance(found, pd.DataFrame)
    pd.testing.assert_frame_equal(found, table)
    assert encode(pa.table({"a": [1]})).type == PARQUET


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (2**63, "out of range; allowed: -2\\^63"),
        (object(), "a object cannot travel; allowed: None"),
        ([object()], "JSON cannot: a object"),
        ("\ud800", "half of a surrogate pair"),
        (b"bytes", "a bytes cannot travel"),
    ],
)
def test_what_no_kind_of_value_holds_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(VariantError, match=sentence):
        encode(value)


@pytest.mark.parametrize(
    ("kind", "data", "sentence"),
    [
        (DOUBLE, b"1234567", "a DOUBLE has 8 bytes, and not 7"),
        (INT, b"1" * 9, "an INT has up to 8 bytes, and not 9"),
        (STRING, b"\xff", "a text is not UTF-8"),
        (JSON, b"", "a value is not JSON"),
        (JSON, b"[" * 100_000, "a value is not JSON"),
        (PARQUET, b"PAR1", "a table is not Parquet"),
        (ARROW, b"", "ARROW value can be read by nobody"),
        (9, b"", "type is 9; allowed: 0 to 6"),
    ],
)
def test_bytes_that_hold_no_value_are_refused(kind: Any, data: bytes, sentence: str) -> None:
    with pytest.raises(VariantError, match=sentence):
        decode(Variant(type=kind, value=data))


def test_an_empty_whole_number_is_zero_and_bytes_of_nothing_are_nothing() -> None:
    assert decode(Variant(type=INT)) == 0
    assert decode(Variant(type=NONE, value=b"whatever")) is None


def test_a_small_file_that_unpacks_into_a_huge_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = encode(pa.table({"a": pa.nulls(1_000_000, pa.int8())}))
    assert len(packed.value) < 10_000
    monkeypatch.setattr(tables, "MAX_CELLS", 999_999)
    with pytest.raises(VariantError, match="a table has 1,000,000 cells; allowed: up to 999,999"):
        decode(packed)


LONG = pa.array(["x" * 1_000])
SAME = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), LONG)
OF_LENGTH = pa.array([b"x" * 1_000] * 2_000, pa.binary(1_000))


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (pa.array([[0] * 30_000_000], pa.list_(pa.int8())), "lists in 'a.list.element'; allowed: numbers"),
        (SAME, "a table has 2,000,000 bytes, unpacked; allowed: up to 1,000,000"),
        (pa.array([{"a": ("x" * 1_000)}] * 2_000), "a table has 2,000,000 bytes, unpacked"),
        (pa.array([[("k", "x")]], pa.map_(pa.string(), pa.string())), "lists in 'a.key_value.key'; allowed"),
        (OF_LENGTH, "bytes, unpacked"),
    ],
    ids=["a list", "equal texts", "texts in a struct", "a map", "a given length"],
)
def test_what_is_inside_of_a_small_table_is_counted_before_it_is_unpacked(
    column: pa.Array, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = encode(pa.table({"a": column}))
    assert len(packed.value) < 20_000
    monkeypatch.setattr(tables, "MAX_BYTES", 1_000_000)
    with pytest.raises(VariantError, match=sentence):
        decode(packed)


def test_a_table_whose_pieces_say_that_they_are_longer_is_refused() -> None:
    data = encode(pd.DataFrame({"c": np.arange(100)})).value
    place = data.rindex(b"\x16\xc8\x01")  # a field that is twice a hundred, the last one: rows of a piece
    longer = Variant(type=PARQUET, value=data[: place + 1] + b"\xc8\x02" + data[place + 3 :])
    with pytest.raises(VariantError, match=r"^a table says that it has 100 rows, and its pieces have 164$"):
        decode(longer)


def test_a_table_that_is_damaged_anywhere_ends_nothing() -> None:
    whole = encode(pd.DataFrame({"a": [1.5, None], "b": ["x", "y"]})).value
    read = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x15
        with suppress(VariantError):
            decode(Variant(type=PARQUET, value=bytes(damaged)))
            read += 1
    assert 0 < read < len(whole)


def test_texts_of_all_shapes_travel_in_a_table() -> None:
    deep = {"a": ["x", None], "c": [{"d": "z"}, {"d": None}], "e": [b"w", b""]}
    found = decode(encode(pa.table(deep)))
    assert pa.Table.from_pandas(found).to_pydict() == deep


@given(st.integers(0, 7), st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(kind: Any, data: bytes) -> None:
    with suppress(VariantError):
        decode(Variant(type=kind, value=data))
