"""What the archive holds, as messages: column by column, within bounds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from germline.archive.ancestry import Ancestry, Step
from germline.archive.bands import MOST_POINTS, Axis, Bands
from germline.archive.family import Family, Life
from germline.archive.histogram import CELLS, Axes, Map
from germline.archive.listing import MOST, Cursor, Order
from germline.archive.record import BEHAVIOUR_NUMBERS, Records
from germline.genome import Genome
from germline.v1 import experiment_pb2 as pb
from master.errors import InvalidFieldError

_AXES: dict[int, Axis] = {
    pb.AXIS_UNSPECIFIED: "evaluations",
    pb.AXIS_EVALUATIONS: "evaluations",
    pb.AXIS_FRAMES: "frames",
    pb.AXIS_RUNNING_S: "running",
}
_ORDERS: dict[int, Order] = {
    pb.ORDER_UNSPECIFIED: "time",
    pb.ORDER_OLDEST: "time",
    pb.ORDER_NEWEST: "newest",
    pb.ORDER_BEST: "fitness",
    pb.ORDER_ID: "id",
}
_LARGEST_AXIS, _SHORTEST_AXIS = 1e9, 1e-9  # so that whatever is reckoned with them is a number


def read_bands(request: pb.GetBandsRequest) -> tuple[Axis, float, float, int]:
    """Axis, from where, to where, how many points. Raises InvalidFieldError."""
    if request.axis not in _AXES:
        raise InvalidFieldError(f"axis is {request.axis}; allowed: 0 to {max(_AXES)}")
    points = request.points if request.HasField("points") else MOST_POINTS
    if not 2 <= points <= MOST_POINTS:
        raise InvalidFieldError(f"points is {points}; allowed: 2 to {MOST_POINTS}")
    low = request.low if request.HasField("low") else 0.0
    high = request.high if request.HasField("high") else math.inf
    if not (math.isfinite(low) and low >= 0 and high >= low):
        raise InvalidFieldError(f"low is {low:g} and high {high:g}; allowed: numbers from 0 that rise")
    return _AXES[request.axis], low, high, points


def write_bands(bands: Bands) -> pb.GetBandsResponse:
    """Bands as a message."""
    q00, q10, q50, q90, q100 = bands.quantiles.T.tolist() or [[]] * 5
    return pb.GetBandsResponse(
        first=bands.first.tolist(), end=bands.end.tolist(), records=bands.records.tolist(),
        q00=q00, q10=q10, q50=q50, q90=q90, q100=q100,
        frames=bands.frames.tolist(), running_s=bands.running_s.tolist(),
    )  # fmt: skip


def read_page(request: pb.ListEvaluationsRequest) -> tuple[Order, int, Cursor | None]:
    """Order, how many, behind what. Raises InvalidFieldError."""
    if request.order not in _ORDERS:
        raise InvalidFieldError(f"order is {request.order}; allowed: 0 to {max(_ORDERS)}")
    limit = request.limit if request.HasField("limit") else 100
    if not 1 <= limit <= MOST:
        raise InvalidFieldError(f"limit is {limit}; allowed: 1 to {MOST}")
    order = _ORDERS[request.order]
    return order, limit, _read_cursor(request.after, order) if request.after else None


def write_cursor(cursor: Cursor | None) -> str:
    """A place in a list as text that callers hand back."""
    return "" if cursor is None else f"{cursor.value!r} {cursor.number}"


def _read_cursor(text: str, order: Order) -> Cursor:
    value, _, number = text.partition(" ")
    try:
        found = Cursor(float(value) if order == "fitness" else int(value), int(number))
        if math.isnan(found.value) or not (order == "fitness" or 0 <= found.value < 2**64):
            raise ValueError
        if not 0 <= found.number < 2**63 or (order in ("time", "newest") and found.value >= 2**63):
            raise ValueError
    except ValueError:
        raise InvalidFieldError(f"after is {text[:60]!r}; allowed: what `next` of a page said") from None
    return found


def write_evaluations(numbers: NDArray[np.int64], records: Records) -> pb.Evaluations:
    """Records as a message."""
    plain = {
        name: records[name].tolist()
        for name in (
            "individual", "parent", "mutation", "power", "rank", "seed", "fitness", "episodes", "frames",
            "cap_frames", "worker", "flags", "behaviours",
        )
    }  # fmt: skip
    return pb.Evaluations(
        number=numbers.tolist(),
        running_s=(records["running_cs"] / 100).tolist(),
        behaviour=records["behaviour"].ravel().tolist(),
        **plain,
    )


def write_life(life: Life, genome: Genome | None, no_genome: str) -> pb.GetLifeResponse:
    """An individual of any time as a message."""
    message = pb.GetLifeResponse(
        genome=genome.encode() if genome is not None else b"",
        no_genome=no_genome,
        evaluations=write_evaluations(life.numbers, life.scores),
        evaluations_in_all=life.evaluations,
        children=write_evaluations(life.child_numbers, life.children),
        children_in_all=life.children_in_all,
    )
    if life.best_child is not None:
        message.best_child = life.best_child
    return message


def write_ancestry(ancestry: Ancestry, family: Family, champion: int) -> pb.GetAncestryResponse:
    """A population's ancestry as a message."""
    return pb.GetAncestryResponse(
        trunk=_ancestors(ancestry.trunk, family),
        trunk_length=ancestry.trunk_length,
        gains=ancestry.gains.tolist(),
        common=ancestry.common if ancestry.common >= 0 else None,
        crown=_ancestors(ancestry.crown, family),
        living=ancestry.living,
        moments=(ancestry.moments + 1).tolist(),
        shares=ancestry.shares.ravel().tolist(),
        sweeps=family.view.at(np.array(ancestry.sweeps, np.int64))["individual"].tolist(),
        champion=champion,
    )


