"""Work that failed: which attempts of it, on which workers, and what of it waits to be tried again.

An individual that cannot be scored costs itself only. Some fail aloud (a return that is no number, an
exception): then it is known who. Others take their worker with them, and then any of what the worker held may
be why. So of work that workers were lost with, a worker gets little at a time, and when it is lost in its
turn, only this is blamed; what is alone in this is found out, whatever else the worker held.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from master.experiments.events import Piece

_LOOKED_AT = 256  # of what waits, for one worker: the loop must not stand still when a whole fleet was lost


class Failure(NamedTuple):
    """One attempt that brought no score.

    Attributes:
        worker: whose it was.
        reason: what went wrong, for people.
        returns: what it brought all the same, NaN for what is missing; empty for nothing.
        lost_with: how much work the worker was lost with, any of which may be why; 0 if it lives and says so.
    """

    worker: str
    reason: str
    returns: tuple[float, ...] = ()
    lost_with: int = 0


class Suspects(NamedTuple):
    """Work that may be why a worker was lost, and how many were lost with each before; -1 for no work."""

    losses: int
    tickets: set[int]


class Retries:
    """The failed attempts of work that is not told yet, and what of it nobody holds."""

    def __init__(self, max_attempts: int) -> None:
        self._max_attempts = max_attempts
        self._failures: dict[int, dict[int, Failure]] = {}  # by ticket and attempt, oldest first
        self._waiting: dict[int, Piece] = {}
        self._trials: dict[str, set[int]] = {}  # by worker: work that others were lost with

    def __len__(self) -> int:
        """How much waits."""
        return len(self._waiting)

    # What failed

    def note(self, ticket: int, attempt: int, failure: Failure) -> bool:
        """Remember a failed attempt; False if it was told before."""
        attempts = self._failures.setdefault(ticket, {})
        is_new = attempt not in attempts or attempts[attempt].lost_with > 0
        if is_new:
            attempts.pop(attempt, None)
            attempts[attempt] = failure
        return is_new

    def excuse(self, ticket: int, attempt: int) -> None:
        """The worker was not lost after all: it is back, and plays on."""
        attempts = self._failures.get(ticket, {})
        if attempt in attempts and attempts[attempt].lost_with:
            del attempts[attempt]
        if not attempts:
            self._failures.pop(ticket, None)
        self._waiting.pop(ticket, None)

    def forget(self, ticket: int) -> None:
        """This work is done, one way or the other."""
        self._failures.pop(ticket, None)
        self._waiting.pop(ticket, None)

    def leave(self, worker: str) -> None:
        """This worker holds nothing any more."""
        self._trials.pop(worker, None)

    def clear(self) -> None:
        """Forget everything."""
        self._failures.clear()
        self._waiting.clear()
        self._trials.clear()

    def failures(self, ticket: int) -> Sequence[Failure]:
        """The failed attempts of some work, oldest first."""
        return list(self._failures.get(ticket, {}).values())

    @property
    def failed(self) -> Collection[int]:
        """The tickets of which an attempt failed."""
        return self._failures.keys()

    def is_hopeless(self, ticket: int) -> bool:
        """Whether enough attempts failed, and the last of them leaves no doubt."""
        failures = self.failures(ticket)
        return len(failures) >= self._max_attempts and failures[-1].lost_with <= 1

    def suspects(self, tickets: Iterable[int]) -> Suspects:
        """Of work that a worker was lost with, what may be why: what most workers were lost with before."""
        losses = {ticket: self._losses(ticket) for ticket in tickets}
        most = max(losses.values(), default=-1)
        return Suspects(most, {ticket for ticket, count in losses.items() if count == most})

    # What waits

    def put(self, piece: Piece) -> None:
        """Nobody holds this: another worker may try it."""
        self._waiting[piece.ticket] = piece

    def take(
        self, worker: str, n: int, crew: Collection[str], trials: int, holds: Callable[[int], bool]
    ) -> list[Piece]:
        """Take up to n pieces of work for a worker.

        Args:
            worker: for whom; nothing that failed there and not yet on all of the crew.
            n: how many at most.
            crew: the workers that play this experiment.
            trials: how much work a worker may hold that others were lost with; twice lost, it goes alone.
            holds: whether the worker holds this ticket.
        """
        if not self._waiting:
            return []
        taken: list[Piece] = []
        held = {ticket for ticket in self._trials.pop(worker, ()) if holds(ticket)}
        for piece in list(islice(self._waiting.values(), _LOOKED_AT)):
            if len(taken) < n and self._suits(piece.ticket, worker, crew, held, trials):
                taken.append(self._waiting.pop(piece.ticket))
                if self._losses(piece.ticket):
                    held.add(piece.ticket)
        if held:
            self._trials[worker] = held
        return taken

    def _suits(
        self, ticket: int, worker: str, crew: Collection[str], held: Collection[int], trials: int
    ) -> bool:
        tried = {failure.worker for failure in self._failures.get(ticket, {}).values()}
        if worker in tried and any(other not in tried for other in crew):
            return False
        losses = self._losses(ticket)
        if not losses:
            return True
        is_alone = losses == 1 or not any(self._losses(other) > 1 for other in held)
        return len(held) < trials and is_alone

    def _losses(self, ticket: int) -> int:
        """How many workers were lost with it."""
        return sum(failure.lost_with > 0 for failure in self._failures.get(ticket, {}).values())


def merged(failures: Sequence[Failure], episodes: int) -> tuple[float, ...]:
    """Of each episode the first return that an attempt brought, NaN where none did; empty for none at all."""
    complete = [failure.returns for failure in failures if len(failure.returns) == episodes]
    columns = zip(*complete, strict=True)
    return tuple(next(filter(math.isfinite, column), math.nan) for column in columns)
