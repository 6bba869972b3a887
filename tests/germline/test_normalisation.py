"""The numbers that observations are normalised by, and the mark by which a genome names them."""

import pytest
import torch
from torch import nn

from germline.genome import Genome, Mutation
from germline.normalisation import Normalisation, Version, digest_in, is_mark, marked, of_epoch, of_genome
from germline.weights import Layout, rebuild

ONE = Normalisation((0.5, -2.0), (1.0, 0.25))
OTHER = Normalisation((0.5, -2.0), (1.0, 0.5))
FOUNDER = Genome.founder(7)
CHILD = FOUNDER.child(Mutation(11, 0.5))
VERSIONS = [Version(ONE), Version(OTHER)]


def weights(genome: Genome) -> torch.Tensor:
    layout = Layout.of(nn.Linear(3, 2))
    flat = torch.zeros(layout.size)
    rebuild(genome, layout, flat)
    return flat


@pytest.mark.parametrize("rank", [0, 1])
def test_a_mark_changes_no_weight_and_is_another_individual(rank: int) -> None:
    there = marked(CHILD, ONE, rank)
    assert torch.equal(weights(there), weights(CHILD))
    assert there.id != CHILD.id
    assert Genome.decode(there.encode()) == there
    assert is_mark(there.last)
    assert not is_mark(CHILD.last)
    assert not is_mark(None)


def test_descendants_play_under_the_youngest_mark_of_their_line() -> None:
    grandchild = marked(CHILD, ONE).child(Mutation(12, 0.5))
    assert of_genome(CHILD, VERSIONS) is None
    assert of_genome(grandchild, VERSIONS) == ONE
    assert of_genome(marked(grandchild, OTHER).child(Mutation(13, 0.5)), VERSIONS) == OTHER


def test_a_version_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match=f"{OTHER.digest:016x}"):
        of_genome(marked(CHILD, OTHER), VERSIONS[:1])


def test_a_digest_stays_what_it_is_and_names_these_numbers_alone() -> None:
    assert digest_in(marked(CHILD, ONE)) == ONE.digest == 0xF2791B0AE5C54294
    assert ONE.digest != OTHER.digest
    assert Normalisation(ONE.deviation, ONE.mean).digest != ONE.digest


def test_an_epoch_is_played_under_the_newest_version_before_it() -> None:
    versions = [Version(ONE, 1), Version(OTHER, 4)]
    assert [of_epoch(epoch, versions) for epoch in range(6)] == [None, ONE, ONE, ONE, OTHER, OTHER]
