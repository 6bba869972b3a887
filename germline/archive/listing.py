"""Records of an archive page by page: by time, by fitness or by id."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from germline.archive.record import REPLAY, Records
from germline.archive.view import View

Order = Literal["time", "newest", "fitness", "id"]

MOST: Final = 1_000


class Cursor(NamedTuple):
    """The last record of a page: the value that it was ordered by, and its number."""

    value: float | int
    number: int


class Page(NamedTuple):
    """Some records.

    Attributes:
        numbers: `[N]` of each.
        records: `[N]`.
        next: to ask for the page behind it; None for the last.
    """

    numbers: NDArray[np.int64]
    records: Records
    next: Cursor | None


def page(
    view: View,
    order: Order,
    limit: int,
    after: Cursor | None = None,
    *,
    with_replays: bool = False,
    among: NDArray[np.int64] | None = None,
) -> Page:
    """The records behind a cursor: oldest, newest, best or lowest ids first; of equals, the older.

    Args:
        view: where to look.
        order: of the records.
        limit: how many.
        after: the cursor; None for the first page.
        with_replays: whether fresh episodes of known individuals are wanted, too.
        among: only these rows; None for all.
    """
    numbers, keys = view.numbers(), _keys(view, order)
    wanted = np.ones(len(numbers), bool) if with_replays else (view.column("flags").astype(int) & REPLAY) == 0
    if among is not None:
        chosen = np.zeros(len(numbers), bool)
        chosen[among] = True
        wanted &= chosen
    if after is not None:
        last = _key(after.value, order, keys.dtype)
        wanted &= (keys > last) | ((keys == last) & (numbers > after.number))
    rows = _first(np.flatnonzero(wanted), keys, limit + 1)
    shown = rows[:limit]
    records = view.at(shown)
    more = None
    if len(rows) > limit:
        number = int(numbers[shown[-1]])
        more = Cursor(_value(records[-1], number, order), number)
    return Page(numbers[shown], records, more)


def _keys(view: View, order: Order) -> NDArray[Any]:
    """What rises in the order that is asked for."""
    if order == "fitness":
        return -view.column("fitness").astype(np.float64)
    if order == "id":
        return view.column("individual")
    numbers = view.numbers()
    return -numbers if order == "newest" else numbers


def _key(value: float | int, order: Order, kind: np.dtype[Any]) -> Any:
    return kind.type(-value if order in ("fitness", "newest") else value)


def _value(record: np.void, number: int, order: Order) -> float | int:
    if order == "fitness":
        return float(record["fitness"])
    return int(record["individual"]) if order == "id" else number


def _first(rows: NDArray[np.int64], keys: NDArray[Any], limit: int) -> NDArray[np.int64]:
    """The rows with the lowest keys, in order; of equal ones the first."""
    if len(rows) > limit:
        found = keys[rows]
        bound = np.partition(found, limit - 1)[limit - 1]
        below = rows[found < bound]
        rows = np.concatenate([below, rows[found == bound][: limit - len(below)]])
    return rows[np.lexsort((rows, keys[rows]))]
