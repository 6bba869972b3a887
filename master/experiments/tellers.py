"""Who told what of the individuals that still count: what is in doubt once a worker is proven wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias

from germline.algorithms.base import Ask

Entry: TypeAlias = tuple[tuple[int, int], int]
"""(An individual, the number of a worker), and how many of its results nobody else confirmed."""

_AT_A_TIME = 4_096  # of most populations few count any more by then; all of a large one take 20 ms


class Tellers:
    """Remembers the workers behind each score, as long as the score counts.

    Bounded by about twice what the algorithm knows: for each new entry up to two of the oldest are looked at,
    and go unless the algorithm still knows the individual.
    """

    def __init__(self, knows: Callable[[int], bool], room: int) -> None:
        """Ask `knows` whether an individual still counts; below `room` entries nothing is looked at."""
        self._knows = knows
        self._room = room
        self._fresh: list[tuple[int, int]] = []  # told and not sorted in yet, without the genomes,
        self._confirmed: list[tuple[int, int]] = []  # and of them and those before, what others confirmed
        self._results: dict[tuple[int, int], int] = {}
        self._order: deque[tuple[int, int]] = deque()  # oldest first, and some that are gone

    def note(self, ask: Ask, worker: int) -> None:
        """The worker of this number told a result of this."""
        self._fresh.append((ask.genome.id, worker))
        if len(self._fresh) >= _AT_A_TIME:
            self._sort_in()

    def confirm(self, individual: int, worker: int) -> None:
        """Another worker played the same of this individual."""
        self._confirmed.append((individual, worker))

    def told_by(self, worker: int) -> tuple[int, ...]:
        """The individuals that still count and of which this worker told what nobody confirmed."""
        self._sort_in()
        return tuple(each for each, by in self._results if by == worker and self._knows(each))

    def forget(self, individuals: Iterable[int]) -> None:
        """Nothing that was told of these counts any more."""
        self._sort_in()
        gone = set(individuals)
        for key in [key for key in self._results if key[0] in gone]:
            del self._results[key]

    def entries(self) -> Collection[Entry]:
        """Everything that is remembered, oldest first. There may be a million: copied in one go."""
        self._sort_in()
        return self._results.copy().items()

    def restore(self, entries: Iterable[Entry]) -> None:
        """Become what :meth:`entries` gave."""
        self._results = dict(entries)
        self._order = deque(self._results)

    def _sort_in(self) -> None:
        results, knows = self._results, self._knows
        for key in self._fresh:
            if not knows(key[0]):
                continue
            if key not in results:
                self._order.append(key)
            results[key] = results.get(key, 0) + 1
            for _ in range(2):
                if len(results) <= self._room:
                    break
                self._look_at_oldest()
        for key in self._confirmed:
            if results.get(key, 0) > 1:
                results[key] -= 1
            else:
                results.pop(key, None)
        self._fresh.clear()
        self._confirmed.clear()

    def _look_at_oldest(self) -> None:
        """Let the oldest go, or stand behind all others if it still counts."""
        oldest = self._order.popleft()
        results = self._results.pop(oldest, 0)
        if results and self._knows(oldest[0]):
            self._results[oldest] = results
            self._order.append(oldest)
