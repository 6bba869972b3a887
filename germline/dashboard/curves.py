"""Curves that were asked for a moment ago: many browsers ask for the same one at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from time import monotonic

from germline.client import HistoryPoint
from germline.dashboard.source import Source

_FRESH_S = 1.5
_MOST_KEPT = 32


class Curves:
    """Asks for each curve at most every second and a half, whoever wants it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, list[HistoryPoint]]] = OrderedDict()
        self._asking: dict[str, threading.Lock] = {}

    def of(self, name: str) -> list[HistoryPoint]:
        """The curve of an experiment, oldest point first. Raises MasterError."""
        with self._lock:
            turn = self._asking.setdefault(name, threading.Lock())
        with turn:
            kept = self._kept.get(name)
            if kept and monotonic() - kept[0] < _FRESH_S:
                return kept[1]
            found = self._source.history(name)
            self._keep(name, found)
            return found

    def _keep(self, name: str, points: list[HistoryPoint]) -> None:
        with self._lock:
            self._kept[name] = (monotonic(), points)
            self._kept.move_to_end(name)
            while len(self._kept) > _MOST_KEPT:
                self._asking.pop(self._kept.popitem(last=False)[0], None)
