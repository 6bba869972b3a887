"""The work of one experiment that is not told yet: asked, waiting for a worker, or lent to one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from germline.algorithms.base import JsonValue, Result
from master.errors import Refusal, RefusedResultError
from master.experiments.events import Piece
from master.work.bounds import ANYTHING, Bounds
from master.work.churn import NO_CHANCE, Odds
from master.work.leases import ForeignLeaseError, LeaseTable, Start, UnknownLeaseError
from master.work.lendings import Lease
from master.work.retries import Failure, Retries
from master.work.waiting import WaitingWork


class Work(NamedTuple):
    """A piece of work and its lease."""

    ask: Piece
    lease: Lease


class PendingWork:
    """Follows every piece of work from its ask until it is told: it waits, or it is lent; never neither.

    Attributes:
        leases: who holds what.
        retries: what failed, and waits to be tried again.
        revoked: leases that are not wanted any more, and whose workers are still to be told so.
        next_ticket: the first ticket that was not asked yet.
    """

    def __init__(
        self,
        lease_s: float,
        clock: Callable[[], float],
        starts: Sequence[Start],
        max_attempts: int = 3,
        bounds: Bounds = ANYTHING,
    ) -> None:
        """Begin with nothing; `starts` are the master's, this one last."""
        self._bounds = bounds
        self.leases = LeaseTable(lease_s, clock, starts)
        self.retries = Retries(max_attempts)
        self.revoked: list[Lease] = []
        self.next_ticket = 0
        self._starts = list(starts)
        self._next_ticket_kept = 0  # next_ticket when the last of the earlier starts was last written down
        self._waiting = WaitingWork()
        self._pending: dict[int, Piece] = {}

    @property
    def waiting(self) -> int:
        """Work that waits for a worker."""
        return len(self._waiting) + len(self.retries)

    @property
    def waiting_for_any(self) -> int:
        """Work that waits, and that every worker may have: it did not fail yet."""
        return len(self._waiting)

    # Lending

    def add(self, asks: Sequence[Piece]) -> None:
        """The algorithm asked for this: it waits."""
        self._pending.update((ask.ticket, ask) for ask in asks)
        if asks:
            self.next_ticket = asks[-1].ticket + 1
        self._waiting.add(asks)

    def lend(self, worker: str, n: int, known: Collection[int], crew: Collection[str] = ()) -> list[Work]:
        """Lend up to n pieces of what waits, by preference with genomes that the worker knows.

        What failed on one worker goes to another of the `crew`, as far as there are others.
        """
        asks = self.retries.take(worker, n, crew)
        return self._lend(worker, asks + self._waiting.take(n - len(asks), known))

    def is_on_trial(self, worker: str) -> bool:
        """Whether a worker holds work that others were lost with, and so should hold nothing else."""
        return self.retries.is_on_trial(worker, lambda ticket: self.leases.is_with(ticket, worker))

    def lend_trial(self, worker: str, most: int, crew: Collection[str]) -> list[Work]:
        """Lend what others were lost with to a worker that holds nothing, and that `most` pieces fill."""
        return self._lend(worker, self.retries.try_out(worker, most, crew))

    def _lend(self, worker: str, asks: Sequence[Piece]) -> list[Work]:
        return list(map(Work, asks, self.leases.lend([ask.ticket for ask in asks], worker)))

    def lend_twins(self, worker: str, n: int) -> list[Work]:
        """Lend up to n pieces of work a second time, which others hold already."""
        twins = self.leases.lend_twins(n, worker, without=self.retries.failed)
        return [Work(self._pending[twin.ticket], twin) for twin in twins]

    def renew(self, worker: str, ticket: int, attempt: int) -> bool:
        """Let a worker that came back keep a lease; False if it is not its to keep."""
        if ticket not in self._pending or not self.leases.renew(ticket, attempt, worker):
            return False
        self._waiting.withdraw(ticket)
        self.retries.excuse(ticket, attempt)
        return True

    def give_back(self, worker: str, tickets: Iterable[int] | None = None) -> int:
        """Take back what a worker holds, all or some of it, to lend it to others; return how many."""
        if tickets is None:
            self.retries.leave(worker)
        return self._put_back(self.leases.give_back(worker, tickets))

    def void(self, worker: str) -> None:
        """Take back what a worker holds; nothing counts that it tells of what it was lent up to now."""
        self.revoked += self.leases.held_by(worker)
        self._put_back(self.leases.void(worker))

    def distrust(self, worker: str) -> None:
        """Replay that nothing counts which this worker was lent."""
        self.leases.distrusted.add(worker)

    def expire(self) -> int:
        """Take back leases that ran out, to lend them to others; return how many."""
        return self._put_back(self.leases.expire())

    def lose(
        self, worker: str, reason: str, tickets: Collection[int], lost_with: int, odds: Odds = NO_CHANCE
    ) -> list[int]:
        """A worker is lost, of which this may be why, or other work of the `lost_with` pieces in all.

        Returns the tickets of what is not lent again, because too many were lost with it.
        """
        for lease in self.leases.held_by(worker):
            if lease.ticket in tickets:
                by_chance = odds.within(self.leases.held_s(lease))
                failure = Failure(worker, reason, lost_with=lost_with, by_chance=by_chance)
                self.retries.note(lease.ticket, lease.attempt, failure)
        gone = self.leases.give_back(worker, tickets)
        return [lease.ticket for lease in gone if not self._try_again(lease.ticket)]

    def fail(self, worker: str, attempt: int, result: Result, reason: str) -> bool:
        """An attempt brought no score: another worker may try. Whether this was the last try.

        Who holds it beside may still tell it; only then it is known.
        """
        ticket = result.ticket
        if not self.retries.note(ticket, attempt, Failure(worker, reason, result.returns)):
            return False
        self.leases.end(ticket, attempt, worker)
        self._waiting.withdraw(ticket)
        return not self.leases.is_lent(ticket) and not self._try_again(ticket)

    def tickets_of(self, worker: str) -> set[int]:
        """The work that a worker holds."""
        return {lease.ticket for lease in self.leases.held_by(worker)}

    # Telling

    def check(self, worker: str, attempt: int, result: Result) -> Piece:
        """The work that a result is of.

        Raises:
            RefusedResultError: the work is not pending, or the lease is not this worker's.
            UnscoredError: the result is no score; nothing has changed yet, see :meth:`fail`.
        """
        ticket = result.ticket
        ask = self._pending.get(ticket)
        if ask is None:
            raise self._why_not_pending(ticket)
        try:
            self.leases.check(ticket, attempt, worker)
        except ForeignLeaseError as error:
            raise RefusedResultError(Refusal.FOREIGN, str(error)) from None
        except UnknownLeaseError as error:
            raise RefusedResultError(Refusal.UNKNOWN, str(error)) from None
        self._bounds.check(result, ask)
        return ask

    def close(self, ticket: int, worker: str) -> None:
        """A worker told this: nobody else needs to play it any more."""
        in_vain = (self.leases.close(ticket, worker), self.leases.close_twin(ticket, worker))
        self.revoked += [lease for lease in in_vain if lease is not None]
        self._waiting.withdraw(ticket)
        self.retries.forget(ticket)

    def close_all(self) -> None:
        """Nothing of this is wanted any more."""
        self.revoked += self.leases.close_all()
        self._waiting.clear()
        self.retries.clear()
        self._pending.clear()

    def reopen(self, asks: Iterable[Piece]) -> None:
        """What was told of this does not count after all: it waits again."""
        for ask in asks:
            self.expect(ask)
            self.leases.reopen(ask.ticket)
            self._waiting.put_back(ask)

    # What is pending, live and in a replay

    def expect(self, ask: Piece) -> None:
        """A result of this is wanted."""
        self._pending[ask.ticket] = ask
        self.next_ticket = max(self.next_ticket, ask.ticket + 1)

    def piece(self, ticket: int) -> Piece:
        """What was asked under a pending ticket."""
        return self._pending[ticket]

    def settle(self, ticket: int) -> Piece:
        """The result of this is in; return what was asked."""
        return self._pending.pop(ticket)

    def expect_only(self, asks: Iterable[Piece]) -> None:
        """Of all that was asked, only this is still wanted."""
        self._pending = {ask.ticket: ask for ask in asks}

    def snapshot(self) -> dict[str, JsonValue]:
        """What a restart must know beside the algorithm's own asks."""
        return {"next_ticket": self.next_ticket, "starts": [list(start) for start in self._starts]}

    def restore(self, snapshot: Mapping[str, JsonValue], pending: Iterable[Piece]) -> None:
        """Become what :meth:`snapshot` wrote, with what the algorithm has not been told."""
        self.next_ticket = cast(int, snapshot["next_ticket"])
        self._starts[:0] = [Start(*start) for start in cast(list[Any], snapshot["starts"])]
        self._next_ticket_kept = self.next_ticket
        self.expect_only(pending)

    def revive(self) -> None:
        """Go on after a replay: all that is pending waits, and leases of earlier starts are known as such."""
        boot = self._starts.pop().boot
        self._starts += [*self._unwritten_start(boot), Start(boot, self.next_ticket)]
        former, self.leases = self.leases, LeaseTable(self.leases.lease_s, self.leases.clock, self._starts)
        self.leases.distrusted |= former.distrusted
        for ticket in sorted(self._pending):
            self._waiting.put_back(self._pending[ticket])

    def _unwritten_start(self, boot: int) -> list[Start]:
        """What stands in for starts before this one that ended before a snapshot told of them.

        They may have asked anew what an earlier start asked and lost; what was asked up to the last snapshot
        they have not.
        """
        written = self._starts[-1].boot if self._starts else 0
        return [Start(boot - 1, self._next_ticket_kept)] if written < boot - 1 else []

    def _put_back(self, leases: list[Lease]) -> int:
        for lease in leases:
            queue = self.retries.put if lease.ticket in self.retries.failed else self._waiting.put_back
            queue(self._pending[lease.ticket])
        return len(leases)

    def _try_again(self, ticket: int) -> bool:
        """Let another worker try what nobody holds; False if too many have."""
        if self.retries.is_hopeless(ticket):
            return False
        self.retries.put(self._pending[ticket])
        return True

    def _why_not_pending(self, ticket: int) -> RefusedResultError:
        if ticket >= self.next_ticket:
            return RefusedResultError(Refusal.UNKNOWN, f"lease.ticket is {ticket}; it was never lent")
        return RefusedResultError(
            Refusal.ALREADY_TOLD, f"ticket {ticket} was told before, or set aside; it counts once"
        )
