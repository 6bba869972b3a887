"""Who descends from whom, as other programs read it."""

import csv

import numpy as np

from germline.archive import phylogeny
from germline.archive.record import MEMBER, RECORD, REPLAY
from germline.genome import format_id


def records(*rows: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Individual, parent and flags of each evaluation; they count from 10."""
    found = np.zeros(len(rows), RECORD)
    for place, (individual, parent, flags) in enumerate(rows):
        found["individual"][place], found["parent"][place] = individual, parent
        found["flags"][place], found["fitness"][place] = flags, place
    return np.arange(10, 10 + len(rows)), found


FAMILY = records((7, 0, 0), (8, 7, 0), (7, 0, REPLAY), (9, 7, 0), (3, 0, 0), (2, 9, 0), (1, 0, MEMBER))


def test_each_founder_has_a_tree_whose_branches_are_mutations() -> None:
    family, lone = list(phylogeny.newick(phylogeny.phylogeny_of([FAMILY])))
    name = [format_id(each) for each in range(10)]
    assert family == f"({name[8]}:1,({name[2]}:1){name[9]}:1){name[7]}:0;\n"
    assert lone == f"{name[3]}:0;\n"


def test_the_table_has_the_standard_columns_and_everybody_once() -> None:
    lines = list(phylogeny.table(phylogeny.phylogeny_of([FAMILY])))
    rows = list(csv.DictReader(lines))
    assert [(row["id"], row["ancestor_list"]) for row in rows] == [
        ("10", "[none]"), ("11", "[10]"), ("13", "[10]"), ("14", "[none]"), ("15", "[13]"),
    ]  # fmt: skip
    assert rows[1]["taxon_label"] == format_id(8)
    assert (rows[4]["origin_time"], rows[4]["fitness"]) == ("15", "5.0")


def test_a_line_of_a_hundred_thousand_is_written() -> None:
    numbers, found = records(*((each, each - 1, 0) for each in range(1, 100_001)))
    (tree,) = phylogeny.newick(phylogeny.phylogeny_of([(numbers, found)]))
    assert tree.startswith("(" * 99_999 + format_id(100_000))


def test_an_empty_archive_has_nobody() -> None:
    assert list(phylogeny.newick(phylogeny.phylogeny_of([]))) == []
