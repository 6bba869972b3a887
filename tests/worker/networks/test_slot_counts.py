"""What a network answers does not depend on how many play beside it: not one, as in a film, nor many."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from germline.genome import Genome, Mutation, float32
from worker.networks.forward.base import Forward
from worker.networks.low_rank_children import LitterPopulation
from worker.networks.policies.mlp import Mlp
from worker.networks.population import DensePopulation, Population
from worker.tasks.base import DiscreteActions, Observations, Spaces

INPUTS, OUTPUTS = 1_500, 17
SPACES = Spaces((INPUTS,), np.dtype(np.float32), DiscreteActions(OUTPUTS))
SMALL = Mlp(observation_shape=(INPUTS,), outputs=OUTPUTS, hidden=(128,))
LARGE = Mlp(observation_shape=(INPUTS,), outputs=OUTPUTS, hidden=(136,))


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def child(number: int, rank: int) -> Genome:
    return Genome.founder(number).child(Mutation(number + 1, float32(0.02), rank))


def outputs(policy: nn.Module, slots: int, rows: int, precision: str, rank: int, slot: int) -> bytes:
    """What child 0 makes of its observations, played in one of so many slots."""
    if rank:
        litters = LitterPopulation(policy, SPACES, slots, rows, rank=rank, precision=precision)
        population, forward = cast(Population, litters), cast(Forward, litters._family)
    else:
        dense = DensePopulation(policy, SPACES, slots, rows, precision=precision)
        population, forward = dense, dense._forward
    for each in range(slots):
        population.fill(each, child(0 if each == slot else each + 10, rank))
    answers = forward(seen(slots, rows, slot), np.ones((slots, rows), np.bool_))
    return np.ascontiguousarray(answers[slot], np.float32).tobytes()


def seen(slots: int, rows: int, slot: int) -> Observations:
    """Noise, the same in `slot` whichever that is."""
    mine, others = np.random.default_rng(1), np.random.default_rng(2)
    draws = [mine if each == slot else others for each in range(slots)]
    return np.stack([draw.normal(size=(rows, INPUTS)).astype(np.float32) for draw in draws])


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize(
    ("policy", "rank"),
    [(SMALL, 0), (SMALL, 1), (LARGE, 1)],
    ids=["small", "small litter", "large litter"],
)
def test_a_network_answers_the_same_among_any_number_of_slots(
    policy: nn.Module, rank: int, rows: int, precision: str
) -> None:
    def played(slots: int, slot: int) -> bytes:
        return outputs(policy, slots, rows, precision, rank, slot)

    assert played(1, 0) == played(3, 1)