def _ancestors(steps: list[Step], family: Family) -> pb.Ancestors:
    rows = np.array([step.row for step in steps], np.int64)
    records = family.view.at(rows)
    return pb.Ancestors(
        id=records["individual"].tolist(),
        parent=[step.parent for step in steps],
        born=family.numbers[rows].tolist(),
        fitness=records["fitness"].tolist(),
        depth=[step.depth for step in steps],
        living=[step.living for step in steps],
    )


def read_axes(message: pb.BehaviourAxes) -> Axes:
    """Axes of a message. Raises InvalidFieldError."""
    weights, low, high = (np.array(each) for each in (message.weights, message.low, message.high))
    if (len(weights), len(low), len(high)) != (2 * BEHAVIOUR_NUMBERS, 2, 2):
        raise InvalidFieldError(
            f"axes has {len(weights)} weights, {len(low)} low and {len(high)} high; "
            f"allowed: {2 * BEHAVIOUR_NUMBERS}, 2 and 2"
        )
    fit = (np.abs([*weights, *low, *high]) <= _LARGEST_AXIS).all() and (high - low >= _SHORTEST_AXIS).all()
    if not fit:
        raise InvalidFieldError(
            f"axes holds others than what is allowed: numbers up to {_LARGEST_AXIS:g}, and a high at least "
            f"{_SHORTEST_AXIS:g} above its low"
        )
    return Axes(weights.reshape(2, -1), low, high)


def read_cells(message: pb.CellRange) -> tuple[tuple[int, int], tuple[int, int]]:
    """Columns and rows of a message. Raises InvalidFieldError."""
    ranges = (message.x_first, message.x_last), (message.y_first, message.y_last)
    for name, (first, last) in zip(("x", "y"), ranges, strict=True):
        if not 0 <= first <= last < CELLS:
            raise InvalidFieldError(f"{name} is {first} to {last}; allowed: 0 to {CELLS - 1}, and rising")
    return ranges


def write_map(found: Map, numbers: int) -> pb.GetBehaviourMapResponse:
    """A map as a message; `numbers` says how many of a behaviour are kept."""
    axes = found.axes
    return pb.GetBehaviourMapResponse(
        axes=pb.BehaviourAxes(
            weights=axes.weights.ravel().tolist(), low=axes.low.tolist(), high=axes.high.tolist()
        ),
        x=found.x.tolist(), y=found.y.tolist(), size=found.size.tolist(), best=found.best.tolist(),
        number=found.number.tolist(), individual=found.individual.tolist(), newest=found.newest.tolist(),
        evaluations=found.evaluations, numbers=numbers,
    )  # fmt: skip
