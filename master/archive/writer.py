"""The one task that writes the archive: behind the journal, and never in its way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import NoReturn, Protocol, TypeVar

from germline.archive.files import About
from germline.archive.part import PartError
from germline.archive.view import ColumnCache, View
from germline.destinations import Destination, DestinationError
from master.archive.experiment_archive import ExperimentArchive
from master.archive.incoming import IncomingArchive
from master.archive.recorder import Batch, Recorder

logger = logging.getLogger(__name__)

_LOOK_S = 1.0  # after so long at most, what is durable can be read
_WRITE_S = 60.0  # after so long at most it is in a file; earlier where the journal wants to be trimmed
_ROWS = 65_536  # or so many records
_FIRST_RETRY_S = 0.5
_LAST_RETRY_S = 30.0
_READERS = 4  # threads; who asks for more at a time has to queue
_Found = TypeVar("_Found")

WhenDurable = Callable[[Callable[[], None], Collection[int] | None], None]
"""Calls back as soon as everything that these experiments wrote so far is durable in the journal."""


class Recorded(Protocol):
    """An experiment, as far as the archive knows it."""

    number: int
    identity: int
    recorder: Recorder

    @property
    def about(self) -> About:
        """What it is called."""
        ...


@dataclass(slots=True)
class _Desk:
    """What is to be done for one experiment."""

    archive: ExperimentArchive
    recorder: Recorder
    waiting: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    written_s: float = field(default_factory=monotonic)

    def is_due(self) -> bool:
        archive = self.archive
        unwritten = archive.end - archive.stored
        aged = monotonic() - self.written_s >= _WRITE_S
        return unwritten >= _ROWS or bool(unwritten and (self.waiting or aged))

    def call(self) -> None:
        """Call back whose records are in files."""
        ready = [callback for count, callback in self.waiting if count <= self.archive.stored]
        self.waiting = [each for each in self.waiting if each[0] > self.archive.stored]
        for callback in ready:
            callback()


class ArchiveWriter:
    """Takes what recorders hold, waits until that is durable, and writes it into files.

    Promises:

    - Behind: no record is in the archive of which the journal could lose the event.
    - Exactly once: records are numbered by the journal's own order. A start goes on from the number that the
      newest snapshot counts, and writes everything behind it again from the journal's entries.
    - The journal is not trimmed before what it holds is in files (see :meth:`when_stored`), as long as not
      more than 500,000 records wait for a destination that fails; beyond that the oldest half is given up,
      and said.
    - One writer: it writes only while `may_write`, which is while this master owns its store. Of what was
      underway when it lost it, the same records come under the same numbers, and nothing of another's goes.
    - Whatever waits for the destination does so on threads of its own: of the journal's, none is taken.

    Attributes:
        trouble: why the destination takes nothing just now; empty if it does.
    """

    def __init__(
        self,
        destination: Destination,
        when_durable: WhenDurable,
        *,
        max_bytes: int,
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        """Write nothing yet, see :meth:`run`; one experiment's files take `max_bytes` at most."""
        self.trouble = ""
        self._destination = destination
        self._when_durable = when_durable
        self._max_bytes = max_bytes
        self._may_write = may_write
        self._desks: dict[int, _Desk] = {}
        self._deleted: list[ExperimentArchive] = []
        self._cache = ColumnCache()
        self._writing = ThreadPoolExecutor(1, "archive-writer")
        self._reading = ThreadPoolExecutor(_READERS, "archive-reader")
        self._wake = asyncio.Event()
        self._pause_s = 0.0

    def attach(self, experiment: Recorded) -> None:
        """Keep what is recorded of an experiment from now on."""
        self._desks[experiment.number] = _Desk(self._archive_of(experiment), experiment.recorder)

    async def take_in(self, experiment: Recorded, parts: AsyncIterator[bytes]) -> None:
        """Keep what a backup has of an experiment that is not attached yet.

        Raises PartError and DestinationError.
        """
        count = experiment.recorder.begin
        incoming = IncomingArchive(self._destination, experiment.identity, experiment.about, count)
        async for part in parts:
            await asyncio.get_running_loop().run_in_executor(self._writing, incoming.add, part)

    def discard(self, experiment: Recorded) -> None:
        """Forget what was taken in of an experiment that does not come after all."""
        self._delete(self._archive_of(experiment))

    def delete(self, number: int) -> None:
        """Forget an experiment's archive, once it is durable that the journal has forgotten it."""
        desk = self._desks.pop(number, None)
        if desk is not None:
            self._when_durable(partial(self._delete, desk.archive), None)
            for _, callback in desk.waiting:
                callback()

    def when_stored(self, number: int, callback: Callable[[], None]) -> None:
        """Call back as soon as all that was recorded of an experiment is in files, or given up."""
        desk = self._desks.get(number)
        if desk is None or desk.archive.stored >= desk.recorder.count:
            callback()
        else:
            desk.waiting.append((desk.recorder.count, callback))
            self._wake.set()

    async def view(self, number: int, *, again: bool = False) -> View:
        """All that is durable of an experiment, this moment's too.

        Raises KeyError, DestinationError and PartError.

        Args:
            number: the experiment's.
            again: see first what files there are; where the last view's have moved.
        """
        desk = self._desks[number]
        self._take(number, desk)
        return await desk.archive.view(self._cache, again=again)

    async def catch_up(self, number: int) -> None:
        """Wait until all that was told of an experiment so far can be read. Raises KeyError."""
        self._take(number, self._desks[number])
        done = asyncio.Event()
        self._when_durable(done.set, (number,))  # behind what was taken just now
        await done.wait()

    async def read(self, view: View, read: Callable[[View], _Found]) -> _Found:
        """Read from a view on a thread. Raises what that raises."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, read, view)

    async def run(self) -> NoReturn:
        """Write for ever."""
        while True:
            await self._rest()
            for number, desk in list(self._desks.items()):
                self._take(number, desk)
            try:
                await self._write_all()
            except (DestinationError, PartError) as error:
                self._complain(str(error))
            else:
                self._relax()

    # Inside

    def _archive_of(self, experiment: Recorded) -> ExperimentArchive:
        return ExperimentArchive(
            self._destination, experiment.identity, experiment.about, experiment.recorder.begin,
            may_write=self._may_write, thread=self._writing,
        )  # fmt: skip

    async def _rest(self) -> None:
        """Wait for work, or for the time to look for it."""
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._wake.wait()
        self._wake.clear()

    def _take(self, number: int, desk: _Desk) -> None:
        """Take what an experiment has recorded; it is in the archive once that is durable."""
        batch = desk.recorder.take()
        if len(batch.records):
            self._when_durable(partial(self._add, desk, batch), (number,))

    def _delete(self, archive: ExperimentArchive) -> None:
        self._deleted.append(archive)
        self._wake.set()

    def _add(self, desk: _Desk, batch: Batch) -> None:
        desk.archive.add(batch)
        if desk.waiting:
            self._wake.set()

    async def _write_all(self) -> None:
        """Write what is due. Raises DestinationError and PartError."""
        while self._deleted and self._may_write():
            await self._deleted[0].delete()
            del self._deleted[0]
        for desk in list(self._desks.values()):
            if desk.is_due() and self._may_write():
                await desk.archive.write(self._max_bytes)
                desk.written_s = monotonic()
            desk.call()

    def _complain(self, sentence: str) -> None:
        self._pause_s = min(max(2 * self._pause_s, _FIRST_RETRY_S), _LAST_RETRY_S)
        if sentence != self.trouble:
            logger.error("the archive cannot be written, and is tried again: %s", sentence)
        self.trouble = sentence
        for desk in self._desks.values():
            desk.call()

    def _relax(self) -> None:
        self._pause_s = 0.0
        if self.trouble:
            logger.warning("the archive is written again")
            self.trouble = ""
