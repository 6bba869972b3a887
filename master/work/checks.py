"""Results of an experiment that another worker plays again: which, with whom, and what came of it.

A check is an ordinary lease of the same individual and the same episodes to a worker that has not played
them yet. Its ticket has the top bit set, so that it is nobody's work: the algorithm is never told of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from germline.algorithms.base import Ask, Result
from germline.algorithms.draws import Dice
from master.errors import Refusal, RefusedResultError, UnscoredError
from master.work.bounds import ANYTHING, Bounds
from master.work.leases import ForeignLeaseError, LeaseTable, UnknownLeaseError
from master.work.lendings import Lease
from master.work.pending_work import Work
from master.work.statements import Judgement, Outcome, Statement, judge

CHECK = 1 << 63
"""Set in the ticket of a check."""

MOST_OPEN = 256  # of one experiment; the oldest that nobody plays makes room for a new one
_MOST_LENDINGS = 6  # of one check: it may be what its workers die of
_UINT64 = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: its multiples spread evenly, and no period fits them


class Verdict(NamedTuple):
    """A check is over: of which work, what was said of it, and what it came to."""

    ask: Ask
    told: tuple[Statement, ...]
    judgement: Judgement


@dataclass(slots=True)
class _Open:
    """A check that is not over."""

    ask: Ask
    told: list[Statement]
    lendings: int = 0
    unable: set[str] = field(default_factory=set)

    def is_for(self, worker: str) -> bool:
        return worker not in self.unable and all(worker != each.worker for each in self.told)


class Checks:
    """The checks of one experiment that are not over: each waits for another worker, or is lent to one.

    They live in memory: after a restart of the master those that were open are not played.

    Attributes:
        share: of the results that are checked.
        leases: who plays one.
        revoked: leases that are not wanted any more, and whose workers are still to be told so.
        verdicts: what came of checks, until somebody takes it from here.
        outcomes: how often what came of them.
        frames: emulator frames that they took.
    """

    def __init__(
        self,
        share: float,
        seed: int,
        leases: LeaseTable,
        *,
        differences_prove: bool,
        bounds: Bounds = ANYTHING,
    ) -> None:
        """Check this share of an experiment with this seed; see :func:`judge` for `differences_prove`."""
        self._bounds = bounds
        self.share = share
        self.leases = leases
        self.revoked: list[Lease] = []
        self.verdicts: list[Verdict] = []
        self.outcomes: Counter[Outcome] = Counter()
        self.frames = 0
        self._below = round(share * (1 << 64))
        self._offset = Dice(seed, CHECK).seed
        self._differences_prove = differences_prove
        self._open: dict[int, _Open] = {}
        self._waiting: dict[int, None] = {}  # tickets, longest waiting first

    def __len__(self) -> int:
        """How many are not over."""
        return len(self._open)

    @property
    def disputed(self) -> int:
        """Checks in which workers differ and another one must decide."""
        return sum(len(each.told) > 1 for each in self._open.values())

    @property
    def waiting(self) -> int:
        """Checks that nobody plays."""
        return len(self._waiting)

    def chooses(self, ticket: int) -> bool:
        """Whether the result of this ticket is checked; that is decided by it and the experiment's seed."""
        return (ticket * _GOLDEN + self._offset) & _UINT64 < self._below

    def begin(self, ask: Ask, told: Statement) -> None:
        """Have another worker play what this one told."""
        if len(self._open) >= MOST_OPEN and self._waiting:
            self._end(next(iter(self._waiting)), Judgement(Outcome.UNFINISHED))
        if len(self._open) < MOST_OPEN:
            ticket = ask.ticket | CHECK
            self._open[ticket] = _Open(ask._replace(ticket=ticket), [told])
            self._waiting[ticket] = None

    # Lending

    def lend(self, worker: str, n: int) -> list[Work]:
        """Lend up to n checks to a worker, none of which it has played; first those in dispute."""
        fit = [ticket for ticket in self._waiting if self._open[ticket].is_for(worker)]
        fit.sort(key=lambda ticket: -len(self._open[ticket].told))
        del fit[n:]
        for ticket in fit:
            del self._waiting[ticket]
            self._open[ticket].lendings += 1
        return [Work(self._open[lease.ticket].ask, lease) for lease in self.leases.lend(fit, worker)]

    def renew(self, worker: str, ticket: int, attempt: int) -> bool:
        """Let a worker that came back keep a check; False if it is not its to keep."""
        if ticket not in self._open or not self._open[ticket].is_for(worker):
            return False
        if not self.leases.renew(ticket, attempt, worker):
            return False
        self._waiting.pop(ticket, None)
        return True

    def give_back(self, worker: str, tickets: Iterable[int] | None = None) -> int:
        """Take back what a worker holds, all or some of it, to lend it to others; return how many."""
        return self._put_back(self.leases.give_back(worker, tickets))

    def expire(self) -> int:
        """Take back leases that ran out, to lend them to others; return how many."""
        return self._put_back(self.leases.expire())

    def tickets_of(self, worker: str) -> set[int]:
        """What a worker holds."""
        return {lease.ticket for lease in self.leases.held_by(worker)}

    def void(self, worker: str) -> None:
        """A worker's word counts for nothing: others play what it holds, and nobody what it told."""
        self.revoked += self.leases.held_by(worker)
        self._put_back(self.leases.void(worker))
        for ticket, each in list(self._open.items()):
            if each.told[0].worker == worker:
                self._end(ticket, Judgement(Outcome.UNFINISHED))
            else:
                each.told = [told for told in each.told if told.worker != worker]

    def close_all(self) -> None:
        """Nobody needs them any more."""
        for ticket in list(self._open):
            self._end(ticket, Judgement(Outcome.UNFINISHED))

    # Telling

    def tell(self, worker: str, kernels: str | None, attempt: int, result: Result) -> None:
        """Take in what a worker played again.

        Raises:
            RefusedResultError: the check is over, or the lease is not this worker's.
            UnscoredError: the result is no score; another worker may try.
        """
        ticket = result.ticket
        each = self._open.get(ticket)
        if each is None or not each.is_for(worker):
            text = f"the check of ticket {ticket & ~CHECK} is over, or was told before; it counts once"
            raise RefusedResultError(Refusal.ALREADY_TOLD, text)
        self._check_lease(worker, attempt, ticket)
        self.leases.end(ticket, attempt, worker)
        try:
            self._bounds.check(result, each.ask)
        except UnscoredError:
            each.unable.add(worker)
            self._wait(ticket)
            raise
        self.frames += result.frames
        each.told.append(Statement(worker, kernels, result.returns))
        judgement = judge(each.told, differences_prove=self._differences_prove)
        if judgement is None:
            self._wait(ticket)
        else:
            self._end(ticket, judgement)

    def _check_lease(self, worker: str, attempt: int, ticket: int) -> None:
        try:
            self.leases.check(ticket, attempt, worker)
        except ForeignLeaseError as error:
            raise RefusedResultError(Refusal.FOREIGN, str(error)) from None
        except UnknownLeaseError as error:
            raise RefusedResultError(Refusal.UNKNOWN, str(error)) from None

    def _put_back(self, leases: list[Lease]) -> int:
        for lease in leases:
            self._wait(lease.ticket)
        return len(leases)

    def _wait(self, ticket: int) -> None:
        """Wait for another worker; not if too many were lost with it, or could not play it."""
        if self.leases.is_lent(ticket):
            return
        if self._open[ticket].lendings >= _MOST_LENDINGS:
            self._end(ticket, Judgement(Outcome.UNFINISHED))
        else:
            self._waiting[ticket] = None

    def _end(self, ticket: int, judgement: Judgement) -> None:
        each = self._open.pop(ticket)
        self._waiting.pop(ticket, None)
        in_vain = self.leases.close(ticket, "")
        if in_vain is not None:
            self.revoked.append(in_vain)
        self.outcomes[judgement.outcome] += 1
        ask = each.ask._replace(ticket=ticket & ~CHECK)
        self.verdicts.append(Verdict(ask, tuple(each.told), judgement))
