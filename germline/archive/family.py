"""Who descends from whom: parents, children, lines, and genomes from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from germline.archive.record import MEMBER, REPLAY, Records
from germline.archive.view import Column, Piece, View
from germline.genome import Genome, Mutation

MOST_CHILDREN: Final = 100
MOST_SCORES: Final = 1_000


class BrokenLineError(Exception):
    """An ancestor is missing in the archive."""


class Life(NamedTuple):
    """All that is known of one individual.

    Attributes:
        numbers: `[S]` of its evaluations, oldest first, at most 1,000, and
        scores: `[S]` their records.
        evaluations: how many there are.
        children: `[C]` the records of its children, oldest first, at most 100, and
        child_numbers: `[C]` their numbers.
        children_in_all: how many there are.
        best_child: the highest fitness of these; None without any.
    """

    numbers: NDArray[np.int64]
    scores: Records
    evaluations: int
    children: Records
    child_numbers: NDArray[np.int64]
    children_in_all: int
    best_child: float | None


class Family:
    """The individuals of a view, by their rows: of each, the first record counts."""

    def __init__(self, view: View) -> None:
        """See a whole archive; parts of one would not hold everybody's parents."""
        self.view = view
        self.numbers = view.numbers()

    def parents(self) -> NDArray[np.int64]:
        """`[N]` the row of each record's parent; -1: none, or it is missing."""
        pieces = self.view.pieces
        found = [
            piece.derived("parent number", partial(_parent_numbers, piece, pieces[: place + 1]))
            for place, piece in enumerate(pieces)
        ]
        return self._rows(np.concatenate([*found, np.zeros(0, np.int64)]).astype(np.int64))

    def find(self, ids: Collection[int]) -> dict[int, int]:
        """The rows of these individuals, by their ids; whom the archive does not hold is left out."""
        wanted = np.unique(np.fromiter(ids, np.uint64, len(ids)))
        rows = self._rows(_find(wanted, self.view.pieces))
        return {int(i): int(row) for i, row in zip(wanted, rows, strict=True) if row >= 0}

    def life(self, individual: int) -> Life | None:
        """All that is known of an individual; None if it was never evaluated, or is missing."""
        own = self.view.where("individual", individual)
        if not len(own):
            return None
        told_of = self.view.where("parent", individual)
        families = self.view.at(told_of)
        is_first = (families["flags"] & (REPLAY | MEMBER)) == 0
        children, scored = told_of[is_first], families["fitness"][is_first]
        shown, scores = children[:MOST_CHILDREN], own[:MOST_SCORES]
        return Life(
            self.numbers[scores],
            self.view.at(scores),
            len(own),
            self.view.at(shown),
            self.numbers[shown],
            len(children),
            float(scored.max()) if len(children) else None,
        )

    def line(self, row: int) -> list[int]:
        """The rows of the line that led to a record, founder first."""
        parents, line = self.parents(), []
        while row >= 0:
            line.append(row)
            row = int(parents[row])
        return line[::-1]

    def genome(self, individual: int) -> Genome:
        """An individual's genome, from the mutations of its line.

        Raises:
            BrokenLineError: an ancestor is missing.
        """
        row = self.find([individual]).get(individual)
        if row is None:
            raise BrokenLineError("it is not in the archive")
        line = np.array(self.line(row))
        records = self.view.at(line)
        first, *rest = zip(
            records["mutation"].tolist(), records["power"].tolist(), records["rank"].tolist(), strict=True
        )
        genome = Genome.founder(first[0]).extended(Mutation(*each) for each in rest)
        if genome.id != individual:
            raise BrokenLineError(f"{len(line)} generations back, an ancestor is missing in the archive")
        return genome

    def _rows(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of these record numbers; -1 where there is none."""
        if not len(self.numbers):
            return np.full(len(numbers), -1, np.int64)
        if self.numbers[-1] - self.numbers[0] == len(self.numbers) - 1:
            return np.where(numbers >= 0, numbers - self.numbers[0], -1)
        rows = np.searchsorted(self.numbers, numbers)
        rows = np.minimum(rows, len(self.numbers) - 1)
        return np.where(self.numbers[rows] == numbers, rows, -1)


def _parent_numbers(piece: Piece, up_to: Sequence[Piece]) -> NDArray[np.int64]:
    """`[N]` the record number of each record's parent; -1: none."""
    wanted, back = np.unique(piece.column("parent"), return_inverse=True)
    found = _find(wanted.astype(np.uint64), up_to)
    found[wanted == 0] = -1
    return found[back]


def _find(ids: NDArray[np.uint64], pieces: Sequence[Piece]) -> NDArray[np.int64]:
    """The numbers of these individuals' first records; -1 where there is none. Newest pieces first."""
    found = np.full(len(ids), -1, np.int64)
    for piece in reversed(pieces):
        missing = np.flatnonzero(found < 0)
        if not len(missing):
            break
        order = piece.derived("by id", partial(_by_id, piece))
        ordered = piece.derived("ids in order", partial(_ids_in_order, piece, order))
        places = np.minimum(np.searchsorted(ordered, ids[missing]), max(len(order) - 1, 0))
        if len(order):
            hit = ordered[places] == ids[missing]
            found[missing[hit]] = piece.column("number")[order[places[hit]]]
    return found


def _by_id(piece: Piece) -> NDArray[np.int64]:
    """The rows of a piece that are no re-plays, in the order of their individuals."""
    own = np.flatnonzero(piece.column("flags").astype(int) & (REPLAY | MEMBER) == 0)
    return own[np.argsort(piece.column("individual")[own], kind="stable")]


def _ids_in_order(piece: Piece, order: NDArray[np.int64]) -> Column:
    return piece.column("individual")[order]
