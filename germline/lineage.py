"""Family trees: genomes spell out their ancestors, so ancestry costs nothing to keep.

In a tree an individual goes by its id, in 16 hexadecimal digits; a branch is as long as it has mutations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from germline.genome import Genome, format_id, founder_id
from germline.genome_forest import in_order_of_lines, shared_mutations


@dataclass(frozen=True, slots=True)
class Node:
    """A branching point or an individual that was asked about.

    Attributes:
        id: the individual's id.
        depth: mutations from its founder.
        asked: whether it is one of the individuals that the tree was drawn for.
        children: the subtrees below, in order of their mutations.
    """

    id: int
    depth: int
    asked: bool
    children: tuple[Node, ...]


def ancestors(genome: Genome) -> list[Genome]:
    """The line from the founder to the genome itself, oldest first."""
    return list(genome.ancestors())


def common_ancestor(one: Genome, other: Genome) -> Genome | None:
    """The youngest individual that both descend from, or are; None if their founders differ."""
    return one.common_ancestor(other)


def trees(genomes: Iterable[Genome]) -> list[Node]:
    """One tree for each founder, holding the genomes and the points where their lines part."""
    distinct = in_order_of_lines(genomes)
    return [_grow(list(family)) for _, family in groupby(distinct, key=lambda genome: genome.init_seed)]


def newick(genomes: Iterable[Genome]) -> str:
    """The trees in Newick form, one line each."""
    return "\n".join(_newick(root, root.depth) + ";" for root in trees(genomes))


def to_json(genomes: Iterable[Genome]) -> list[dict[str, object]]:
    """The trees as JSON values: flat lists of nodes, parents before children, each naming its parent."""
    rows: list[dict[str, object]] = []
    stack: list[tuple[Node, Node | None]] = [(root, None) for root in reversed(trees(genomes))]
    while stack:
        node, parent = stack.pop()
        rows.append(
            {
                "id": format_id(node.id),
                "parent": None if parent is None else format_id(parent.id),
                "mutations": node.depth,
                "asked": node.asked,
            }
        )
        stack.extend((child, node) for child in reversed(node.children))
    return rows


class _Sprout:
    """A node while the tree grows along the rightmost line."""

    def __init__(self, individual_id: int, depth: int, asked: bool) -> None:
        self.id = individual_id
        self.depth = depth
        self.asked = asked
        self.children: list[Node] = []

    def ripe(self) -> Node:
        return Node(self.id, self.depth, self.asked, tuple(self.children))


def _grow(family: Sequence[Genome]) -> Node:
    """The tree of sorted genomes of one founder: each hangs where its line leaves the one before it."""
    line = [_Sprout(founder_id(family[0].init_seed), 0, asked=False)]
    before: Genome | None = None
    ids: list[int] = []
    for genome in family:
        shared = shared_mutations(before, genome) if before is not None else 0
        _fold(line, shared, ids)
        ids = genome.ancestor_ids()
        if len(genome) == line[-1].depth:
            line[-1].asked = True
        else:
            line.append(_Sprout(genome.id, len(genome), asked=True))
        before = genome
    _fold(line, 0, ids)
    return line[0].ripe()


def _fold(line: list[_Sprout], depth: int, ids: Sequence[int]) -> None:
    """Finish the nodes deeper than `depth`, leaving a node there to hang the next line on."""
    while line[-1].depth > depth:
        finished = line.pop().ripe()
        if line[-1].depth < depth:
            line.append(_Sprout(ids[depth], depth, asked=False))
        line[-1].children.append(finished)


def _newick(node: Node, above: int) -> str:
    """Newick without recursion's depth limit: children first, joined from the leaves up."""
    written: dict[int, str] = {}
    stack: list[tuple[Node, int, bool]] = [(node, above, False)]
    while stack:
        here, start, visited = stack.pop()
        if not visited:
            stack.append((here, start, True))
            stack.extend((child, here.depth, False) for child in here.children)
            continue
        inside = ",".join(written.pop(child.id) for child in here.children)
        label = f"{format_id(here.id)}:{here.depth - start}"
        written[here.id] = f"({inside}){label}" if inside else label
    return written[node.id]
