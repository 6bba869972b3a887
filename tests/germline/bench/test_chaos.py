"""A short form of `make chaos`; and does the auditor find what it is there for?"""

import asyncio
import contextlib
import io
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from germline.bench.bookkeeper import Ledger
from germline.bench.chaos.__main__ import table
from germline.bench.chaos.audit import (
    Book,
    Claim,
    Findings,
    audit,
    claims_of_ledger,
    claims_of_log,
    read_books,
)
from germline.bench.chaos.cables import TroubledCable
from germline.bench.chaos.journal_file import Entry, JournalFileError, commands, entries
from germline.bench.chaos.network import Network
from germline.bench.chaos.run import Chaos, measure
from germline.bench.chaos.torment import Scale
from germline.bench.pair import HERE
from germline.ports import free_port
from germline.v1 import journal_pb2

SHORT = Scale(
    minutes=0.15, workers=2, keepers=2, network_a_second=50.0, worker_every_s=4.0, master_every_s=1.0,
    longest_stop_s=4.0, ownership_s=2.0,
)  # fmt: skip
CHECK = 1 << 63


@pytest.mark.slow
def test_nothing_is_lost_doubled_or_altered_whatever_goes_wrong_and_everybody_comes_back() -> None:
    came = asyncio.run(measure(SHORT, seed=394))
    found = came.found
    assert (found.lost, found.doubled, found.altered) == (0, 0, 0), table(came)
    assert came.same_centre, table(came)
    assert came.is_good, table(came)
    assert came.faults.total() > 50
    assert came.takeovers_s, table(came)
    assert found.acknowledged > 100
    assert came.epochs > 0


# The auditor


def told(ticket: int, worker: int, frames: int, *returns: float) -> journal_pb2.Event:
    one = journal_pb2.Told(ticket=ticket, worker=worker, frames=frames, returns=returns)
    return journal_pb2.Event(told=one)


def seen(number: int, name: str) -> journal_pb2.Event:
    return journal_pb2.Event(worker_seen=journal_pb2.WorkerSeen(number=number, worker_id=name))


def books(*more: journal_pb2.Event) -> dict[int, Book]:
    first = Entry(1, 1, (seen(1, "ann"), seen(2, "bob"), told(7, 1, 40, 3.0), told(8, 2, 10, 5.0)))
    return read_books([first, Entry(1, 2, more)])


def claim(
    ticket: int = 7, *, worker: str = "ann", frames: int = 40, verdict: str = "counted", got: float = 3.0
) -> Claim:
    return Claim(worker, 1, ticket, frames, (got,), verdict)


def test_books_that_agree_are_in_order() -> None:
    found = audit(
        [claim(), claim(8, worker="bob", frames=10, got=5.0), claim(verdict="already_told")], books()
    )
    assert (found.acknowledged, found.repeated, found.troubles) == (2, 1, [])


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (claim(9), "lost"),
        (claim(9, verdict="already_told"), "lost"),
        (claim(got=3.5), "altered"),
        (claim(frames=41), "altered"),
        (claim(worker="bob"), "altered"),
        (claim(CHECK + 7, worker="bob", got=3.5), "altered"),
    ],
)
def test_what_is_missing_or_other_than_it_was_acknowledged_is_found(bad: Claim, what: str) -> None:
    found = audit([bad], books())
    assert [getattr(found, kind) for kind in ("lost", "doubled", "altered")] == [
        int(kind == what) for kind in ("lost", "doubled", "altered")
    ]
    assert found.troubles[0].startswith(what)


def test_what_counts_twice_is_found_in_the_journal_and_in_what_workers_were_told() -> None:
    assert audit([], books(told(7, 2, 40, 3.0))).doubled == 1
    assert audit([claim(), claim()], books()).doubled == 1


def test_what_was_set_aside_is_not_lost_and_a_check_that_agrees_is_counted() -> None:
    aside = journal_pb2.Event(set_aside=journal_pb2.SetAside(ticket=9))
    found = audit([claim(9, verdict="already_told"), claim(CHECK + 7, worker="bob")], books(aside))
    assert (found.lost, found.checks, found.acknowledged) == (0, 1, 0)


def test_a_check_that_was_refused_says_nothing_of_what_counts() -> None:
    found = audit([claim(CHECK + 7, worker="bob", got=3.5, verdict="unknown")], books())
    assert (found.checks, found.troubles) == (0, [])


def test_an_entry_that_is_missing_in_the_journal_is_a_gap() -> None:
    assert read_books([Entry(1, 1, ()), Entry(1, 3, ())])[1].gaps == 1


