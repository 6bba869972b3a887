"""Work that waits for a worker: asked of the algorithm, not lent yet (or not any more)."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence

from germline.algorithms.base import Ask
from master.experiments.events import Piece

_PATIENCE = 4  # the oldest work goes first when it has seen so many times the queue pass by


def base_id(ask: Piece) -> int:
    """The genome that a worker must know to play this: a child's parent, otherwise the individual itself.

    Slices of an epoch need none; below 0, they are nobody's genome.
    """
    if not isinstance(ask, Ask):
        return -1
    return ask.genome.id if ask.parent_id is None else ask.parent_id


class WaitingWork:
    """Waiting work in groups that share a base genome.

    Taking prefers work that came back, then groups whose base the worker knows, then the oldest groups; a
    group is taken as a whole as far as there is room, so that children of one parent stay together. Nothing
    waits for ever.
    """

    def __init__(self) -> None:
        self._returned: dict[int, Piece] = {}  # by ticket, longest back first
        self._groups: dict[int, deque[Piece]] = {}  # by base genome, oldest group first
        self._size = 0
        self._newest = 0

    def __len__(self) -> int:
        return self._size + len(self._returned)

    def add(self, asks: Sequence[Piece]) -> None:
        """Queue fresh work."""
        groups = self._groups
        for ask in asks:
            base = base_id(ask)
            group = groups.get(base)
            if group is None:
                group = groups[base] = deque()
            group.append(ask)
        self._size += len(asks)
        if asks:
            self._newest = asks[-1].ticket

    def put_back(self, ask: Piece) -> None:
        """Queue work that was lent before; it goes first."""
        self._returned[ask.ticket] = ask

    def withdraw(self, ticket: int) -> None:
        """Take work that was put back out again, if it is here: it was told late, or its holder came back."""
        self._returned.pop(ticket, None)

    def take(self, n: int, known: Container[int]) -> list[Piece]:
        """Take up to n pieces of work for a worker that knows these genomes."""
        taken: list[Piece] = []
        while self._returned and len(taken) < n:
            taken.append(self._returned.pop(next(iter(self._returned))))
        if len(taken) < n and self._is_overdue():
            self._take_group(next(iter(self._groups)), n, taken)
        if len(taken) < n:
            for base in [base for base in self._groups if base in known]:
                self._take_group(base, n, taken)
                if len(taken) == n:
                    break
        while self._groups and len(taken) < n:
            self._take_group(next(iter(self._groups)), n, taken)
        return taken

    def clear(self) -> None:
        """Forget everything."""
        self._returned.clear()
        self._groups.clear()
        self._size = 0

    def _is_overdue(self) -> bool:
        if not self._groups:
            return False
        oldest = next(iter(self._groups.values()))[0].ticket
        return self._newest - oldest > _PATIENCE * max(self._size, 16)

    def _take_group(self, base: int, n: int, taken: list[Piece]) -> None:
        group = self._groups[base]
        room = min(n - len(taken), len(group))
        taken.extend(group.popleft() for _ in range(room))
        self._size -= room
        if not group:
            del self._groups[base]
