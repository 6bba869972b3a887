"""Leases by the work that they are of, and by who holds them: with many workers, both are asked often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Lease(NamedTuple):
    """One lending of one piece of work.

    Attributes:
        ticket: which work.
        attempt: which lending of it; see :class:`.leases.LeaseTable`.
        worker: to whom.
        deadline: clock time after which the work may be lent again.
    """

    ticket: int
    attempt: int
    worker: str
    deadline: float


class Lendings:
    """At most one lease for each piece of work, in the order in which they were put here."""

    def __init__(self) -> None:
        self._by_ticket: dict[int, Lease] = {}
        self._by_worker: dict[str, dict[int, None]] = {}  # tickets in order, of those that hold any

    def __len__(self) -> int:
        return len(self._by_ticket)

    def __contains__(self, ticket: int) -> bool:
        return ticket in self._by_ticket

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._by_ticket.values())

    def get(self, ticket: int) -> Lease | None:
        """The lease of this work."""
        return self._by_ticket.get(ticket)

    def put(self, lease: Lease) -> None:
        """Put a lease behind all others, in place of one of the same work."""
        self.pop(lease.ticket)
        self._by_ticket[lease.ticket] = lease
        self._by_worker.setdefault(lease.worker, {})[lease.ticket] = None

    def pop(self, ticket: int) -> Lease | None:
        """Take away the lease of this work, if there is one."""
        lease = self._by_ticket.pop(ticket, None)
        if lease is not None:
            held = self._by_worker[lease.worker]
            del held[ticket]
            if not held:
                del self._by_worker[lease.worker]
        return lease

    def of(self, worker: str) -> list[Lease]:
        """What a worker holds."""
        return [self._by_ticket[ticket] for ticket in self._by_worker.get(worker, ())]

    def counts(self) -> Iterator[tuple[str, int]]:
        """Who holds something, and how much."""
        return ((worker, len(held)) for worker, held in self._by_worker.items())

    def clear(self) -> None:
        """Take everything away."""
        self._by_ticket.clear()
        self._by_worker.clear()
