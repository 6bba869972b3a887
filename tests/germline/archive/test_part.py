"""A part of an archive: its bytes are frozen, come back as they went, and say when they are damaged.

`python tests/germline/archive/test_part.py` writes the golden file anew; a released one never changes.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.archive import part
from germline.archive.part import PartError, read_columns, read_head, read_numbers, read_records, write_part
from germline.archive.record import CENTRE, FOUNDER, MEMBER, RECORD, Records, member_id, name_of
from tools.fuzz import sealed

GOLDEN = Path(__file__).parents[2] / "golden" / "archive-v1.part"


def records(n: int, seed: int = 7) -> Records:
    """Every bit of every field is somewhere set."""
    noise = np.random.default_rng(seed).bytes(n * RECORD.itemsize)
    found = np.frombuffer(noise, RECORD).copy()
    found["fitness"] = np.arange(n) / 3 - 1
    found["power"] = 0.5
    return found


def golden() -> tuple[np.ndarray, Records]:
    return np.array([1_000, 1_001, 1_003, 1_010], np.int64), records(4)


def test_a_part_that_was_written_by_an_earlier_build_reads_as_what_it_was() -> None:
    numbers, expected = golden()
    data = GOLDEN.read_bytes()
    head = read_head(data)
    assert (head.first, head.end, head.rows) == (1_000, 1_024, 4)
    found_numbers, found = read_records(data)
    assert np.array_equal(found_numbers, numbers)
    assert found.tobytes() == expected.tobytes()


def test_a_record_takes_eighty_bytes_and_its_fields_stay_where_they_are() -> None:
    assert RECORD.itemsize == 80
    offsets = {name: RECORD.fields[name][1] for name in RECORD.names or ()} if RECORD.fields else {}
    assert offsets == {
        "individual": 0, "parent": 8, "mutation": 16, "seed": 24, "fitness": 32, "frames": 40,
        "running_cs": 44, "power": 48, "cap_frames": 52, "behaviour": 56, "worker": 72, "rank": 74,
        "episodes": 76, "flags": 78, "behaviours": 79,
    }  # fmt: skip


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(0, 2**40))
def test_records_come_back_as_they_went_whatever_numbers_lie_between(steps: list[int], first: int) -> None:
    numbers = first - 1 + np.cumsum(np.array(steps, np.int64)) if steps else np.zeros(0, np.int64)
    end = int(numbers[-1]) + 1 if steps else first + 1
    told = records(len(steps))
    data = write_part(first, end, numbers, told)
    found_numbers, found = read_records(data)
    assert np.array_equal(found_numbers, numbers)
    assert found.tobytes() == told.tobytes()
    assert np.array_equal(read_numbers(data), numbers)


@given(st.data())
def test_a_part_with_a_damaged_byte_is_refused(data: st.DataObject) -> None:
    broken = bytearray(write_part(1_000, 1_024, *golden()))
    place = data.draw(st.integers(0, len(broken) - 1))
    broken[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PartError):
        read_records(bytes(broken))


@given(st.integers(0, 400))
def test_a_part_that_is_cut_short_is_refused(length: int) -> None:
    numbers, told = golden()
    with pytest.raises(PartError):
        read_records(write_part(1_000, 1_024, numbers, told)[:length])


def test_a_column_that_a_part_lacks_reads_as_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, told = golden()
    whole = write_part(1_000, 1_024, numbers, told)
    monkeypatch.setattr(part, "_NAMES", tuple(name for name in RECORD.names or () if name != "rank"))
    data = write_part(1_000, 1_024, numbers, told)
    assert len(data) < len(whole)
    assert not read_columns(data, ["rank"])["rank"].any()
    assert np.array_equal(read_columns(data, ["worker"])["worker"], told["worker"])


def test_a_part_of_another_version_says_which_one_this_build_reads() -> None:
    data = bytearray(GOLDEN.read_bytes())
    data[8] = 9
    with pytest.raises(PartError, match="it is of format version 9; this build reads 1"):
        read_head(bytes(data))


@pytest.mark.parametrize(
    ("first", "end", "sentence"),
    [
        (1_000, 1_010, "its last record has the number 1,010, and it ends before 1,010"),
        (2**62 - 5, 2**62 + 5, "it holds 4 records for the numbers"),
    ],
    ids=["beyond its end", "beyond all numbers"],
)
def test_numbers_that_cannot_be_are_damage(first: int, end: int, sentence: str) -> None:
    numbers, told = golden()
    with pytest.raises(PartError, match=sentence):
        read_records(write_part(first, end, numbers - 1_000 + first, told))


def test_bytes_that_do_not_unpack_are_damage_though_their_check_sum_fits() -> None:
    told = np.zeros(24, RECORD)
    whole = bytearray(write_part(0, 24, np.arange(24), told))
    whole[-6:] = b"\xff" * 6
    with pytest.raises(PartError, match=r"its column 'behaviours' cannot be unpacked"):
        read_records(sealed(bytes(whole)))


def test_people_read_the_id_of_an_individual_and_the_epoch_of_a_member() -> None:
    assert name_of(0x6835DC4BB986A7F6, FOUNDER) == "6835dc4bb986a7f6"
    assert name_of(member_id(12, 7), MEMBER) == "12.7"
    assert name_of(member_id(12, CENTRE), MEMBER) == "12.centre"


if __name__ == "__main__":
    GOLDEN.write_bytes(write_part(1_000, 1_024, *golden()))
