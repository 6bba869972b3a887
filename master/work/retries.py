"""Work that failed: which attempts of it, on which workers, and what of it waits to be tried again.

An individual that cannot be scored costs itself only. Some fail aloud (a return that is no number, an
exception): then it is known who. Others take their worker with them, and then any of what the worker held may
be why. Such work is tried by a worker that holds nothing else: as much as fills it at first, an eighth of
that when a second worker was lost with it, and so on; what was alone with a lost worker is why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from master.experiments.events import Piece

_LOOKED_AT = 256  # of what waits, for one worker: the loop must not stand still when a whole fleet was lost
_DOUBT = 1e-6  # probability that all the workers that work was alone with were lost by chance
_MOST = 5  # times as many attempts as are enough elsewhere
_TRIAL_BITS = 3  # a trial is an eighth of the one before


class Failure(NamedTuple):
    """One attempt that brought no score.

    Attributes:
        worker: whose it was.
        reason: what went wrong, for people.
        returns: what it brought all the same, NaN for what is missing; empty for nothing.
        lost_with: how much work the worker was lost with, any of which may be why; 0 if it lives and says so.
        by_chance: how likely the worker was to be lost meanwhile whatever it played.
    """

    worker: str
    reason: str
    returns: tuple[float, ...] = ()
    lost_with: int = 0
    by_chance: float = 0.0


class Retries:
    """The failed attempts of work that is not told yet, and what of it nobody holds."""

    def __init__(self, max_attempts: int) -> None:
        self._max_attempts = max_attempts
        self._failures: dict[int, dict[int, Failure]] = {}  # by ticket and attempt, oldest first
        self._waiting: dict[int, Piece] = {}  # what failed aloud, and
        self._suspected: dict[int, Piece] = {}  # what workers were lost with
        self._trials: dict[str, set[int]] = {}  # by worker: what was lent to it of that

    def __len__(self) -> int:
        """How much waits."""
        return len(self._waiting) + len(self._suspected)

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
        self._withdraw(ticket)
        attempts = self._failures.get(ticket, {})
        if attempt in attempts and attempts[attempt].lost_with:
            del attempts[attempt]
        if not attempts:
            self._failures.pop(ticket, None)

    def forget(self, ticket: int) -> None:
        """This work is done, one way or the other."""
        if self._failures.pop(ticket, None):
            self._withdraw(ticket)

    def leave(self, worker: str) -> None:
        """This worker holds nothing any more."""
        self._trials.pop(worker, None)

    def clear(self) -> None:
        """Forget everything."""
        for memory in (self._failures, self._waiting, self._suspected, self._trials):
            memory.clear()

    def failures(self, ticket: int) -> Sequence[Failure]:
        """The failed attempts of some work, oldest first."""
        return list(self._failures.get(ticket, {}).values())

    @property
    def failed(self) -> Collection[int]:
        """The tickets of which an attempt failed."""
        return self._failures.keys()

    def is_hopeless(self, ticket: int) -> bool:
        """Whether enough attempts failed, and the last of them leaves no doubt.

        Where workers are lost all the time, it takes more of them until chance is no explanation.
        """
        failures = self.failures(ticket)
        if len(failures) < self._max_attempts or failures[-1].lost_with > 1:
            return False
        alone = (failure.by_chance for failure in failures if failure.lost_with <= 1)
        return math.prod(alone) <= _DOUBT or len(failures) >= _MOST * self._max_attempts

    # What waits

    def put(self, piece: Piece) -> None:
        """Nobody holds this: another worker may try it."""
        queue = self._suspected if self._losses(piece.ticket) else self._waiting
        queue[piece.ticket] = piece

    def take(self, worker: str, n: int, crew: Collection[str]) -> list[Piece]:
        """Take up to n pieces for a worker of what failed aloud.

        Nothing goes to a worker on which it failed before it has failed on all of the crew.
        """
        return [self._waiting.pop(ticket) for ticket in self._fit(self._waiting, worker, crew)[:n]]

    @property
    def has_trials(self) -> bool:
        """Whether workers were lost with something that is not told yet."""
        return bool(self._suspected or self._trials)

    def is_on_trial(self, worker: str, holds: Callable[[int], bool]) -> bool:
        """Whether a worker still holds some of its trial."""
        held = {ticket for ticket in self._trials.pop(worker, ()) if holds(ticket)}
        if held:
            self._trials[worker] = held
        return bool(held)

    def wants_trial(self, worker: str, crew: Collection[str]) -> bool:
        """Whether something waits for a worker that holds nothing, and this one may be it."""
        return bool(self._fit(self._suspected, worker, crew))

    def try_out(self, worker: str, most: int, crew: Collection[str]) -> list[Piece]:
        """Take a trial for a worker that holds nothing, and that `most` pieces of work fill."""
        fit = self._fit(self._suspected, worker, crew)
        losses = self._losses(fit[0]) if fit else 0
        size = max(most >> _TRIAL_BITS * (losses - 1), 1) if fit else 0
        alike = [ticket for ticket in fit if self._losses(ticket) == losses][:size]
        if alike:
            self._trials[worker] = set(alike)
        return [self._suspected.pop(ticket) for ticket in alike]

    def _fit(self, queue: Mapping[int, Piece], worker: str, crew: Collection[str]) -> list[int]:
        """What a worker may be lent of the oldest that wait; short if much waits for others."""
        return [ticket for ticket in islice(queue, _LOOKED_AT) if self._is_for(ticket, worker, crew)]

    def _is_for(self, ticket: int, worker: str, crew: Collection[str]) -> bool:
        tried = {failure.worker for failure in self._failures.get(ticket, {}).values()}
        return worker not in tried or all(other in tried for other in crew)

    def _withdraw(self, ticket: int) -> None:
        self._waiting.pop(ticket, None)
        self._suspected.pop(ticket, None)

    def _losses(self, ticket: int) -> int:
        """How many workers were lost with it."""
        return sum(failure.lost_with > 0 for failure in self._failures.get(ticket, {}).values())


def merged(failures: Sequence[Failure], episodes: int) -> tuple[float, ...]:
    """Of each episode the first return that an attempt brought, NaN where none did; empty for none at all."""
    complete = [failure.returns for failure in failures if len(failure.returns) == episodes]
    columns = zip(*complete, strict=True)
    return tuple(next(filter(math.isfinite, column), math.nan) for column in columns)
