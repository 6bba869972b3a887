"""Populations in preallocated slots, and the cache that makes a child cheap."""

import numpy as np
import pytest
import torch

from germline import weights
from germline.genome import Genome, Mutation
from germline.weights import Layout, rebuild
from worker.networks.parent_cache import ParentCache
from worker.networks.policies.mlp import Mlp
from worker.networks.population import DensePopulation, choose
from worker.tasks.base import ContinuousActions, DiscreteActions, Spaces

SPACES = Spaces((8,), np.dtype(np.float32), DiscreteActions(3))
POLICY = Mlp(observation_shape=(8,), outputs=3, hidden=(5,))
LAYOUT = Layout.of(POLICY)
CPU = torch.device("cpu")
NETWORK_BYTES = LAYOUT.size * 4


def line(length: int, seed: int = 0) -> Genome:
    genome = Genome.founder(seed)
    for number in range(length):
        genome = genome.child(Mutation(1000 * seed + number, 0.5, number % 2))
    return genome


def weights_of(genome: Genome) -> torch.Tensor:
    out = torch.empty(LAYOUT.size)
    rebuild(genome, LAYOUT, out)
    return out


def parent_of(genome: Genome) -> Genome:
    parent = genome.parent()
    assert parent is not None
    return parent


@pytest.mark.parametrize("length", [0, 1, 2, 7])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_a_slot_holds_exactly_the_genome_s_weights(length: int, cache_bytes: int) -> None:
    population = DensePopulation(POLICY, SPACES, 2, 1, cache_bytes=cache_bytes)
    population.fill(1, line(3, seed=9))
    population.fill(1, line(length))

    assert torch.equal(population.weights(1), weights_of(line(length)))


def test_slots_are_filled_in_place() -> None:
    population = DensePopulation(POLICY, SPACES, 2, 1)
    address = population.weights(0).data_ptr()
    population.fill(0, line(2))

    assert population.weights(0).data_ptr() == address


def test_a_cached_parent_gives_children_of_the_same_bits() -> None:
    cache, out = ParentCache(LAYOUT, CPU, 1 << 20), torch.empty(LAYOUT.size)
    parent = line(4)
    for seed in range(3):
        child = parent.child(Mutation(seed, 0.25))
        cache.write_child(parent, child, out)
        assert torch.equal(out, weights_of(child))

    assert parent.id in cache
    assert len(cache) == 1


def test_the_nearest_cached_ancestor_is_where_a_rebuild_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, out, long = ParentCache(LAYOUT, CPU, 1 << 20), torch.empty(LAYOUT.size), line(20)
    ancestors = list(long.ancestors())
    cache.write_child(ancestors[15], ancestors[16], out)
    passes, mutate = [], weights.mutate

    def counted(target: torch.Tensor, base: torch.Tensor, mutation: Mutation, layout: Layout) -> None:
        passes.append(mutation)
        mutate(target, base, mutation, layout)

    monkeypatch.setattr(weights, "mutate", counted)
    cache.write_child(ancestors[18], ancestors[19], out)

    assert len(passes) == 4  # 16, 17, 18 into the cache, and the child
    assert torch.equal(out, weights_of(ancestors[19]))


def test_the_cache_keeps_within_its_bytes_and_forgets_the_least_recently_used() -> None:
    cache, out = ParentCache(LAYOUT, CPU, 2 * NETWORK_BYTES + 3), torch.empty(LAYOUT.size)
    a, b, c = (line(2, seed=seed) for seed in (1, 2, 3))
    for parent in (a, b, a, c):
        child = parent.child(Mutation(5, 0.5))
        cache.write_child(parent, child, out)
        assert torch.equal(out, weights_of(child))

    assert a.id in cache
    assert c.id in cache
    assert b.id not in cache
    assert cache.nbytes == 2 * NETWORK_BYTES


def test_the_largest_output_is_the_action_and_the_first_of_equals() -> None:
    outputs = np.array([[[0.0, 2.0, 1.0], [3.0, 3.0, 1.0]]], np.float32)

    assert choose(DiscreteActions(3), outputs).tolist() == [[1, 0]]


def test_continuous_actions_stay_within_their_bounds() -> None:
    infinity = np.float32(np.inf)
    actions = ContinuousActions(
        np.array([-2, 0, -infinity, 0], np.float32), np.array([2, 1, infinity, infinity], np.float32), (4,)
    )
    chosen = choose(actions, np.array([[0, 0, 7, -3], [100, -100, -7, 3]], np.float32))

    assert chosen.dtype == np.float32
    assert chosen.tolist() == [[0.0, 0.5, 7.0, 0.0], [2.0, 0.0, -7.0, 3.0]]
