"""Who descends from whom, for other programs: Newick, and the phylogeny table of artificial life.

The table's standard (Lalejini et al. 2019, "Data standards for artificial life software") has a row for each
individual: `id`, `ancestor_list` and `origin_time`. Ids there are the numbers of first
evaluations, whole numbers that every reader takes; an individual's own id is its `taxon_label`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from germline.archive.record import MEASUREMENT, MEMBER, REPLAY, Records
from germline.genome import format_id

MOST = 5_000_000
"""Individuals; more would not fit into memory beside everything else."""
_LATER = REPLAY | MEASUREMENT | MEMBER  # what is nobody's first evaluation, or nobody's with parents


class Phylogeny(NamedTuple):
    """Individuals, parents before children; columns of equal length `[N]`.

    Attributes:
        id: who it is.
        parent: place of its parent, or of its next ancestor here; -1: none.
        born: number of its first evaluation.
        mutations: between it and that ancestor.
        fitness: in that evaluation.
    """

    id: NDArray[np.uint64]
    parent: NDArray[np.int64]
    born: NDArray[np.int64]
    mutations: NDArray[np.int64]
    fitness: NDArray[np.float64]


def phylogeny_of(parts: Iterable[tuple[NDArray[np.int64], Records]]) -> Phylogeny:
    """Everybody in an archive, from its numbers and records. Raises ValueError beyond 5,000,000."""
    columns = [_firsts(numbers, records) for numbers, records in parts]
    if sum(len(born) for born, *_ in columns) > MOST:
        raise ValueError(f"the archive has more than {MOST:,} individuals; --format jsonl or parquet has all")
    if not columns:
        columns = [(np.zeros(0, np.int64), np.zeros(0, "u8"), np.zeros(0, "u8"), np.zeros(0))]
    born, ids, parents, fitness = (np.concatenate(column) for column in zip(*columns, strict=True))
    known, first = np.unique(ids, return_index=True)
    place_of = np.empty(len(known), np.int64)
    kept = np.sort(first)
    place_of[np.searchsorted(known, ids[kept])] = np.arange(len(kept))
    found = np.minimum(np.searchsorted(known, parents[kept]), max(0, len(known) - 1))
    has = known[found] == parents[kept] if len(known) else np.zeros(0, np.bool_)
    parent = np.where(has, place_of[found], -1) if len(known) else np.zeros(0, np.int64)
    return Phylogeny(ids[kept], parent, born[kept], has.astype(np.int64), fitness[kept])


def _firsts(
    numbers: NDArray[np.int64], records: Records
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.float64]]:
    rows = (records["flags"] & _LATER) == 0
    of = records[rows]
    return numbers[rows], of["individual"], of["parent"], of["fitness"].astype(np.float64)


def newick(phylogeny: Phylogeny) -> Iterator[str]:
    """A tree for each founder, one a line: ids, and branches as long as they have mutations."""
    children = _children(phylogeny.parent)
    for root in np.flatnonzero(phylogeny.parent < 0).tolist():
        yield "".join(_tree(root, children, phylogeny)) + ";\n"


def _children(parent: NDArray[np.int64]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for child, of in enumerate(parent.tolist()):
        if of >= 0:
            found.setdefault(of, []).append(child)
    return found


def _tree(root: int, children: dict[int, list[int]], phylogeny: Phylogeny) -> Iterator[str]:
    """What is written of a tree, piece by piece; lines are too long for recursion."""
    stack: list[int | str] = [root]
    while stack:
        here = stack.pop()
        if isinstance(here, str):
            yield here
            continue
        label = f"{format_id(int(phylogeny.id[here]))}:{phylogeny.mutations[here]}"
        below = children.get(here)
        if not below:
            yield label
            continue
        yield "("
        stack.append(")" + label)
        for child in reversed(below):
            stack += [child, ","]
        stack.pop()  # nothing stands before the first


def table(phylogeny: Phylogeny) -> Iterator[str]:
    """The lines of a .csv, its head first."""
    yield "id,ancestor_list,origin_time,taxon_label,fitness,mutations\n"
    born = phylogeny.born.tolist()
    for place, parent in enumerate(phylogeny.parent.tolist()):
        above = born[parent] if parent >= 0 else "none"
        yield (
            f"{born[place]},[{above}],{born[place]},{format_id(int(phylogeny.id[place]))},"
            f"{float(phylogeny.fitness[place])!r},{phylogeny.mutations[place]}\n"
        )
