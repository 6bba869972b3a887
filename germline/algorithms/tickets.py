"""Which tickets are out: bounded by what is pending, however many were told."""

from __future__ import annotations

from collections.abc import Iterable

from germline.algorithms.base import AlreadyToldError, Ask, UnknownTicketError


class TicketBook:
    """Counts tickets and remembers the pending ones.

    A ticket below the counter that is neither pending nor lost has been told: so no list of told tickets is
    kept. A ticket is lost when a restart passes over it (:meth:`skip_to`, or an adopted ticket beyond the
    counter); a run has as many lost *ranges* as it had restarts, at most.
    """

    def __init__(self) -> None:
        self.next_ticket = 0
        self._pending: dict[int, Ask] = {}
        self._lost: list[range] = []

    def issue(self, ask: Ask) -> None:
        """Note an Ask as pending; its ticket is the counter's or, after a restart, any ticket not yet told.

        Raises:
            AlreadyToldError: the ticket is below the counter and not lost.
        """
        if ask.ticket >= self.next_ticket:
            self.skip_to(ask.ticket)
            self.next_ticket += 1
        elif not self._find(ask.ticket):
            raise AlreadyToldError(f"ticket {ask.ticket} was asked before and cannot be adopted again")
        self._pending[ask.ticket] = ask

    def skip_to(self, ticket: int) -> None:
        """Never issue a ticket below this one: those not seen yet are lost until they are adopted."""
        if ticket > self.next_ticket:
            self._lost.append(range(self.next_ticket, ticket))
            self.next_ticket = ticket

    def get(self, ticket: int) -> Ask:
        """The pending Ask of a ticket; raises AlreadyToldError or UnknownTicketError if there is none."""
        ask = self._pending.get(ticket)
        if ask is not None:
            return ask
        if not 0 <= ticket < self.next_ticket:
            raise UnknownTicketError(
                f"ticket {ticket} was never asked; tickets so far are 0..{self.next_ticket - 1}"
            )
        if any(ticket in span for span in self._lost):
            raise UnknownTicketError(f"ticket {ticket} was lost in a restart; its work has been asked anew")
        raise AlreadyToldError(f"ticket {ticket} was told before; it counts once")

    def close(self, ticket: int) -> None:
        """Forget a pending ticket: it has been told."""
        del self._pending[ticket]

    def pending(self) -> list[Ask]:
        """The pending asks in order of their tickets."""
        return [self._pending[ticket] for ticket in sorted(self._pending)]

    def lost(self) -> list[range]:
        """The ranges of tickets that a restart passed over."""
        return list(self._lost)

    def load(self, next_ticket: int, pending: Iterable[Ask], lost: Iterable[range]) -> None:
        """Become what a snapshot says."""
        self.next_ticket = next_ticket
        self._pending = {ask.ticket: ask for ask in pending}
        self._lost = list(lost)

    def _find(self, ticket: int) -> bool:
        """Take a ticket out of the lost ranges; False if it is in none."""
        for position, span in enumerate(self._lost):
            if ticket in span:
                halves = (range(span.start, ticket), range(ticket + 1, span.stop))
                self._lost[position : position + 1] = [half for half in halves if half]
                return True
        return False
