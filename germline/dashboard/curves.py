"""Curves of runs: bands of every evaluation where there is an archive, of the population elsewhere.

What was read a moment ago is told again: many browsers ask for the same curve at once.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

from germline.cli.output import Json
from germline.client import Bands, HistoryPoint, MasterError
from germline.client.archive import Axis
from germline.dashboard.answers import short
from germline.dashboard.source import Source

MOST_POINTS = 500
QUANTILES = ("worst", "low", "median", "high", "best")

_FRESH_S = 1.5
_MOST_KEPT = 64
_PLACES: Mapping[Axis, Callable[[HistoryPoint], float]] = {
    "evaluations": lambda point: point.evaluations,
    "frames": lambda point: point.frames,
    "seconds": lambda point: point.running_s,
}


class Stretch(NamedTuple):
    """Which part of a run is wanted, and how fine.

    Attributes:
        axis: what `low` and `high` are counted in.
        low: where to begin; None: at the beginning.
        high: where to end; None: where the run stands.
        points: at most so many.
    """

    axis: Axis = "evaluations"
    low: float | None = None
    high: float | None = None
    points: int = MOST_POINTS


@dataclass(frozen=True, slots=True)
class Curve:
    """Quantiles of fitness along a run, as columns of equal length.

    Attributes:
        of: whose fitness it is, in words.
        note: what is missing in it and why, in a sentence; empty if nothing is.
        width: evaluations in a bin; 0 where points are moments of the population.
        columns: `first`, the number of a bin's first evaluation; where it ends, in `evaluations`, `frames`
            and `seconds`; the five quantiles; and `champion`, whose mean it was by then, or None.
    """

    of: str
    note: str
    width: int
    columns: Mapping[str, list[Any]]

    def told(self, behind: int | None, width: int) -> dict[str, Json]:
        """For browsers; who has bins of this width up to `behind` gets those from there on, if they fit."""
        starts = self.columns["first"]
        fits = behind is not None and width == self.width > 0 and behind in starts
        skipped = starts.index(behind) if fits else 0
        columns = {name: values[skipped:] for name, values in self.columns.items()}
        return {
            "of": self.of,
            "note": self.note,
            "width": self.width,
            "points": len(starts),
            "behind": behind if fits else None,
            "columns": columns,
        }


class Curves:
    """Asks for each curve at most every second and a half, whoever wants it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, Stretch], tuple[float, Curve]] = OrderedDict()
        self._asking: dict[tuple[str, Stretch], threading.Lock] = {}

    def of(self, name: str, stretch: Stretch) -> Curve:
        """A stretch of an experiment's curve, oldest point first. Raises MasterError."""
        wanted = name, stretch
        with self._lock:
            turn = self._asking.setdefault(wanted, threading.Lock())
        with turn:
            kept = self._kept.get(wanted)
            if kept and monotonic() - kept[0] < _FRESH_S:
                return kept[1]
            found = self._read(name, stretch)
            self._keep(wanted, found)
            return found

    def _read(self, name: str, stretch: Stretch) -> Curve:
        history = self._source.history(name)
        try:
            found = self._source.bands(name, stretch.axis, stretch.low, stretch.high, stretch.points)
        except MasterError as error:
            return of_population(history, stretch, str(error))
        return of_evaluations(found, history)

    def _keep(self, wanted: tuple[str, Stretch], curve: Curve) -> None:
        with self._lock:
            self._kept[wanted] = (monotonic(), curve)
            self._kept.move_to_end(wanted)
            while len(self._kept) > _MOST_KEPT:
                self._asking.pop(self._kept.popitem(last=False)[0], None)


def of_evaluations(bands: Bands, history: list[HistoryPoint]) -> Curve:
    """The curve that an archive has: each evaluation counts, in exact quantiles."""
    begins = bands.first[0] if bands.first else 0
    columns: dict[str, list[Any]] = {
        "first": list(bands.first),
        "evaluations": list(bands.end),
        "frames": list(bands.frames),
        "seconds": [round(each, 2) for each in bands.running_s],
        "champion": _champions(history, bands.end),
    }
    told = (bands.q00, bands.q10, bands.q50, bands.q90, bands.q100)
    columns |= {name: list(map(short, values)) for name, values in zip(QUANTILES, told, strict=True)}
    width = bands.end[0] - begins if bands.end else 0
    return Curve("all evaluations", "", width, columns)


def of_population(history: list[HistoryPoint], stretch: Stretch, why: str) -> Curve:
    """The curve that every master keeps: the population at moments, at most so many, both ends among them."""
    place = _PLACES[stretch.axis]
    low = float("-inf") if stretch.low is None else stretch.low
    high = float("inf") if stretch.high is None else stretch.high
    drawn = [point for point in history if len(point.fitness_quantiles) == len(QUANTILES)]
    drawn = [point for point in drawn if low <= place(point) <= high]
    picked = [drawn[number] for number in evenly(len(drawn), stretch.points)]
    columns: dict[str, list[Any]] = {
        "first": [point.evaluations for point in picked],
        "evaluations": [point.evaluations for point in picked],
        "frames": [point.frames for point in picked],
        "seconds": [round(point.running_s, 2) for point in picked],
        "champion": [point.champion_mean for point in picked],
    }
    for number, name in enumerate(QUANTILES):
        columns[name] = [short(point.fitness_quantiles[number]) for point in picked]
    note = f"No archive can be read, so these are quantiles of the population at moments of the run: {why}"
    return Curve("the population", note, 0, columns)


def evenly(count: int, most: int) -> list[int]:
    """At most so many places out of `count`, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [place * (count - 1) // (most - 1) for place in range(most)]


def _champions(history: list[HistoryPoint], ends: tuple[int, ...]) -> list[float | None]:
    """The champion's mean as it was known when so many evaluations were in."""
    places = [point.evaluations for point in history]
    found = [bisect_right(places, end) for end in ends]
    return [history[number - 1].champion_mean if number else None for number in found]
