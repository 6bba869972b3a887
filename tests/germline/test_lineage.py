"""Family trees are drawn from genomes alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.genome import Genome, Mutation, format_id
from germline.lineage import Node, ancestors, common_ancestor, newick, to_json, trees


def line(founder: int, *seeds: int) -> Genome:
    return Genome.founder(founder).extended(Mutation(seed, 0.5) for seed in seeds)


def name(genome: Genome) -> str:
    return format_id(genome.id)


families = st.lists(
    st.builds(
        lambda founder, seeds: line(founder, *seeds),
        st.integers(0, 2),
        st.lists(st.integers(0, 2), max_size=6),
    ),
    max_size=12,
)


def test_the_ancestors_of_a_genome_are_its_prefixes_and_itself() -> None:
    assert ancestors(line(1, 2, 3)) == [line(1), line(1, 2), line(1, 2, 3)]


def test_the_common_ancestor_is_where_two_lines_part() -> None:
    shared = common_ancestor(line(1, 2, 3, 4), line(1, 2, 5))
    assert shared == line(1, 2)
    assert shared.id == line(1, 2).id


def test_an_ancestor_is_the_common_ancestor_with_its_own_descendant() -> None:
    assert common_ancestor(line(1, 2), line(1, 2, 5)) == line(1, 2)


def test_lines_of_two_founders_have_no_common_ancestor() -> None:
    assert common_ancestor(line(1, 2), line(3, 2)) is None


def test_newick_hangs_lines_on_the_points_where_they_part() -> None:
    one, other, root = line(1, 2, 3, 4), line(1, 2, 5), line(1)
    fork = line(1, 2)
    expected = f"(({name(one)}:2,{name(other)}:1){name(fork)}:1){name(root)}:0;"
    assert newick([other, one]) == expected


def test_newick_writes_one_tree_for_each_founder() -> None:
    assert newick([line(2), line(1)]) == f"{name(line(1))}:0;\n{name(line(2))}:0;"


def test_json_names_parents_before_their_children() -> None:
    rows = to_json([line(1, 2, 3), line(1, 2)])
    assert rows == [
        {"id": name(line(1)), "parent": None, "mutations": 0, "asked": False},
        {"id": name(line(1, 2)), "parent": name(line(1)), "mutations": 1, "asked": True},
        {"id": name(line(1, 2, 3)), "parent": name(line(1, 2)), "mutations": 2, "asked": True},
    ]


def test_a_line_of_ten_thousand_mutations_and_a_deep_ladder_are_drawn_without_recursion_limits() -> None:
    ladder = list(line(1, *range(1_200)).ancestors())
    assert newick(ladder).count("(") == 1_200
    assert len(to_json(ladder)) == 1_201
    assert newick([line(1, *range(10_000))]).endswith(":0;")


@given(families)
def test_every_genome_is_in_the_tree_once_and_every_fork_is_their_common_ancestor(
    family: list[Genome],
) -> None:
    rows = to_json(family)
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))
    assert {row["id"] for row in rows if row["asked"]} == {name(genome) for genome in family}
    prefixes = {name(prefix): len(prefix) for genome in family for prefix in genome.ancestors()}
    assert all(prefixes[str(row["id"])] == row["mutations"] for row in rows)


@given(families)
def test_a_node_that_nobody_asked_for_is_a_founder_or_a_fork(family: list[Genome]) -> None:
    def check(node: Node, is_root: bool) -> None:
        assert node.asked or is_root or len(node.children) > 1
        for child in node.children:
            assert child.depth > node.depth
            check(child, is_root=False)

    for root in trees(family):
        check(root, is_root=True)


@pytest.mark.parametrize("nobody", [[]])
def test_no_genomes_make_no_tree(nobody: list[Genome]) -> None:
    assert newick(nobody) == ""
    assert to_json(nobody) == []