def test_what_bookkeepers_and_workers_noted_is_read(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.accepted, ledger.told, ledger.doubled = {7: 40}, {8: {10}}, [7]
    assert Counter(each.verdict for each in claims_of_ledger(ledger, 1)) == {"counted": 2, "already_told": 1}
    line = {"experiment": 1, "ticket": 7, "frames": 40, "returns": [3.0], "verdict": "counted"}
    (tmp_path / "log").write_text(json.dumps(line) + "\n")
    assert list(claims_of_log("ann", tmp_path / "log")) == [claim()]
    assert list(claims_of_log("ann", tmp_path / "none")) == []


def test_the_table_shows_what_is_not_as_it_must_be() -> None:
    came = Chaos(seed=5, minutes=1.0, missing=["worker-1-0"], found=Findings(troubles=["lost: it"]))
    assert not came.is_good
    assert "| seed | 5 |" in table(came)
    assert "worker-1-0" in table(came)
    assert "TROUBLE: lost: it" in table(came)


# The store's file


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def test_commands_are_read_whole_and_one_that_was_cut_off_is_left_out() -> None:
    whole = command(b"SET", b"key", b"a\r\nb") + command(b"MULTI")
    for cut in range(len(command(b"MULTI"))):
        read = list(commands(io.BytesIO(whole[: len(whole) - cut])))
        assert read == [[b"SET", b"key", b"a\r\nb"], [b"MULTI"]][: 1 + (cut == 0)]


def test_what_is_no_command_is_refused() -> None:
    with pytest.raises(JournalFileError, match=r"stands where \* and a length should"):
        list(commands(io.BytesIO(b"hello\r\n")))


def test_entries_are_found_among_other_commands_and_put_together_from_their_parts(tmp_path: Path) -> None:
    encoded = journal_pb2.JournalEntry(events=[told(7, 1, 40, 3.0)]).SerializeToString()
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    stream = b"{germline}:v1:experiment:3:entries"
    first = command(b"XADD", stream, b"1-0", b"entry", encoded[:4], b"entry:2", encoded[4:])
    (folder / "appendonly.aof.1.incr.aof").write_bytes(command(b"SELECT", b"0") + first)
    later = command(b"XADD", stream, b"2-0", b"entry", b"") + command(b"XTRIM", stream, b"MINID", b"2")
    (folder / "appendonly.aof.2.incr.aof").write_bytes(later)
    read = list(entries(tmp_path))
    assert [(entry.experiment, entry.position, len(entry.events)) for entry in read] == [(3, 1, 1), (3, 2, 0)]
    assert read[0].events[0].told.ticket == 7


# The network


async def test_a_machine_without_namespaces_says_so_and_everything_is_on_its_own_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    network = Network()
    assert await network.places(3) == [HERE] * 3
    assert network.why_not.startswith("ip: ")
    assert not network.cables
    assert not await network.pull(HERE, 0.0)


async def test_a_namespace_is_reached_over_its_own_cable_and_gone_in_the_end() -> None:
    network = Network()
    place, *_ = await network.places(1)
    if network.why_not:
        pytest.skip(f"this machine makes no network namespaces: {network.why_not}")
    program = f"import socket; socket.create_server(('{place.host}', 7)).accept()[0].send(b'hello')"
    server = await asyncio.create_subprocess_exec(*place.within, sys.executable, "-c", program)
    try:
        async with asyncio.timeout(20.0):
            assert await hello(place.host) == b"hello"
            await server.wait()
    finally:
        await network.remove()
    assert not Path(place.within[1].removeprefix("--net=")).exists()


async def hello(host: str) -> bytes:
    """What a server says, as soon as it is there."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, 7)
            said = await reader.read(5)
            writer.close()
            return said
        await asyncio.sleep(0.02)


# The cables


class Echo:
    """A server that says everything back."""

    def __init__(self, happened: Counter[str]) -> None:
        self.port = free_port()
        self.cable = TroubledCable("127.0.0.1", self.port, "127.0.0.1", happened)

    async def say(self, text: bytes) -> bytes:
        """What comes back over the cable; nothing if the connection breaks."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.cable.port)
        try:
            writer.write(text)
            return await reader.read(len(text))
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(100))
    writer.close()


@pytest.fixture
def happened() -> Counter[str]:
    return Counter()


async def test_each_trouble_is_counted_when_it_befalls_something_and_not_when_it_is_planned(
    happened: Counter[str],
) -> None:
    house = Echo(happened)
    async with await asyncio.start_server(echo, "127.0.0.1", house.port):
        await house.cable.lay()
        house.cable.plan("dropped")
        house.cable.refuse()
        assert happened == {}
        assert await house.say(b"hello") == b""
        assert happened == {"refused": 1}
        assert await house.say(b"hello") == b""
        assert happened == {"refused": 1, "dropped": 1}
        house.cable.plan("delayed", 0.01)
        assert await house.say(b"hello") == b"hello"
        assert happened == {"refused": 1, "dropped": 1, "delayed": 1}
        await house.cable.take_away()
