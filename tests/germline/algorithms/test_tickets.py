"""Tickets: told once, and after a restart known as lost until somebody brings them back."""

from __future__ import annotations

import pytest

from germline.algorithms.base import AlreadyToldError, Ask, Purpose, UnknownTicketError
from germline.algorithms.tickets import TicketBook
from germline.genome import Genome


def ask(ticket: int) -> Ask:
    return Ask(ticket, Genome.founder(ticket), Purpose.EXPLORE, (1,))


def book_after_two_restarts() -> TicketBook:
    """Tickets 3..9 and 11..19 are lost."""
    book = TicketBook()
    book.issue(ask(2))
    book.skip_to(10)
    book.issue(ask(10))
    book.skip_to(20)
    return book


def test_a_lost_ticket_that_is_adopted_leaves_the_others_lost() -> None:
    book = book_after_two_restarts()
    assert book.lost() == [range(2), range(3, 10), range(11, 20)]
    book.issue(ask(6))
    assert book.lost() == [range(2), range(3, 6), range(7, 10), range(11, 20)]
    book.issue(ask(3))
    book.issue(ask(9))
    assert book.lost() == [range(2), range(4, 6), range(7, 9), range(11, 20)]


def test_a_lost_ticket_is_adopted_once() -> None:
    book = book_after_two_restarts()
    book.issue(ask(6))
    assert book.get(6) == ask(6)
    with pytest.raises(AlreadyToldError, match="ticket 6 was asked before and cannot be adopted again"):
        book.issue(ask(6))


def test_passing_over_tickets_already_seen_loses_none() -> None:
    book = book_after_two_restarts()
    before = book.lost()
    for ticket in (0, 19, 20):
        book.skip_to(ticket)
    assert (book.lost(), book.next_ticket) == (before, 20)


def test_each_ticket_that_awaits_nothing_says_why() -> None:
    book = book_after_two_restarts()
    book.close(10)
    for ticket, error, sentence in (
        (-1, UnknownTicketError, r"ticket -1 was never asked; tickets so far are 0\.\.19"),
        (20, UnknownTicketError, r"ticket 20 was never asked; tickets so far are 0\.\.19"),
        (0, UnknownTicketError, "ticket 0 was lost in a restart; its work has been asked anew"),
        (10, AlreadyToldError, "ticket 10 was told before; it counts once"),
    ):
        with pytest.raises(error, match=sentence):
            book.get(ticket)
