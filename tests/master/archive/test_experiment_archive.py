"""An experiment's archive: whatever is killed whenever, it holds each record once."""

import asyncio
import contextlib
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from germline.archive import part as layout
from germline.archive.files import About, archives_in
from germline.archive.record import RECORD, Records
from germline.archive.view import ColumnCache
from germline.destinations import DestinationError, Folder
from master.archive import experiment_archive
from master.archive.experiment_archive import ExperimentArchive
from master.archive.recorder import Batch

ABOUT = About("pong", 1.0)
PLENTY = 1 << 30
PATIENCE_S = 30.0


class Frail(Folder):
    """A folder that fails when it was told so: before it does something, or after it has done it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.fails_in: int | None = None
        self.fails_before = True

    def write(self, name: str, data: bytes) -> None:
        self._maybe(before=True)
        super().write(name, data)
        self._maybe(before=False)

    def delete(self, name: str) -> None:
        self._maybe(before=True)
        super().delete(name)
        self._maybe(before=False)

    def _maybe(self, *, before: bool) -> None:
        if self.fails_in is None or before is not self.fails_before:
            return
        self.fails_in -= 1
        if self.fails_in < 0:
            raise DestinationError("it fails")


def records(first: int, end: int) -> Records:
    found = np.zeros(end - first, RECORD)
    found["individual"] = np.arange(first, end) * 3 + 1
    found["fitness"] = np.arange(first, end) % 17
    return found


class Kills(RuleBasedStateMachine):
    """A master and its journal in few words: what is told is numbered; a snapshot waits for the archive."""

    @initialize()
    def begin(self) -> None:
        self.whole_rows, layout.ROWS = layout.ROWS, 16
        self.folder = tempfile.TemporaryDirectory()
        self.told = self.snapshot = 0
        self.start()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            layout.ROWS = self.whole_rows
            self.folder.cleanup()

    def start(self) -> None:
        """The journal is replayed from the newest snapshot on."""
        self.place = Frail(Path(self.folder.name))
        self.archive = ExperimentArchive(self.place, 5, ABOUT, self.snapshot)
        self.archive.add(Batch(self.snapshot, records(self.snapshot, self.told)))

    def write(self) -> bool:
        try:
            asyncio.run(self.archive.write(PLENTY))
        except DestinationError:
            return False
        return True

    @rule(n=st.integers(1, 40))
    def tell(self, n: int) -> None:
        self.archive.add(Batch(self.told, records(self.told, self.told + n)))
        self.told += n

    @rule()
    def store(self) -> None:
        assert self.write()

    @rule()
    def take_a_snapshot(self) -> None:
        if self.archive.stored == self.archive.end:
            self.snapshot = self.archive.stored

    @rule(after=st.integers(0, 4), before=st.booleans(), is_killed=st.booleans())
    def fail(self, after: int, before: bool, is_killed: bool) -> None:
        self.place.fails_in, self.place.fails_before = after, before
        self.write()
        self.place.fails_in = None
        if is_killed:
            self.start()

    @rule()
    def kill(self) -> None:
        self.start()

    @rule(back=st.integers(0, 30))
    def forget_the_last_entries(self, back: int) -> None:
        """A repair, or a store that came back short: what is told next has those numbers again."""
        self.told = max(self.snapshot, self.told - back)
        self.start()

    @invariant()
    def each_record_is_there_once(self) -> None:
        if not hasattr(self, "archive"):
            return
        view = asyncio.run(self.archive.view(ColumnCache()))
        assert view.numbers().tolist() == list(range(self.told))
        assert view.records().tobytes() == records(0, self.told).tobytes()


TestKills = Kills.TestCase
TestKills.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


async def test_small_parts_are_merged_as_they_come_so_that_there_are_never_many(tmp_path: Path) -> None:
    archive = ExperimentArchive(Folder(tmp_path), 5, ABOUT, 0)
    for number in range(1_000):
        archive.add(Batch(number, records(number, number + 1)))
        await archive.write(PLENTY)
    files = sorted((tmp_path / f"{5:016x}").glob("*.part"))
    assert len(files) <= 10
    assert list(archives_in(tmp_path)) == [(ABOUT, f"{5:016x}")]


async def test_a_full_part_takes_the_place_of_all_within_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "ROWS", 64)
    archive = ExperimentArchive(Folder(tmp_path), 5, ABOUT, 0)
    for first in range(0, 200, 10):
        archive.add(Batch(first, records(first, first + 10)))
        await archive.write(PLENTY)
    names = [file.name[:27] for file in sorted((tmp_path / f"{5:016x}").glob("*.part"))]
    assert names[:3] == [f"{64 * n:013d}-{64 * (n + 1):013d}" for n in range(3)]


async def test_what_waits_too_long_for_a_place_that_fails_is_given_up_from_its_oldest_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_archive, "MAX_BACKLOG", 100)
    place = Frail(tmp_path)
    archive = ExperimentArchive(place, 5, ABOUT, 0)
    place.fails_in = 0
    for first in range(0, 130, 10):
        archive.add(Batch(first, records(first, first + 10)))
        with pytest.raises(DestinationError):
            await archive.write(PLENTY)
    place.fails_in = None
    await archive.write(PLENTY)
    assert archive.given_up == 50
    assert (await archive.view(ColumnCache())).numbers().tolist() == list(range(50, 130))


async def test_nothing_is_written_by_who_may_not(tmp_path: Path) -> None:
    archive = ExperimentArchive(Folder(tmp_path), 5, ABOUT, 0, may_write=lambda: False)
    archive.add(Batch(0, records(0, 10)))
    await archive.write(PLENTY)
    assert archive.stored == 0
    assert not list(tmp_path.iterdir())


class Slow(Folder):
    """A folder whose next change of a kind is underway until it may land."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(path)
        self._kind = kind
        self.is_slow = False
        self.underway, self.may_land = threading.Event(), threading.Event()

    def write(self, name: str, data: bytes) -> None:
        self._wait("write")
        super().write(name, data)

    def delete(self, name: str) -> None:
        self._wait("delete")
        super().delete(name)

    def _wait(self, kind: str) -> None:
        if self.is_slow and kind == self._kind:
            self.is_slow = False
            self.underway.set()
            assert self.may_land.wait(PATIENCE_S)


