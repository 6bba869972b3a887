"""The calls that read a master's archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

import grpc

from germline.client.archive_views import (
    Ancestry,
    Bands,
    BehaviourAxes,
    BehaviourMap,
    EvaluationsPage,
    Life,
)
from germline.client.masters import Masters
from germline.v1 import experiment_pb2 as pb
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

Axis = Literal["evaluations", "frames", "seconds"]
Order = Literal["oldest", "newest", "best", "id"]
Cells = tuple[BehaviourAxes, tuple[int, int], tuple[int, int]]
"""Of a map with these axes, columns and rows, both ends among them."""

_AXES = {
    "evaluations": pb.AXIS_EVALUATIONS,
    "frames": pb.AXIS_FRAMES,
    "seconds": pb.AXIS_RUNNING_S,
}
_ORDERS = {
    "oldest": pb.ORDER_OLDEST,
    "newest": pb.ORDER_NEWEST,
    "best": pb.ORDER_BEST,
    "id": pb.ORDER_ID,
}
_TRANSFER_S = 120.0


class ArchiveReader:
    """What a client asks of a master's archive; FAILED_PRECONDITION where the master keeps none."""

    _masters: Masters
    _metadata: tuple[tuple[str, str], ...]
    _deadline_s: float

    def bands(
        self,
        name: str,
        axis: Axis = "evaluations",
        low: float | None = None,
        high: float | None = None,
        points: int | None = None,
    ) -> Bands:
        """Quantile bands of all evaluations between two places on an axis, exact, in at most 500 points."""
        request = pb.GetBandsRequest(name=name, axis=_AXES[axis], low=low, high=high, points=points)
        return Bands.of(self._ask(lambda stub: stub.GetBands, request))

    def evaluations(
        self,
        name: str,
        order: Order = "oldest",
        limit: int | None = None,
        after: str = "",
        *,
        with_replays: bool = False,
        first: int | None = None,
        end: int | None = None,
        cells: Cells | None = None,
    ) -> EvaluationsPage:
        """A page of evaluations: at most 1,000, behind those of the page whose `next` is given."""
        request = pb.ListEvaluationsRequest(
            name=name, order=_ORDERS[order], limit=limit, after=after, with_replays=with_replays,
            first=first, end=end,
        )  # fmt: skip
        if cells is not None:
            axes, (x_first, x_last), (y_first, y_last) = cells
            request.cells.CopyFrom(
                pb.CellRange(
                    axes=axes.message(), x_first=x_first, x_last=x_last, y_first=y_first, y_last=y_last
                )
            )
        return EvaluationsPage.of(self._ask(lambda stub: stub.ListEvaluations, request))

    def life(self, name: str, individual_id: int) -> Life:
        """An individual of any time: its genome, its evaluations, its children."""
        request = pb.GetLifeRequest(name=name, id=individual_id)
        return Life.of(self._ask(lambda stub: stub.GetLife, request))

    def ancestry(self, name: str) -> Ancestry:
        """Where the population comes from: the champion's line, the tree of the living, the sweeps."""
        return Ancestry.of(self._ask(lambda stub: stub.GetAncestry, pb.GetAncestryRequest(name=name)))

    def behaviour_map(
        self,
        name: str,
        axes: BehaviourAxes | tuple[int, int] | None = (0, 1),
        first: int | None = None,
        end: int | None = None,
    ) -> BehaviourMap:
        """What was done: by two numbers of the behaviour, by given axes, or with None by principal ones."""
        request = pb.GetBehaviourMapRequest(name=name, first=first, end=end)
        if axes is None:
            request.principal = True
        elif isinstance(axes, BehaviourAxes):
            request.axes.CopyFrom(axes.message())
        else:
            request.numbers.x, request.numbers.y = axes
        return BehaviourMap.of(self._ask(lambda stub: stub.GetBehaviourMap, request))

    def archive_parts(self, name: str, first: int = 0) -> Iterator[bytes]:
        """The records from a number on, as parts of an archive: `germline.archive.part` reads them.

        Of an experiment that goes on, up to those that were told when the last part was asked for.
        """
        request = pb.ReadArchiveRequest(name=name, first=first)

        def ask(stub: ExperimentServiceStub, left_s: float) -> list[bytes]:
            call = stub.ReadArchive(request, metadata=self._metadata, timeout=left_s)
            part = next(iter(call), None)
            call.cancel()
            return [] if part is None else [part.part]

        from germline.archive.part import ROWS, read_head  # noqa: PLC0415 - numpy, which few calls need

        while parts := self._masters.call(ask, _TRANSFER_S):
            yield parts[0]
            request.first = read_head(parts[0]).end
            if request.first % ROWS:  # the newest one; there may be more by now, and so on for ever
                return

    def _ask(
        self,
        method: Callable[[ExperimentServiceStub], grpc.UnaryUnaryMultiCallable[_Request, _Response]],
        request: _Request,
    ) -> _Response:
        def ask(stub: ExperimentServiceStub, left_s: float) -> _Response:
            return method(stub)(request, timeout=left_s, metadata=self._metadata)

        return self._masters.call(ask, self._deadline_s)
