"""What the page Lineage shows, as a phylogeny that other programs read: at most 1,100 individuals."""

from __future__ import annotations

import numpy as np

from germline.archive.phylogeny import Phylogeny
from germline.client import Ancestry


def phylogeny_shown(found: Ancestry) -> Phylogeny:
    """The champion's line and the tree of the living, as one: each with the next ancestor that is shown."""
    known = _known(found)
    above = _next_ancestors(found)
    ordered = sorted(known, key=lambda each: (known[each][0], known[each][1]))
    place = {each: at for at, each in enumerate(ordered)}
    return Phylogeny(
        np.array(ordered, np.uint64),
        np.array([place[above[each]] if each in above else -1 for each in ordered], np.int64),
        np.array([known[each][1] for each in ordered], np.int64),
        np.array(
            [known[each][0] - known[above[each]][0] if each in above else known[each][0] for each in ordered],
            np.int64,
        ),
        np.array([known[each][2] for each in ordered], np.float64),
    )


def _known(found: Ancestry) -> dict[int, tuple[int, int, float]]:
    """Depth, birth and fitness of everybody who is shown."""
    return {
        each: (depth, born, fitness)
        for tree in (found.trunk, found.crown)
        for each, depth, born, fitness in zip(tree.id, tree.depth, tree.born, tree.fitness, strict=True)
    }


def _next_ancestors(found: Ancestry) -> dict[int, int]:
    """Who each one's next ancestor is; the champion's line has members of both pictures."""
    crown = found.crown
    above = {
        child: crown.id[parent] for child, parent in zip(crown.id, crown.parent, strict=True) if parent >= 0
    }
    depth = {each: known[0] for each, known in _known(found).items()}
    line, at = set(found.trunk.id), found.champion
    while at in above:
        line.add(at := above[at])
    ordered = sorted(line, key=depth.__getitem__)
    return above | dict(zip(ordered[1:], ordered, strict=False))
