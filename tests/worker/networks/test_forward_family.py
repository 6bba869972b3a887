"""Relatives that share arithmetic: as their exact weights play, and each by itself."""

import numpy as np
import pytest
import torch
from torch import nn

from germline.eggroll import Space, materialise
from germline.genome import Genome, Mutation, float32
from germline.pairs import NoiseKey
from germline.weights import Layout, rebuild
from worker.networks.forward import kernels
from worker.networks.forward.family import FamilyForward
from worker.networks.low_rank_children import LitterPopulation
from worker.networks.policies.dqn2015 import Dqn2015
from worker.networks.policies.mlp import Mlp
from worker.networks.policies.stages import Stage, StagedPolicy
from worker.networks.policies.uber2018 import Uber2018
from worker.playing.engine import Engine, Evaluation
from worker.playing.engines import build_engine
from worker.playing.playable import EngineSettings
from worker.playing.rollout import Rollout
from worker.tasks.base import DiscreteActions, Spaces

FRAMES = Spaces((4, 84, 84), np.dtype(np.uint8), DiscreteActions(6))
STRIPES = Spaces((3, 30, 31), np.dtype(np.uint8), DiscreteActions(5))
VECTORS = Spaces((17,), np.dtype(np.float32), DiscreteActions(5))
POWER = float32(0.01)


class Crooked(StagedPolicy):
    """Nothing here is a multiple of anything: extents, channels, strides, padding."""

    activation = "tanh"
    input_scale = 1 / 100

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = nn.Conv2d(3, 5, (4, 3), stride=3), nn.Conv2d(5, 7, 2, stride=1)
        self.middle, self.head = nn.Linear(7 * 9 * 11, 150), nn.Linear(150, 5)
        self.stages = (
            Stage("near", 3, (2, 1, 0, 1)),
            Stage("far", 1, (1, 0, 0, 0)),
            Stage("middle", 0),
            Stage("head", 0),
        )


def network(name: str) -> StagedPolicy:
    if name == "mlp":
        made: StagedPolicy = Mlp(observation_shape=(17,), outputs=5, hidden=(400, 300))
    elif name == "crooked":
        made = Crooked()
    else:
        kind = Dqn2015 if name == "dqn2015" else Uber2018
        made = kind(observation_shape=(4, 84, 84), outputs=6)
    return made.requires_grad_(True)


def spaces_of(name: str) -> Spaces:
    return {"mlp": VECTORS, "crooked": STRIPES}.get(name, FRAMES)


def seen(spaces: Spaces, slots: int, rows: int) -> np.ndarray:
    random = np.random.default_rng(1)
    shape = (slots, rows, *spaces.observation_shape)
    if spaces.observation_dtype == np.uint8:
        return random.integers(0, 256, shape, dtype=np.uint8)
    return random.normal(size=shape).astype(np.float32)


def every(slots: int, rows: int) -> np.ndarray:
    return np.ones((slots, rows), np.bool_)


@pytest.mark.parametrize("name", ["dqn2015", "uber2018", "mlp", "crooked"])
@pytest.mark.parametrize(("rank", "rows"), [(1, 1), (3, 2)])
@pytest.mark.parametrize("has_kernels", [True, False])
def test_relatives_answer_as_their_exact_weights_do(
    name: str, rank: int, rows: int, has_kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_kernels:
        monkeypatch.setattr(kernels, "available", lambda dtype: False)
    policy, spaces, slots = network(name), spaces_of(name), 4
    space = Space.of(policy, rank)
    bases = [space.read(policy), space.read(network(name))]
    forward = FamilyForward(policy, space, spaces, slots, rows, torch.float32, bases=2)
    for number, base in enumerate(bases):
        forward.set_base(number, base)
    scales = [0.02, -0.02, 0.0, 0.02]
    for slot, scale in enumerate(scales):
        forward.bind(slot, slot % 2, bases[slot % 2], NoiseKey(9, 4, slot), scale)
    observations = seen(spaces, slots, rows)
    answers = forward(observations, every(slots, rows))
    exact = torch.zeros(space.size)
    for slot, scale in enumerate(scales):
        materialise(exact, bases[slot % 2], space, NoiseKey(9, 4, slot), scale)
        space.write(exact, policy)
        with torch.no_grad():
            wanted = policy(torch.from_numpy(observations[slot])).numpy()
        np.testing.assert_allclose(answers[slot], wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["dqn2015", "uber2018", "mlp", "crooked"])
@pytest.mark.parametrize("bases", [1, 8])
def test_what_a_row_gets_does_not_depend_on_where_and_beside_whom_it_plays(
    name: str, precision: torch.dtype, bases: int
) -> None:
    policy, spaces, slots, rows = network(name), spaces_of(name), 4, 2
    space = Space.of(policy, 1)
    weights = [space.read(policy), space.read(network(name))]
    observations = seen(spaces, slots, rows)
    observations[:, :] = observations[0, 0]
    forward = FamilyForward(policy, space, spaces, slots, rows, precision, bases=bases)
    for number, base in enumerate(weights[:bases]):
        forward.set_base(number, base)
    everywhere = set()
    for slot in range(slots):
        for other in range(slots):
            which = 0 if other == slot else other % len(weights[:bases])
            forward.bind(
                other, which, weights[which], NoiseKey(5, 0, 0 if other == slot else other + 1), 0.02
            )
        answers = forward(observations, every(slots, rows))[slot]
        everywhere |= {answers[row].tobytes() for row in range(rows)}
    assert len(everywhere) == 1


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("slots", "rows"), [(19, 1), (5, 6)])
@pytest.mark.parametrize("bases", [1, 8])
def test_the_same_relative_answers_the_same_from_the_first_slot_to_the_last(
    precision: torch.dtype, slots: int, rows: int, bases: int
) -> None:
    policy = network("dqn2015")
    space = Space.of(policy, 1)
    base = space.read(policy)
    forward = FamilyForward(policy, space, FRAMES, slots, rows, precision, bases=bases)
    forward.set_base(0, base)
    for slot in range(slots):
        forward.bind(slot, 0, base, NoiseKey(5, 0, 0), 0.02)
    observations = seen(FRAMES, slots, rows)
    observations[:, :] = observations[0, 0]
    answers = forward(observations, every(slots, rows))
    assert len({answers[slot, row].tobytes() for slot in range(slots) for row in range(rows)}) == 1


