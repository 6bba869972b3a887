"""Weights in plain numpy are those that workers build."""

import numpy as np
import pytest
import torch

from germline.algorithms.vectors import Vectors
from germline.genome import Genome, Mutation
from germline.weights import Layout, rebuild
from worker.networks.policies.vector import Vector


def test_a_genome_has_the_bits_that_a_worker_gives_it() -> None:
    genome, vectors = Genome.founder(7), Vectors(33, keep=3)
    layout = Layout.of(Vector(dimension=33))
    for number in range(20):
        genome = genome.child(Mutation(number, 0.1 + number))
        out = torch.zeros(33)
        rebuild(genome, layout, out)
        assert out.numpy().tobytes() == vectors(genome).tobytes()
    assert Vectors(33, keep=3)(genome).tobytes() == vectors(genome).tobytes()


def test_weights_are_not_to_be_changed() -> None:
    weights = Vectors(3)(Genome.founder(1))
    with pytest.raises(ValueError, match="read-only"):
        np.add(weights, 1, out=weights)


def test_low_rank_mutations_are_refused() -> None:
    with pytest.raises(ValueError, match="mutation of rank 2; allowed: dense ones"):
        Vectors(3)(Genome.founder(1).child(Mutation(1, 0.5, 2)))
