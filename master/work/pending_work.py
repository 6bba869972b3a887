"""The work of one experiment that is not told yet: asked, waiting for a worker, or lent to one."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from germline.algorithms.base import JsonValue, Result
from master.errors import Refusal, RefusedResultError
from master.experiments.events import Piece, returns_of
from master.work.leases import ForeignLeaseError, Lease, LeaseTable, Start, UnknownLeaseError
from master.work.waiting import WaitingWork

logger = logging.getLogger(__name__)

_MAX_SPOILED = 3


class Work(NamedTuple):
    """A piece of work and its lease."""

    ask: Piece
    lease: Lease


class PendingWork:
    """Follows every piece of work from its ask until it is told: it waits, or it is lent; never neither.

    The one exception is work that nobody can do: told wrongly again and again, it stays pending, unlent.

    Attributes:
        leases: who holds what.
        revoked: leases that are not wanted any more, and whose workers are still to be told so.
        next_ticket: the first ticket that was not asked yet.
    """

    def __init__(
        self, name: str, lease_s: float, clock: Callable[[], float], starts: Sequence[Start]
    ) -> None:
        """Begin with nothing; `starts` are the master's, this one last."""
        self.leases = LeaseTable(lease_s, clock, starts)
        self.revoked: list[Lease] = []
        self.next_ticket = 0
        self._name = name
        self._starts = list(starts)
        self._next_ticket_kept = 0  # next_ticket when the last of the earlier starts was last written down
        self._waiting = WaitingWork()
        self._pending: dict[int, Piece] = {}
        self._spoiled: dict[int, int] = {}

    @property
    def waiting(self) -> int:
        """Work that waits for a worker."""
        return len(self._waiting)

    # Lending

    def add(self, asks: Sequence[Piece]) -> None:
        """The algorithm asked for this: it waits."""
        self._pending.update((ask.ticket, ask) for ask in asks)
        if asks:
            self.next_ticket = asks[-1].ticket + 1
        self._waiting.add(asks)

    def lend(self, worker: str, n: int, known: Collection[int]) -> list[Work]:
        """Lend up to n pieces of what waits, by preference with genomes that the worker knows."""
        asks = self._waiting.take(n, known)
        return list(map(Work, asks, self.leases.lend([ask.ticket for ask in asks], worker)))

    def lend_twins(self, worker: str, n: int) -> list[Work]:
        """Lend up to n pieces of work a second time, which others hold already."""
        return [Work(self._pending[twin.ticket], twin) for twin in self.leases.lend_twins(n, worker)]

    def renew(self, worker: str, ticket: int, attempt: int) -> bool:
        """Let a worker that came back keep a lease; False if it is not its to keep."""
        if ticket not in self._pending or not self.leases.renew(ticket, attempt, worker):
            return False
        self._waiting.withdraw(ticket)
        return True

    def give_back(self, worker: str, tickets: Iterable[int] | None = None) -> int:
        """Take back what a worker holds, all or some of it, to lend it to others; return how many."""
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

    def tickets_of(self, worker: str) -> set[int]:
        """The work that a worker holds."""
        return {lease.ticket for lease in self.leases.held_by(worker)}

    # Telling

    def check(self, worker: str, attempt: int, result: Result) -> Piece:
        """The work that a result is of.

        Raises:
            RefusedResultError: the work is not pending, the lease is not this worker's, or the result cannot
                be; in the last case the work is lent again.
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
        try:
            _check_returns(result.returns, returns_of(ask))
        except RefusedResultError:
            self._note_spoiled(ticket, worker)
            raise
        return ask

    def close(self, ticket: int, worker: str) -> None:
        """A worker told this: nobody else needs to play it any more."""
        in_vain = (self.leases.close(ticket, worker), self.leases.close_twin(ticket, worker))
        self.revoked += [lease for lease in in_vain if lease is not None]
        self._waiting.withdraw(ticket)

    def close_all(self) -> None:
        """Nothing of this is wanted any more."""
        self.revoked += self.leases.close_all()
        self._waiting.clear()
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
            self._waiting.put_back(self._pending[lease.ticket])
        return len(leases)

    def _note_spoiled(self, ticket: int, worker: str) -> None:
        """Lend work again whose result no evaluation can have; but not for ever, it would fill the fleet."""
        for lease in self.leases.give_back(worker, (ticket,)):
            self._spoiled[ticket] = self._spoiled.get(ticket, 0) + 1
            if self._spoiled[ticket] < _MAX_SPOILED:
                self._waiting.put_back(self._pending[ticket])
            else:
                logger.warning(
                    "experiment %s: ticket %d was told wrongly %d times, last by %s; it is not lent again",
                    self._name, ticket, _MAX_SPOILED, lease.worker,
                )  # fmt: skip

    def _why_not_pending(self, ticket: int) -> RefusedResultError:
        if ticket >= self.next_ticket:
            return RefusedResultError(Refusal.UNKNOWN, f"lease.ticket is {ticket}; it was never lent")
        return RefusedResultError(Refusal.ALREADY_TOLD, f"ticket {ticket} was told before; it counts once")


def _check_returns(returns: tuple[float, ...], episodes: int) -> None:
    if len(returns) != episodes:
        raise RefusedResultError(
            Refusal.WRONG_LENGTH, f"returns has {len(returns)} values; the lease has {episodes} episode seeds"
        )
    if not math.isfinite(sum(returns)):
        raise RefusedResultError(
            Refusal.NOT_FINITE, f"returns is {returns}; every return must be finite, and so must their sum"
        )
