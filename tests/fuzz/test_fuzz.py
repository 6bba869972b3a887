"""Every decoder of outside bytes answers or refuses in its own words; the long form is `make fuzz`."""

import random
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.card import parse_card
from germline.spec import SpecError, loads
from germline.v1 import journal_pb2
from master.errors import JournalFormatError
from master.journal import codec
from tools import fuzz

SHARE_S = 1.5  # of the half minute that all take together


@pytest.mark.parametrize("name", fuzz.targets())
def test_whatever_comes_is_read_or_refused_in_the_decoders_own_words(name: str) -> None:
    target = fuzz.targets()[name]()
    assert target.valid
    fuzz.throw(name, target, 20_000, seed=2026, until_s=time.monotonic() + SHARE_S)


@given(data=st.binary(max_size=200))
def test_bytes_of_no_meaning_are_refused_too(data: bytes) -> None:
    for name in ("genome", "journal-entry", "snapshot", "spec-message", "worker-message"):
        fuzz.attempt(name, TARGETS[name], data)


TARGETS = {name: make() for name, make in fuzz.targets().items()}


def test_another_error_than_a_refusal_is_noticed() -> None:
    target = fuzz.Target(lambda data: {b"a": 1}[data], (ValueError,), [b"a"])
    with pytest.raises(fuzz.FuzzError, match=r"^broken raises KeyError"):
        fuzz.throw("broken", target, 1_000, seed=1)


def test_inputs_differ_and_a_seed_gives_the_same_ones_again() -> None:
    first, again = (
        [fuzz.changed([b"some bytes", b"others"], random.Random(seed)) for seed in range(200)]  # noqa: S311
        for _ in range(2)
    )
    assert first == again
    assert len(set(first)) > 100


DEEP, LONG = "a = " + "[" * 5_000, "a = " + "9" * 5_000


@pytest.mark.parametrize("text", [DEEP, LONG], ids=["deep", "long"])
def test_toml_beyond_what_python_reads_is_refused_and_no_traceback(text: str) -> None:
    with pytest.raises(SpecError, match="is no valid TOML"):
        loads(text)
    with pytest.raises(ValueError, match="the card is not TOML"):
        parse_card(text)


@pytest.mark.parametrize(
    "event",
    [
        journal_pb2.Event(state_changed=journal_pb2.StateChanged(state=99)),
        journal_pb2.Event(asked=journal_pb2.Asked(genome=1, encoded=b"cut")),
    ],
    ids=["state", "genome"],
)
def test_an_event_that_cannot_be_is_damage_of_the_journal_and_no_mistake_of_ours(
    event: journal_pb2.Event,
) -> None:
    entry = journal_pb2.JournalEntry(format_version=codec.FORMAT_VERSION, events=[event])
    with pytest.raises(JournalFormatError, match="event is damaged"):
        list(codec.EntryReader().read(entry.SerializeToString()))


def test_few_bytes_that_stand_for_very_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_MAX_JSON_BYTES", 1 << 20)
    bomb = zlib.compress(b" " * (8 << 20))
    message = journal_pb2.Snapshot(
        format_version=codec.FORMAT_VERSION, position="1", state=1, algorithm=bomb, progress=bomb
    )
    with pytest.raises(JournalFormatError, match="more than 1,048,576 bytes"):
        codec.read_snapshot(message.SerializeToString())
