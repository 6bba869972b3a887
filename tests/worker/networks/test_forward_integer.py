"""The fast passes of integer play equal the slow reference, whatever is beside a row."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from germline import integer, weights
from germline.genome import Genome, Mutation
from germline.integer import FloatLayer
from germline.weights import Layout
from worker.networks.forward.base import Forward
from worker.networks.forward.choose import make_forward
from worker.networks.forward.integer_plan import IntegerPlan, integer_plan
from worker.networks.forward.integer_products import ByFloats, ByIntegers, Product
from worker.networks.forward.integer_rows import IntegerRows
from worker.networks.forward.integer_sight import motion
from worker.networks.forward.integer_stacked import StackedIntegers
from worker.networks.forward.patches import Blocks, ChannelsLast, Patches, Planes
from worker.networks.policies.dqn2015 import Dqn2015
from worker.networks.policies.mlp import Mlp
from worker.networks.policies.motion import Motion
from worker.networks.policies.uber2018 import Uber2018

CPU = torch.device("cpu")
SCREEN, NUMBERS = (4, 84, 84), (8,)
POLICIES: dict[str, nn.Module] = {
    "dqn2015": Dqn2015(observation_shape=SCREEN, outputs=6),
    "uber2018": Uber2018(observation_shape=SCREEN, outputs=18),
    "motion": Motion(observation_shape=SCREEN, outputs=6),
    "mlp": Mlp(observation_shape=NUMBERS, outputs=4, hidden=(32, 16)),
}
PRODUCTS: dict[str, Callable[[Tensor], Product]] = {"integers": ByIntegers, "floats": ByFloats}
NAMES = sorted(POLICIES)
ON_PIXELS = sorted(set(POLICIES) - {"mlp"})


def plan_of(name: str) -> IntegerPlan:
    plan = integer_plan(POLICIES[name])
    assert plan is not None
    return plan


def observations(name: str, *rows: int, seed: int = 0) -> npt.NDArray[np.generic]:
    random = np.random.default_rng(seed)
    if name == "mlp":
        return random.normal(scale=3, size=(*rows, *NUMBERS)).astype(np.float32)
    return random.integers(0, 256, (*rows, *SCREEN), dtype=np.uint8)


@cache
def network(name: str, seed: int = 1) -> Tensor:
    """Weights after a few mutations, dense and low-rank."""
    genome = Genome.founder(seed)
    for number, rank in enumerate((0, 1, 0)):
        genome = genome.child(Mutation(seed + number, 0.02, rank))
    layout = Layout.of(POLICIES[name])
    flat = torch.zeros(layout.size)
    weights.rebuild(genome, layout, flat)
    return flat


def reference(name: str, flat: Tensor, rows: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    plan, views = plan_of(name), Layout.of(POLICIES[name]).named_views(flat)
    layers = [
        FloatLayer(
            views[f"{stage.name}.weight"].numpy(),
            views[f"{stage.name}.bias"].numpy(),
            stage.stride,
            stage.padding,
        )
        for stage in plan.stages
    ]
    quantised = integer.quantise_network(layers, plan.sight, plan.activation)
    return integer.answer(quantised, plan.sight, plan.activation, rows)


def forward(name: str, slots: int, kind: str, device: torch.device = CPU) -> Forward:
    layout = Layout.of(POLICIES[name])
    if kind in PRODUCTS:
        return IntegerRows(plan_of(name), layout, SCREEN, slots, PRODUCTS[kind])
    return StackedIntegers(plan_of(name), layout, slots, device)


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "stacked") for name in NAMES] + [(name, kind) for name in ON_PIXELS for kind in PRODUCTS],
)
def test_a_fast_pass_gives_the_reference_answers(name: str, kind: str) -> None:
    seen = observations(name, 2, 3)
    played = forward(name, 2, kind)
    for slot in (0, 1):
        played.load(slot, network(name, slot))
    answers = played(seen, np.ones((2, 3), np.bool_))  # type: ignore[arg-type]
    for slot in (0, 1):
        assert np.array_equal(answers[slot], reference(name, network(name, slot), seen[slot]))


@pytest.mark.parametrize("rows", [1, 2, 5, 16, 17, 64])
@pytest.mark.parametrize("kind", ["integers", "floats"])
def test_a_row_is_answered_alike_in_any_number_of_rows(rows: int, kind: str) -> None:
    seen = observations("dqn2015", 1, rows)
    played = forward("dqn2015", 1, kind)
    played.load(0, network("dqn2015"))
    answers = played(seen, np.ones((1, rows), np.bool_))  # type: ignore[arg-type]
    sampled = sorted({0, rows // 2, rows - 1})
    assert np.array_equal(answers[0, sampled], reference("dqn2015", network("dqn2015"), seen[0, sampled]))


@pytest.mark.parametrize("kind", [*PRODUCTS, "stacked"])
def test_a_row_is_answered_alike_whoever_is_beside_it(kind: str) -> None:
    seen, played = observations("motion", 3, 2), forward("motion", 3, kind)
    for slot in range(3):
        played.load(slot, network("motion", slot))
    everybody = played(seen, np.ones((3, 2), np.bool_))  # type: ignore[arg-type]
    alone = np.zeros((3, 2), np.bool_)
    alone[1, 1] = True
    assert np.array_equal(played(seen, alone)[1, 1], everybody[1, 1])  # type: ignore[arg-type]


def test_all_weights_at_their_largest_overflow_nothing() -> None:
    """The sums of the widest layer, at 63 and at 127 all over, are what int64 says."""
    layout = Layout.of(POLICIES["uber2018"])
    flat = torch.ones(layout.size)
    seen = np.full((1, 1, *SCREEN), 255, np.uint8)
    wanted = reference("uber2018", flat, seen[0])
    for kind in (*PRODUCTS, "stacked"):
        played = forward("uber2018", 1, kind)
        played.load(0, flat)
        assert np.array_equal(played(seen, np.ones((1, 1), np.bool_))[0], wanted)


def test_weights_that_are_not_finite_are_refused() -> None:
    flat = network("mlp").clone()
    flat[3] = torch.inf
    with pytest.raises(ValueError, match="allowed: finite weights"):
        forward("mlp", 1, "stacked").load(0, flat)


@pytest.mark.parametrize(("name", "kind"), [("dqn2015", IntegerRows), ("mlp", StackedIntegers)])
def test_large_networks_on_a_cpu_take_turns_and_small_ones_play_together(name: str, kind: type) -> None:
    policy = POLICIES[name]
    shape = NUMBERS if name == "mlp" else SCREEN
    assert isinstance(make_forward(policy, Layout.of(policy), shape, 2, 1, torch.int8, CPU), kind)


def test_a_policy_of_its_own_making_is_not_played_in_integers() -> None:
    policy = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert integer_plan(policy) is None
    with pytest.raises(ValueError, match="Sequential cannot be played in integers"):
        make_forward(policy, Layout.of(policy), (4,), 1, 1, torch.int8, CPU)


@pytest.mark.parametrize(
    ("kind", "shape", "kernel", "stride"),
    [
        (Blocks, (4, 84, 84), (8, 8), 4),
        (Blocks, (3, 8, 12), (4, 4), 2),
        (Planes, (4, 84, 84), (8, 8), 4),
        (Planes, (3, 7, 9), (3, 2), 2),
        (ChannelsLast, (32, 20, 20), (4, 4), 2),
        (ChannelsLast, (3, 9, 7), (3, 3), 1),
    ],
)
def test_patches_and_weights_in_their_order_give_a_convolution(
    kind: type[Blocks | Planes | ChannelsLast],
    shape: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: int,
) -> None:
    torch.manual_seed(0)
    pictures = torch.randint(-8, 8, (2, *shape), dtype=torch.int8)
    weight = torch.randint(-8, 8, (5, shape[0], *kernel), dtype=torch.int8)
    patches: Patches = kind(shape, kernel, stride)
    given = pictures.permute(0, 2, 3, 1).contiguous() if kind is ChannelsLast else pictures
    lines = patches(given).double() @ patches.order(weight).double().t()
    wanted = nn.functional.conv2d(pictures.double(), weight.double(), stride=stride)
    assert torch.equal(lines.view(2, *patches.places, 5).permute(0, 3, 1, 2), wanted)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_cuda_gives_the_reference_answers(name: str, tf32: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", tf32)
    seen, cuda = observations(name, 3, 5), torch.device("cuda")
    played = forward(name, 3, "stacked", cuda)
    for slot in range(3):
        played.load(slot, network(name, slot).to(cuda))
    answers = played(seen, np.ones((3, 5), np.bool_))  # type: ignore[arg-type]
    for slot in range(3):
        assert np.array_equal(answers[slot], reference(name, network(name, slot), seen[slot]))


@pytest.mark.parametrize("stack", [2, 3, 4, 5, 8])
def test_what_moves_is_seen_as_the_contract_says_in_stacks_of_any_height(stack: int) -> None:
    pixels = np.random.default_rng(stack).integers(0, 256, (3, stack, 6, 5), dtype=np.uint8)
    seen = integer.see("motion", pixels)
    assert np.array_equal(motion(torch.from_numpy(pixels)).numpy(), seen)
