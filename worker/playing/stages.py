"""Where a worker's time goes: into filling slots, networks, emulators, reporting, and moving centres."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, runtime_checkable


class Stages(NamedTuple):
    """Seconds by what they went into, and how often a parent's weights were at hand. All of them only rise.

    Attributes:
        fill_s: writing networks into slots.
        infer_s: asking networks for actions.
        emulate_s: beginning and stepping episodes, or calling the task's function.
        report_s: adding up what was played.
        update_s: moving an evolution strategy's centre.
        cache_hits: parents whose weights were kept.
        cache_misses: parents whose weights had to be made.
    """

    fill_s: float = 0.0
    infer_s: float = 0.0
    emulate_s: float = 0.0
    report_s: float = 0.0
    update_s: float = 0.0
    cache_hits: int = 0
    cache_misses: int = 0

    @classmethod
    def total(cls, parts: Iterable[Stages]) -> Stages:
        """All of them together."""
        return cls(*map(sum, zip(cls(), *parts, strict=True)))

    def since(self, before: Stages) -> Stages:
        """What came on top of that."""
        rises = (
            max(0, now - then) for now, then in zip(self, before, strict=True)
        )  # a new population counts anew
        return Stages(*rises)  # type: ignore[arg-type]


class Stage(enum.IntEnum):
    """What goes on now."""

    FILL = 0
    INFER = 1
    EMULATE = 2
    REPORT = 3
    UPDATE = 4
    NOTHING = 5


class CountsUses(Protocol):
    """What counts how often a parent's weights were at hand."""

    hits: int
    misses: int


@runtime_checkable
class HasCache(Protocol):
    """A population, or an engine, that keeps parents' weights."""

    @property
    def cache(self) -> CountsUses:
        """Where it keeps them."""
        ...


class StageClock:
    """Adds up the time between two switches: two reads of the clock a switch would be one too many."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin with nothing going on."""
        self._clock = clock
        self._seconds = [0.0] * len(Stage)
        self._stage = int(Stage.NOTHING)
        self._since_s = clock()

    def switch(self, stage: int) -> int:
        """From now on it is that; returns what it was."""
        now_s = self._clock()
        before = self._stage
        self._seconds[before] += now_s - self._since_s
        self._stage, self._since_s = stage, now_s
        return before

    @contextmanager
    def during(self, stage: int) -> Iterator[None]:
        """Inside of the `with` block it is that, whatever is raised there."""
        before = self.switch(stage)
        try:
            yield
        finally:
            self.switch(before)

    def read(self, cache: object = None) -> Stages:
        """The seconds so far, with the uses of the cache that something has, if it has one."""
        uses = (cache.cache.hits, cache.cache.misses) if isinstance(cache, HasCache) else (0, 0)
        fill_s, infer_s, emulate_s, report_s, update_s, _ = self._seconds
        return Stages(fill_s, infer_s, emulate_s, report_s, update_s, *uses)
