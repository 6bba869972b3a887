"""Long work beside a thread that has to answer quickly: whoever does it rests, for most of the time.

Python lets one thread at a time have the interpreter. A thread that answers a thousand peers gives it away
for a moment with every message, and waits to have it back for as long as another one computes: beside one
that computes without a pause it answers several times slower. So that one pauses, of its own accord.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TypeVar

_T = TypeVar("_T")

_AT_A_TIME_S = 0.002  # of work between two rests
_RESTS = 2.0  # times as long as the work before; waiting for the interpreter counts as work
_LONGEST_S = 0.05
_ITEMS = 256  # between two looks at the clock

_here = threading.local()


@contextmanager
def at_leisure(hurry: threading.Event) -> Iterator[None]:
    """Let :func:`rest` rest in this thread, except while somebody hurries; elsewhere it does nothing."""
    _here.hurry, _here.since_s = hurry, monotonic()
    try:
        yield
    finally:
        del _here.hurry


def rest() -> None:
    """Rest if it is time to: long work calls this again and again."""
    hurry: threading.Event | None = getattr(_here, "hurry", None)
    if hurry is None:
        return
    worked_s = monotonic() - _here.since_s
    if worked_s >= _AT_A_TIME_S:
        hurry.wait(min(_RESTS * worked_s, _LONGEST_S))
        _here.since_s = monotonic()


def resting(items: Iterable[_T]) -> Iterator[_T]:
    """Yield the items, and rest between them where it is time to."""
    for place, item in enumerate(items):
        if place % _ITEMS == 0:
            rest()
        yield item
