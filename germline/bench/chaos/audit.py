"""Holds what workers were told against what the journal has: the auditor trusts neither master nor worker."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from germline.bench.bookkeeper import Ledger
from germline.bench.chaos.journal_file import Entry

COUNTED, ALREADY_TOLD = "counted", "already_told"
_CHECK = 1 << 63  # a ticket with this bit is a check of what another worker told
_NAMED = 20


class Claim(NamedTuple):
    """What a master acknowledged to somebody.

    Attributes:
        worker: whose word this is; empty for one of several who keep their books together.
        experiment: its number.
        ticket: of the work.
        frames: that it took.
        returns: what it brought; None if nobody remembers.
        verdict: "counted", or why not.
    """

    worker: str
    experiment: int
    ticket: int
    frames: int
    returns: tuple[float | None, ...] | None
    verdict: str


class Told(NamedTuple):
    """What the journal has of some work."""

    worker: str
    frames: int
    returns: tuple[float, ...]


@dataclass(slots=True)
class Book:
    """One experiment, as its journal has it."""

    told: dict[int, Told] = field(default_factory=dict)
    aside: set[int] = field(default_factory=set)
    twice: list[int] = field(default_factory=list)
    gaps: int = 0
    discarded: int = 0
    _position: int = 0
    _workers: dict[int, str] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Read the next entry."""
        self.gaps += entry.position != self._position + 1
        self._position = entry.position
        for event in entry.events:
            kind = event.WhichOneof("kind")
            if kind == "worker_seen":
                self._workers[event.worker_seen.number] = event.worker_seen.worker_id
            elif kind == "told":
                one = event.told
                self.twice += [one.ticket] if one.ticket in self.told else []
                self.told[one.ticket] = Told(self._workers[one.worker], one.frames, tuple(one.returns))
            elif kind == "set_aside":
                self.aside.add(event.set_aside.ticket)
            elif kind == "discarded":
                self.discarded += len(event.discarded.tickets)

    @property
    def frames(self) -> int:
        """Of everything that was told."""
        return sum(told.frames for told in self.told.values())


def read_books(entries: Iterable[Entry]) -> dict[int, Book]:
    """The books of all experiments, by their numbers."""
    books: defaultdict[int, Book] = defaultdict(Book)
    for entry in entries:
        books[entry.experiment].add(entry)
    return dict(books)


def claims_of_log(worker: str, path: Path) -> Iterator[Claim]:
    """What a worker process noted, see :mod:`worker.connection.results_log`."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        said = json.loads(line)
        yield Claim(
            worker,
            said["experiment"],
            said["ticket"],
            said["frames"],
            tuple(said["returns"]),
            said["verdict"],
        )


def claims_of_ledger(ledger: Ledger, experiment: int) -> Iterator[Claim]:
    """What bookkeepers noted."""
    for ticket, frames in ledger.accepted.items():
        yield Claim("", experiment, ticket, frames, None, COUNTED)
    for ticket in ledger.told:
        yield Claim("", experiment, ticket, 0, None, ALREADY_TOLD)
    for ticket in ledger.doubled:
        yield Claim("", experiment, ticket, ledger.accepted[ticket], None, COUNTED)


@dataclass(slots=True)
class Findings:
    """What the auditor found.

    Attributes:
        acknowledged: evaluations of which somebody was told that they count.
        repeated: claims of which it was said that they had been told before.
        checks: of others' work, which were compared, too.
        verdicts: of all claims.
        lost: evaluations that were acknowledged and are not in the journal.
        doubled: those that it has, or that were acknowledged, twice.
        altered: those that it has with other returns, other frames or another worker.
        troubles: of the first of them, in words.
    """

    acknowledged: int = 0
    repeated: int = 0
    checks: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    troubles: list[str] = field(default_factory=list)

    def note(self, kind: str, what: str) -> None:
        """Something is not as it must be."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.troubles) < _NAMED:
            self.troubles.append(f"{kind}: {what}")


def audit(claims: Iterable[Claim], books: dict[int, Book]) -> Findings:
    """Compare every claim with the books."""
    found, counted = Findings(), set[tuple[int, int]]()
    for number, book in books.items():
        for ticket in book.twice:
            found.note("doubled", f"experiment {number}, ticket {ticket} is told twice in the journal")
    for claim in claims:
        found.verdicts[claim.verdict] += 1
        book = books.get(claim.experiment, Book())
        if claim.ticket >= _CHECK:
            # One that was refused may be of another individual: what was asked under that ticket before a
            # master was lost, and was never durable, nor acknowledged.
            if claim.verdict == COUNTED:
                _hold_check(claim, book, found)
        elif claim.verdict == COUNTED:
            found.acknowledged += 1
            _hold_counted(claim, book, found)
            if (claim.experiment, claim.ticket) in counted:
                found.note("doubled", f"{claim} was acknowledged before")
            counted.add((claim.experiment, claim.ticket))
        elif claim.verdict == ALREADY_TOLD:
            found.repeated += 1
            if claim.ticket not in book.told and claim.ticket not in book.aside:
                found.note("lost", f"{claim} is not in the journal")
    return found


def _hold_counted(claim: Claim, book: Book, found: Findings) -> None:
    """What counted must be there, with the same returns and frames, from the same worker."""
    told = book.told.get(claim.ticket)
    if told is None:
        found.note("lost", f"{claim} is not in the journal")
        return
    is_same = claim.frames == told.frames and claim.worker in ("", told.worker)
    if not is_same or claim.returns not in (None, told.returns):
        found.note("altered", f"{claim} is {told} in the journal")


def _hold_check(claim: Claim, book: Book, found: Findings) -> None:
    """What was played again in whole numbers must be what was told."""
    told = book.told.get(claim.ticket - _CHECK)
    found.checks += 1
    if told is not None and claim.returns != told.returns:
        found.note("altered", f"{claim} is a check of {told}")
