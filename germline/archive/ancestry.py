"""A population's ancestry in a size that a screen can show: trunk, crown and sweeps."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from germline.archive.family import Family

MOST_TRUNK: Final = 500
LARGEST_GAINS: Final = 20
MOST_LIVING: Final = 600
MOST_MOMENTS: Final = 300
SWEEPS: Final = 7
_SAMPLE: Final = 1_000  # evaluations that a share is taken of


class Step(NamedTuple):
    """One individual of the trunk, or of the crown.

    Attributes:
        row: its row in the view.
        depth: mutations from its founder.
        living: members of the population that descend from it, itself among them.
        parent: place of its parent, or next ancestor, in the same list; -1 for the first.
    """

    row: int
    depth: int
    living: int
    parent: int


class Ancestry(NamedTuple):
    """Where a population comes from.

    Attributes:
        trunk: the line of the champion, founder first: at most 500 of it, the 20 largest gains among them.
        trunk_length: how long the line is, its founder included.
        gains: `[T]` each one's fitness less its parent's; 0 for the founder.
        common: the place in the trunk of the last common ancestor of all; -1 if there is none.
        crown: the living that are shown, and where their lines part, parents first.
        living: how many members of the population the archive holds.
        moments: `[M]` record numbers at which shares were taken.
        shares: `[M, S + 1]` of the evaluations up to each: of descendants of no sweep, then of each sweep.
        sweeps: rows of the individuals whose descendants had become half of all evaluations, oldest first.
    """

    trunk: list[Step]
    trunk_length: int
    gains: NDArray[np.float64]
    common: int
    crown: list[Step]
    living: int
    moments: NDArray[np.int64]
    shares: NDArray[np.float64]
    sweeps: list[int]


def ancestry(family: Family, living: Collection[int], champion: int) -> Ancestry | None:
    """Where a population comes from; None where the archive does not hold its champion.

    Args:
        family: everybody.
        living: ids of the population.
        champion: the id of who leads, or leads for now.
    """
    rows = family.find([*living, champion])
    if champion not in rows:
        return None
    parents, members = family.parents(), sorted(rows[each] for each in living if each in rows)
    counts, depths = _descendants(parents, [*members, rows[champion]], members)
    line = family.line(rows[champion])
    fitness = family.view.column("fitness").astype(np.float64)
    gains = np.diff(fitness[line], prepend=fitness[line[0]])
    chosen = _thinned(line, gains)
    trunk = [Step(line[at], at, counts.get(line[at], 0), place - 1) for place, at in enumerate(chosen)]
    common = max((place for place, step in enumerate(trunk) if step.living >= len(members)), default=-1)
    crown = _crown(parents, _sample(members, rows[champion]), counts, depths)
    moments, shares, sweeps = _sweeps(parents, line, family)
    return Ancestry(
        trunk, len(line), gains[chosen], common if members else -1, crown, len(members), moments, shares,
        sweeps,
    )  # fmt: skip


def _descendants(
    parents: NDArray[np.int64], rows: list[int], members: list[int]
) -> tuple[dict[int, int], dict[int, int]]:
    """How many of these members descend from each of their ancestors, and how deep each of those is."""
    counts: dict[int, int] = {}
    counts.update(dict.fromkeys(_with_ancestors(parents, rows), 0))
    for row in members:
        counts[row] += 1
    for row in sorted(counts, reverse=True):
        if parents[row] >= 0:
            counts[int(parents[row])] += counts[row]
    depths: dict[int, int] = {}
    for row in sorted(counts):
        depths[row] = depths.get(int(parents[row]), -1) + 1
    return counts, depths


def _thinned(line: list[int], gains: NDArray[np.float64]) -> list[int]:
    """The places of a line that are shown: evenly spread, with both ends and the largest gains."""
    if len(line) <= MOST_TRUNK:
        return list(range(len(line)))
    largest = np.argsort(-gains, kind="stable")[:LARGEST_GAINS]
    even = np.linspace(0, len(line) - 1, MOST_TRUNK - LARGEST_GAINS).astype(int)
    return sorted({*even.tolist(), *largest.tolist()})


def _sample(members: list[int], champion: int) -> list[int]:
    if len(members) > MOST_LIVING:
        members = [members[at] for at in np.linspace(0, len(members) - 1, MOST_LIVING).astype(int)]
    return sorted({*members, champion})


def _crown(
    parents: NDArray[np.int64], leaves: list[int], counts: dict[int, int], depths: dict[int, int]
) -> list[Step]:
    """The tree of these, lines without a branch folded."""
    children: dict[int, int] = {}
    for row in _with_ancestors(parents, leaves):
        above = int(parents[row])
        if above >= 0:
            children[above] = children.get(above, 0) + 1
    shown = sorted({*leaves, *(row for row, n in children.items() if n > 1)})
    places = {row: place for place, row in enumerate(shown)}
    steps = []
    for row in shown:
        above = int(parents[row])
        while above >= 0 and above not in places:
            above = int(parents[above])
        steps.append(Step(row, depths[row], counts[row], places.get(above, -1)))
    return steps


def _with_ancestors(parents: NDArray[np.int64], leaves: list[int]) -> set[int]:
    seen: set[int] = set()
    for leaf in leaves:
        row = leaf
        while row >= 0 and row not in seen:
            seen.add(row)
            row = int(parents[row])
    return seen


def _sweeps(
    parents: NDArray[np.int64], line: list[int], family: Family
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[int]]:
    """Shares of evaluations over time that descend from members of a line who took half of them.

    Of the line's members, the youngest from whom at least half of the last evaluations descend is, at each
    moment, the middle one of all evaluations' youngest ancestors in the line. Seven such moments, evenly
    spread, name the sweeps.
    """
    width = min(_SAMPLE, max(1, len(parents) // 20))
    ends = np.unique(np.linspace(width, len(parents), MOST_MOMENTS).astype(np.int64))
    rows = ends[:, None] - 1 - np.arange(width)
    windows = np.sort(_youngest_in_line(parents, line, rows), axis=1)
    middles = windows[:, (width - 1) // 2]
    at = np.linspace(0, len(ends) - 1, SWEEPS + 1).astype(int)[1:]
    places = sorted({int(middles[each]) for each in at} - {-1})
    bounds = np.array([-1, *places, len(line)])
    shares = np.array([np.diff(np.searchsorted(window, bounds)) / len(window) for window in windows])
    return family.numbers[ends - 1], shares, [line[place] for place in places]


def _youngest_in_line(
    parents: NDArray[np.int64], line: list[int], rows: NDArray[np.int64]
) -> NDArray[np.int32]:
    """For each of these rows, the place in the line of its youngest ancestor, or itself, there; -1: none."""
    breeds = np.zeros(len(parents), bool)
    breeds[parents[parents >= 0]] = True
    breeds[line] = True
    breeders = np.flatnonzero(breeds)
    in_line = {row: place for place, row in enumerate(line)}
    found: dict[int, int] = {-1: -1}
    for row, parent in zip(breeders.tolist(), parents[breeders].tolist(), strict=True):
        found[row] = in_line.get(row, -1) if row in in_line else found.get(parent, -1)
    labels = np.full(len(parents) + 1, -1, np.int32)  # the last one is nobody's
    labels[breeders] = [found[row] for row in breeders.tolist()]
    return np.where(breeds[rows], labels[rows], labels[parents[rows]])