def test_a_slot_that_is_bound_again_answers_as_if_it_had_never_been_another() -> None:
    policy = network("dqn2015")
    space = Space.of(policy, 1)
    base, observations = space.read(policy), seen(FRAMES, 3, 1)

    def answers(pairs_of_slot_1: list[int]) -> np.ndarray:
        forward = FamilyForward(policy, space, FRAMES, 3, 1, torch.float32)
        forward.set_base(0, base)
        for pair in pairs_of_slot_1:
            forward.bind(1, 0, base, NoiseKey(5, 0, pair), 0.02)
            found = forward(observations, every(3, 1))
        return found

    assert np.array_equal(answers([7, 8]), answers([8]))
    assert not np.array_equal(answers([7]), answers([8]))


@pytest.mark.parametrize("name", ["dqn2015", "uber2018", "mlp"])
def test_observations_may_lie_in_any_order_in_memory_and_are_not_written_to(name: str) -> None:
    policy, spaces = network(name), spaces_of(name)
    space = Space.of(policy, 1)
    forward = FamilyForward(policy, space, spaces, 3, 2, torch.float32)
    forward.set_base(0, space.read(policy))
    for slot in range(3):
        forward.bind(slot, 0, space.read(policy), NoiseKey(5, 0, slot), 0.02)
    observations = seen(spaces, 3, 2)
    other = np.asfortranarray(observations)
    assert np.array_equal(forward(observations, every(3, 2)), forward(other, every(3, 2)))
    assert np.array_equal(other, seen(spaces, 3, 2))


def test_a_litter_acts_as_genomes_rebuilt_weight_by_weight_do() -> None:
    policy, slots = network("mlp"), 6
    population = LitterPopulation(policy, VECTORS, slots, 2, rank=2)
    parents = [Genome.founder(1), Genome.founder(2).child(Mutation(4, POWER, 2))]
    children = [parents[slot % 2].child(Mutation(100 + slot, POWER, 2)) for slot in range(slots - 2)]
    individuals = [*children, Genome.founder(9), Genome.founder(3).child(Mutation(8, POWER))]
    for slot, genome in enumerate(individuals):
        population.fill(slot, genome, parents[slot % 2] if slot < len(children) else None)
    observations = seen(VECTORS, slots, 2)
    actions = population.act(observations, every(slots, 2))
    flat, layout, space = torch.zeros(Layout.of(policy).size), Layout.of(policy), Space.of(policy)
    for slot, genome in enumerate(individuals):
        rebuild(genome, layout, flat)
        space.write(flat, policy)
        with torch.no_grad():
            wanted = policy(torch.from_numpy(observations[slot])).argmax(-1)
        assert actions[slot].tolist() == wanted.tolist()


def test_slots_that_are_filled_again_and_again_need_no_more_bases_than_slots() -> None:
    population = LitterPopulation(network("mlp"), VECTORS, 3, 1, rank=1)
    for number in range(20):
        parent = Genome.founder(number)
        population.fill(number % 3, parent.child(Mutation(number, POWER, 1)), parent)
    assert len(population._bases) == 3


def test_a_low_rank_child_scores_the_same_alone_and_in_a_crowd() -> None:
    settings = EngineSettings("gym", "mlp", {"id": "CartPole-v1", "max_steps": 80}, hidden=(400, 300), rank=1)
    parents = [Genome.founder(number) for number in range(3)]
    work = [
        Evaluation(
            number, parents[number % 3].child(Mutation(number, POWER, 1)), (number,), parents[number % 3]
        )
        for number in range(12)
    ]
    crowd: Engine[int] = build_engine(settings, device=torch.device("cpu"), slots=8)
    assert isinstance(crowd, Rollout)
    assert isinstance(crowd._population, LitterPopulation)
    together = _returns(crowd, work)
    alone: Engine[int] = build_engine(settings, device=torch.device("cpu"), slots=8)
    assert {key: _returns(alone, [work[key]])[key] for key in (0, 5, 11)} == {
        key: together[key] for key in (0, 5, 11)
    }


def _returns(engine: Rollout[int] | object, work: list[Evaluation[int]]) -> dict[object, tuple[float, ...]]:
    assert isinstance(engine, Rollout)
    for evaluation in work:
        engine.submit(evaluation)
    found: dict[object, tuple[float, ...]] = {}
    while engine.busy():
        found |= {played.key: played.returns for played in engine.tick()}
    return found
