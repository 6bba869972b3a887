"""One experiment's archive while its master lives: files, and in memory what follows them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np

from germline.archive import part as layout
from germline.archive.files import About, ArchiveFiles, MovedError, block_of
from germline.archive.part import read_records
from germline.archive.record import Records
from germline.archive.view import ColumnCache, HeldPiece, View, stored_pieces
from germline.destinations import Destination
from master.archive.recorder import Batch
from master.archive.thinning import thin

logger = logging.getLogger(__name__)
_Done = TypeVar("_Done")

MAX_BACKLOG = 500_000
"""Records that wait for a destination that does not take them: 40 MB. Of more, the oldest are given up."""


class ExperimentArchive:
    """What was recorded of an experiment, in order, each record once.

    Only what is durable in the journal comes here. Records since the beginning of the last full part are
    kept in memory until that part is written whole, so that no file is ever read to go on, but once after a
    start.

    Attributes:
        stored: records with lower numbers are in files, or were given up.
        end: number behind the last record.
        given_up: how many records were given up because no file could be written for too long.
    """

    def __init__(
        self,
        destination: Destination,
        identity: int,
        about: About,
        begin: int,
        *,
        may_write: Callable[[], bool] = lambda: True,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        """Go on behind record number `begin`; whatever files hold from there on is written again.

        Args:
            destination: where files are kept.
            identity: the experiment's, which names its folder.
            about: whose archive it is.
            begin: see above.
            may_write: whether nobody else can own the archive at this moment; asked on any thread.
            thread: where what waits for the destination runs; the loop's own unless given.
        """
        self.stored = self.end = begin
        self.given_up = 0
        self._files = ArchiveFiles(destination, f"{identity:016x}", may_write)
        self._may_write = may_write
        self._thread = thread
        self._about = about
        self._begin = begin
        self._is_open = False
        self._is_introduced = False
        self._held: list[Batch] = []
        self._changing = asyncio.Lock()  # held by who changes what is known of the files

    def add(self, batch: Batch) -> None:
        """Take records in that follow the last one."""
        if len(batch.records):
            self._held.append(batch)
            self.end = batch.end
        if self.end - self.stored > MAX_BACKLOG:
            self._give_up()

    async def open(self) -> None:
        """See what is in the files, once. Raises DestinationError and PartError."""
        async with self._changing:
            if not self._is_open:
                held = await self._do(self._open)
                self._held[:0] = held
                self._is_open = True

    async def write(self, max_bytes: int) -> None:
        """Have everything that is in memory in files, too, and no more than so many bytes of them.

        Raises:
            DestinationError: not now.
        """
        await self.open()
        async with self._changing:
            while self.stored < self.end and self._may_write():
                end = min(self.end, block_of(self.stored) + layout.ROWS)
                first, records = self._unwritten(end)
                await self._do(partial(self._write, first, end, records))
                self.stored = max(self.stored, end)
                self._let_go()
            if self._may_write():
                await self._do(partial(self._thin, max_bytes))

    async def view(self, cache: ColumnCache, *, again: bool = False) -> View:
        """All records up to now. Raises DestinationError and PartError.

        Args:
            cache: what keeps columns that were read.
            again: see first what files there are: somebody else may have replaced some.
        """
        await self.open()
        if again:
            async with self._changing:
                await self._do(self._files.open)
        parts = self._files.parts
        stored = stored_pieces(self._files, parts, cache)
        covered = parts[-1].end if parts else 0
        held = [each.behind(covered) for each in self._held if each.end > covered]
        return View([*stored, *(HeldPiece(each.first, each.records) for each in held)], 0, self.end)

    async def delete(self) -> None:
        """Forget everything. Raises DestinationError."""
        await self._do(self._files.delete)

    async def _do(self, wait: Callable[[], _Done]) -> _Done:
        """What waits for the destination."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, wait)

    # On a thread of its own

    def _open(self) -> list[Batch]:
        """Look at the files; return the records of the part that is not full yet."""
        self._files.open()
        self._files.cut(self._begin)
        held, end = [], 0
        for part in self._files.parts:
            if part.first >= block_of(self._begin) and not (part.is_full or part.level):
                _, records = read_records(self._files.read(part))
                held.append(Batch(part.first, records).behind(end))
            end = part.end
        return held

    def _write(self, first: int, end: int, records: Records) -> None:
        if not self._is_introduced:
            self._files.introduce(self._about)
            self._is_introduced = True
        self._files.write(first, end, np.arange(first, end, dtype=np.int64), records)
        self._files.sweep()

    def _thin(self, max_bytes: int) -> None:
        try:
            thin(self._files, max_bytes)
        except MovedError:  # by a master that owned this archive before, and did not know yet
            self._files.open()

    # Inside

    def _unwritten(self, end: int) -> tuple[int, Records]:
        """The records up to `end` that no file holds, with small parts before them that are no larger."""
        first = self._first_held(self.stored, end)
        for part in reversed(self._files.parts):
            if part.first < block_of(self.stored) or part.end != first or part.level:
                break
            if part.end - part.first > end - first and end % layout.ROWS:
                break
            if self._first_held(part.first, end) != part.first:
                break
            first = part.first
        among = [each for each in self._held if each.first < end and each.end > first]
        pieces = [each.records[max(0, first - each.first) : end - each.first] for each in among]
        return first, np.concatenate(pieces)

    def _first_held(self, first: int, end: int) -> int:
        """The lowest number from `first` on from which everything up to `end` is in memory."""
        expected = end
        for each in reversed([each for each in self._held if each.first < end]):
            if min(each.end, end) != expected:
                break
            expected = each.first
        return max(first, expected)

    def _let_go(self) -> None:
        """Hold nothing that is in a full part."""
        self._held = [each for each in self._held if each.end > block_of(self.stored)]

    def _give_up(self) -> None:
        """Make room: the oldest half of what waits will be missing."""
        stored = self.stored + MAX_BACKLOG // 2
        self.given_up += stored - self.stored
        logger.error(
            "the archive of experiment %s could not be written for long: %d evaluations are missing in it",
            self._about.experiment, stored - self.stored,
        )  # fmt: skip
        self.stored = stored
        self._held = [each.behind(stored) for each in self._held if each.end > stored]
