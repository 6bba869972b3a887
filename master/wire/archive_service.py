"""The calls of germline.v1.ExperimentService that read the archive. Decode, read on a thread, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TypeAlias, TypeVar

import grpc.aio
import numpy as np

from germline.archive import ancestry, bands, histogram, listing
from germline.archive.family import BrokenLineError, Family
from germline.archive.histogram import Axes
from germline.archive.part import ROWS, PartError, write_part
from germline.archive.record import BEHAVIOUR_NUMBERS, MEMBER
from germline.archive.view import View
from germline.destinations import DestinationError
from germline.genome import format_id
from germline.spec import behaviour_dimensions
from germline.v1 import experiment_pb2 as pb
from master.archive.opening import NO_ARCHIVE
from master.errors import ConflictError, InvalidFieldError, StoreFailingError, UnknownNameError
from master.experiments.registry import Registry
from master.wire import archive_messages as messages

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"
_Found = TypeVar("_Found")
_MOST_LIVING = 10_000  # of a larger population, the best are looked at
_TRIES = 5  # files may be merged while they are read


class ArchiveCalls:
    """Reads the archive for people and their programs; every answer is bounded."""

    _registry: Registry

    async def GetBands(self, request: pb.GetBandsRequest, context: Context) -> pb.GetBandsResponse:
        axis, low, high, points = messages.read_bands(request)
        found = await self._read(request.name, lambda view: bands.bands(view, axis, low, high, points))
        return messages.write_bands(found)

    async def ListEvaluations(
        self, request: pb.ListEvaluationsRequest, context: Context
    ) -> pb.ListEvaluationsResponse:
        return await self._read(request.name, partial(_page, request))

    async def GetLife(self, request: pb.GetLifeRequest, context: Context) -> pb.GetLifeResponse:
        found = await self._read(request.name, partial(_life, request.id))
        if found is None:
            raise UnknownNameError(
                f"id is {format_id(request.id)}; the archive of {request.name} has no evaluation of it"
            )
        return found

    async def GetAncestry(self, request: pb.GetAncestryRequest, context: Context) -> pb.GetAncestryResponse:
        algorithm = self._registry.named(request.name).algorithm
        living, leader = [member.genome.id for member in algorithm.best(_MOST_LIVING)], algorithm.leader()
        if leader is None:
            raise ConflictError(f"experiment {request.name} has no individual with a score yet")
        champion = leader.genome.id
        found = await self._read(request.name, partial(_ancestry, living, champion))
        if found is None:
            raise ConflictError(
                f"the archive of {request.name} does not hold its champion {format_id(champion)} (yet)"
            )
        return found

    async def GetBehaviourMap(
        self, request: pb.GetBehaviourMapRequest, context: Context
    ) -> pb.GetBehaviourMapResponse:
        spec = self._registry.named(request.name).settings.spec
        found = await self._read(request.name, partial(_map, request))
        return messages.write_map(found, min(behaviour_dimensions(spec), BEHAVIOUR_NUMBERS))

    async def ReadArchive(
        self, request: pb.ReadArchiveRequest, context: Context
    ) -> AsyncIterator[pb.ReadArchiveResponse]:
        first = request.first
        if not first and self._registry.archive is not None:  # a backup's holds what its experiment counts
            await self._registry.archive.catch_up(self._registry.named(request.name).number)
        while True:
            found = await self._read(request.name, partial(_part, first))
            if found is None:
                return
            first, part = found
            yield pb.ReadArchiveResponse(part=part)

    async def _read(self, name: str, read: Callable[[View], _Found]) -> _Found:
        """Read from an experiment's archive on a thread.

        Raises:
            UnknownNameError: there is no such experiment.
            ConflictError: this master keeps no archive.
            StoreFailingError: it cannot be read now.
        """
        number, archive = self._registry.named(name).number, self._registry.archive
        if archive is None:
            raise ConflictError(NO_ARCHIVE)
        trouble = ""
        for tried in range(_TRIES):
            try:
                view = await archive.view(number, again=tried > 1)  # at first, what this master merged itself
                return await archive.read(view, read)
            except (DestinationError, PartError) as error:
                trouble = str(error)
        raise StoreFailingError(f"the archive of {name} cannot be read: {trouble}")


def _page(request: pb.ListEvaluationsRequest, view: View) -> pb.ListEvaluationsResponse:
    order, limit, after = messages.read_page(request)
    seen = _range(request, view)
    rows = None
    if request.HasField("cells"):
        columns, lines = messages.read_cells(request.cells)
        rows = histogram.rows_in(seen, messages.read_axes(request.cells.axes), columns, lines)
    page = listing.page(seen, order, limit, after, with_replays=request.with_replays, among=rows)
    return pb.ListEvaluationsResponse(
        evaluations=messages.write_evaluations(page.numbers, page.records),
        next=messages.write_cursor(page.next),
    )


def _life(individual: int, view: View) -> pb.GetLifeResponse | None:
    family = Family(view)
    life = family.life(individual)
    if life is None:
        return None
    if int(life.scores["flags"][0]) & MEMBER:
        return messages.write_life(life, None, "it is a member of an epoch, which has no genome")
    try:
        return messages.write_life(life, family.genome(individual), "")
    except BrokenLineError as error:
        return messages.write_life(life, None, str(error))


def _ancestry(living: list[int], champion: int, view: View) -> pb.GetAncestryResponse | None:
    family = Family(view)
    found = ancestry.ancestry(family, living, champion)
    return None if found is None else messages.write_ancestry(found, family, champion)


def _map(request: pb.GetBehaviourMapRequest, view: View) -> histogram.Map:
    return histogram.behaviour_map(_range(request, view), _axes(request, view))


def _axes(request: pb.GetBehaviourMapRequest, view: View) -> Axes:
    if request.HasField("axes"):
        return messages.read_axes(request.axes)
    if request.principal:
        return histogram.principal_axes(view)
    numbers = request.numbers if request.HasField("numbers") else pb.TwoNumbers(x=0, y=1)
    try:
        return histogram.plain_axes(numbers.x, numbers.y)
    except ValueError as error:
        raise InvalidFieldError(f"numbers.{error}") from None


def _range(request: pb.ListEvaluationsRequest | pb.GetBehaviourMapRequest, view: View) -> View:
    first = request.first if request.HasField("first") else 0
    end = request.end if request.HasField("end") else view.end
    if first > end:
        raise InvalidFieldError(f"first is {first} and end {end}; allowed: first at most end")
    return view.between(min(first, view.end), min(end, view.end))


def _part(first: int, view: View) -> tuple[int, bytes] | None:
    """The next records as a part, and from where to go on; None behind the last."""
    beyond = next((piece for piece in view.pieces if piece.end > first), None)
    if beyond is None:
        return None
    first = max(first, beyond.first)
    end = min(view.end, first // ROWS * ROWS + ROWS)
    seen = view.between(first, end)
    numbers = seen.numbers()
    return end, write_part(first, end, numbers, seen.at(np.arange(len(numbers))))
