"""Who holds which piece of work, and until when. No network, no storage; the clock is injected."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from master.work.lendings import Lease, Lendings

LENDINGS_PER_BOOT = 4_096
_LENDINGS_PER_OPENING = 128


class ForeignLeaseError(ValueError):
    """The lease was lent to another worker."""


class UnknownLeaseError(ValueError):
    """The lease was never lent."""


class Key(NamedTuple):
    """Names a lease of any experiment, as workers do; the identity of that experiment is 0 if not said."""

    experiment: int
    ticket: int
    attempt: int
    identity: int = 0


class Start(NamedTuple):
    """A start of the master.

    Attributes:
        boot: its number.
        next_ticket: the first ticket that was not asked by then, as far as the journal knew.
    """

    boot: int
    next_ticket: int


class LeaseTable:
    """The leases of one experiment.

    Promises:

    - Work is with one worker at a time; only when its lease ran out, or came back, it may be lent again. To
      finish early, it may be lent a second time on purpose, as a twin.
    - Work that is not told is always either waiting (the caller has it) or lent (it is here): never neither.
    - A result counts once. Late, from a lease that ran out, it counts if nobody else told it; but not from
      a lease that was declared void.
    - Attempts of one ticket only rise, over restarts of the master too: ``boot * 4096 + lendings``, where
      boot is the number of the master's start; work that is reopened after it was told goes on at the next
      multiple of 128. So a lease says which start made it. Work that a start asked
      and the journal did not keep is asked anew by the next, under the same ticket but perhaps for another
      individual; leases of such work are unknown, all others from before a restart are good.

    Every lease has the same length, so the order of lending is the order of deadlines, and expiry costs
    nothing while nothing expires.

    Attributes:
        distrusted: workers whose leases from before this start are void.
    """

    def __init__(
        self, lease_s: float, clock: Callable[[], float], starts: Sequence[Start] = (Start(0, 0),)
    ) -> None:
        """Begin with nothing lent; `starts` are all starts of the master so far, this one last."""
        self.lease_s = lease_s
        self.starts = tuple(starts)
        self.expired = 0
        self.returned = 0
        self.clock = clock
        self._first_attempt = starts[-1].boot * LENDINGS_PER_BOOT + 1
        self._lent = Lendings()  # in order of deadlines
        self._former: dict[int, list[Lease]] = {}  # lendings before the last one of work not told yet
        self._twins = Lendings()  # second lendings of work that is lent, to finish early
        self._void: dict[int, set[int]] = {}  # attempts that do not count, by ticket, of work not told yet
        self._openings: dict[int, int] = {}  # how often work was reopened, by ticket
        self.distrusted: set[str] = set()

    def __len__(self) -> int:
        return len(self._lent)

    def lend(self, tickets: Iterable[int], worker: str) -> list[Lease]:
        """Lend work that is with nobody. Raises ValueError if somebody holds some of it."""
        lent, former, first = self._lent, self._former, self._first_attempt
        deadline = self.clock() + self.lease_s
        leases = []
        for ticket in tickets:
            if held := lent.get(ticket):
                raise ValueError(f"ticket {ticket} is lent to {held.worker}")
            attempt = self._next_attempt(ticket) if ticket in former else first
            leases.append(Lease(ticket, attempt, worker, deadline))
            lent.put(leases[-1])
        return leases

    def lend_twins(self, n: int, worker: str, without: Container[int] = ()) -> list[Lease]:
        """Lend up to n pieces of others' work a second time, oldest first; told once, it counts once."""
        others = (held for held in self._lent if held.worker != worker)
        found = (held for held in others if held.ticket not in self._twins and held.ticket not in without)
        deadline = self.clock() + self.lease_s
        some = list(islice(found, n))
        twins = [Lease(held.ticket, self._next_attempt(held.ticket), worker, deadline) for held in some]
        for twin in twins:
            self._twins.put(twin)
        return twins

    def close_twin(self, ticket: int, worker: str) -> Lease | None:
        """Close the second lending of work that this worker told; return it if it is another's."""
        twin = self._twins.pop(ticket)
        return twin if twin is not None and twin.worker != worker else None

    def check(self, ticket: int, attempt: int, worker: str) -> None:
        """Look whether this worker may tell work that is not told yet.

        Raises:
            ForeignLeaseError: that attempt was lent to another worker.
            UnknownLeaseError: that attempt was never lent.
        """
        held = self._lent.get(ticket)
        if held is None or held.attempt != attempt or held.worker != worker:
            self._check_former(ticket, attempt, worker, held)

    def close(self, ticket: int, worker: str) -> Lease | None:
        """Close work that this worker told; return the lease of another that now plays in vain, if any."""
        held = self._lent.pop(ticket)
        if self._former:
            self._former.pop(ticket, None)
            self._void.pop(ticket, None)
        return held if held is not None and held.worker != worker else None

    def held_s(self, lease: Lease) -> float:
        """How long a lease has been held since it was lent, or renewed."""
        return self.clock() - (lease.deadline - self.lease_s)

    def expire(self) -> list[Lease]:
        """Take back the leases that ran out; their work waits again."""
        now = self.clock()
        gone = []
        for lease in self._lent:
            if lease.deadline > now:
                break
            gone.append(lease)
        gone += [twin for twin in self._twins if twin.deadline <= now]
        self.expired += len(gone)
        return self._take_back(gone)

    def give_back(self, worker: str, tickets: Iterable[int] | None = None) -> list[Lease]:
        """Take back what a worker holds, all of it or the named tickets; their work waits again."""
        if tickets is None:
            gone = self.held_by(worker)
        else:
            found = [held.get(ticket) for ticket in set(tickets) for held in (self._lent, self._twins)]
            gone = [lease for lease in found if lease is not None and lease.worker == worker]
        self.returned += len(gone)
        return self._take_back(gone)

    def end(self, ticket: int, attempt: int, worker: str) -> None:
        """Take one lease back that brought nothing, if its worker still holds it; its work waits."""
        for lease in (self._lent.get(ticket), self._twins.get(ticket)):
            if lease is not None and lease[:3] == (ticket, attempt, worker):
                self.returned += 1
                self._take_back([lease])

    def void(self, worker: str) -> list[Lease]:
        """Take back what a worker holds, and let nothing count that it tells of any lease up to now.

        Returns the leases whose work now waits.
        """
        waiting = self.give_back(worker)
        self.distrusted.add(worker)
        for ticket, leases in self._former.items():
            attempts = {lease.attempt for lease in leases if lease.worker == worker}
            if attempts:
                self._void.setdefault(ticket, set()).update(attempts)
        return waiting

    def reopen(self, ticket: int) -> None:
        """Work that was told is wanted again; whatever attempts it had, the next one is higher."""
        self._openings[ticket] = openings = self._openings.get(ticket, 0) + 1
        highest = self._first_attempt - 1 + openings * _LENDINGS_PER_OPENING
        self._former[ticket] = [Lease(ticket, highest, "", self.clock())]

    def renew(self, ticket: int, attempt: int, worker: str) -> bool:
        """Start a lease's time anew because its worker came back with it; the work must not be told yet.

        A lease that ran out but was not lent again is given back to its worker, and one from before a
        restart of the master is taken over as it is: beside the new one, as its twin, if the work was lent
        again before its worker was back. False if the work is with another worker by now, or the lease is
        void.
        """
        renewed = Lease(ticket, attempt, worker, self.clock() + self.lease_s)
        if attempt in self._void.get(ticket, ()):
            return False
        twin = self._twins.get(ticket)
        if twin is not None and twin[:3] == renewed[:3]:
            self._twins.put(renewed)
            return True
        last = self._lent.get(ticket) or next(reversed(self._former.get(ticket, ())), None)
        if last is None or last[:3] != renewed[:3]:
            if not self._is_from_before(ticket, attempt, worker) or twin is not None:
                return False
            if ticket in self._lent:
                return self._renew_as_twin(renewed)
        self._lent.put(renewed)
        return True

    def _renew_as_twin(self, renewed: Lease) -> bool:
        held = self._lent.get(renewed.ticket)
        if held is not None and held.worker == renewed.worker:
            return False
        self._twins.put(renewed)
        return True

    def close_all(self) -> list[Lease]:
        """Take back everything for good."""
        gone = [*self._lent, *self._twins]
        self._lent.clear()
        self._twins.clear()
        self._former.clear()
        self._void.clear()
        return gone

    def held_by(self, worker: str) -> list[Lease]:
        """What a worker holds."""
        return [*self._lent.of(worker), *self._twins.of(worker)]

    def has(self, worker: str) -> bool:
        """Whether a worker holds anything."""
        return bool(self.held_by(worker))

    def holders(self) -> dict[str, int]:
        """How many leases each worker holds."""
        counts: dict[str, int] = {}
        for worker, held in (*self._lent.counts(), *self._twins.counts()):
            counts[worker] = counts.get(worker, 0) + held
        return counts

    def is_lent(self, ticket: int) -> bool:
        """Whether somebody holds this work."""
        return ticket in self._lent

    def is_with(self, ticket: int, worker: str) -> bool:
        """Whether this worker holds this work."""
        held = self._lent.get(ticket)
        return held is not None and held.worker == worker

    def _take_back(self, gone: list[Lease]) -> list[Lease]:
        """Take leases back; return those whose work now waits: nobody holds it a second time."""
        waiting = []
        for lease in gone:
            ticket = lease.ticket
            self._former.setdefault(ticket, []).append(lease)
            twin = self._twins.pop(ticket)
            if twin is None:
                self._lent.pop(ticket)
                waiting.append(lease)
            elif twin is not lease:
                self._lent.put(twin)
        return waiting

    def _next_attempt(self, ticket: int) -> int:
        """An attempt of this start, above all that the work had; a renewed one may be of an earlier start."""
        held = self._lent.get(ticket)
        lendings: list[Lease] = [*self._former.get(ticket, ()), *([held] if held else ())]
        return max([self._first_attempt, *(lease.attempt + 1 for lease in lendings)])

    def _check_former(self, ticket: int, attempt: int, worker: str, held: Lease | None) -> None:
        """Raise unless this worker got this attempt, or it is from before this start of the master."""
        twin = self._twins.get(ticket)
        lendings = [*self._former.get(ticket, ()), *([held] if held else ()), *([twin] if twin else ())]
        for lease in lendings:
            if lease.attempt == attempt:
                if lease.worker != worker:
                    raise ForeignLeaseError(
                        f"lease of ticket {ticket}, attempt {attempt} was lent to {lease.worker}, "
                        f"not to {worker}"
                    )
                if attempt in self._void.get(ticket, ()):
                    raise UnknownLeaseError(
                        f"lease of ticket {ticket}, attempt {attempt} is void: {worker} was proven wrong"
                    )
                return
        if not self._is_from_before(ticket, attempt, worker):
            raise UnknownLeaseError(
                f"lease of ticket {ticket}, attempt {attempt} was never lent, or lost in a restart"
            )

    def _is_from_before(self, ticket: int, attempt: int, worker: str) -> bool:
        """Whether this is a lease from before this start, of work that the journal kept, and not void."""
        if worker in self.distrusted:
            return False
        boot = (attempt - 1) // LENDINGS_PER_BOOT
        later = bisect_right(self.starts, boot, key=lambda start: start.boot)
        return boot >= 0 and later < len(self.starts) and ticket < self.starts[later].next_ticket