@pytest.mark.parametrize("knows", [True, False], ids=["it knows", "it does not know yet"])
@pytest.mark.parametrize("kind", ["write", "delete"])
async def test_what_a_master_has_underway_when_it_loses_its_archive_takes_nothing_from_the_next(
    tmp_path: Path, kind: str, knows: bool
) -> None:
    place, owned = Slow(tmp_path, kind), True
    first = ExperimentArchive(place, 5, ABOUT, 0, may_write=lambda: owned or not knows)
    first.add(Batch(0, records(0, 100)))
    await first.write(PLENTY)
    first.add(Batch(100, records(100, 200)))
    place.is_slow = True
    writing = asyncio.create_task(first.write(PLENTY))
    await asyncio.to_thread(place.underway.wait, PATIENCE_S)
    owned = False
    second = ExperimentArchive(Folder(tmp_path), 5, ABOUT, 100)
    second.add(Batch(100, records(100, 250)))
    assert (await second.view(ColumnCache())).numbers().tolist() == list(range(250))
    place.may_land.set()
    with contextlib.suppress(DestinationError):
        await writing
    for again in (second, ExperimentArchive(Folder(tmp_path), 5, ABOUT, 250)):
        view = await again.view(ColumnCache(), again=True)
        assert view.numbers().tolist() == list(range(250))
        assert view.records().tobytes() == records(0, 250).tobytes()
        await second.write(PLENTY)


async def test_where_the_archive_was_lost_it_goes_on_with_what_the_journal_has(tmp_path: Path) -> None:
    archive = ExperimentArchive(Folder(tmp_path), 5, ABOUT, 70)
    archive.add(Batch(70, records(70, 90)))
    await archive.write(PLENTY)
    again = ExperimentArchive(Folder(tmp_path), 5, ABOUT, 90)
    view = await again.view(ColumnCache())
    assert view.numbers().tolist() == list(range(70, 90))
    assert view.between(75, 80).column("individual").tolist() == [n * 3 + 1 for n in range(75, 80)]
