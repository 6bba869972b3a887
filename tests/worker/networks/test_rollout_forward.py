"""Fast forward passes against the policies' own, and rows that ignore each other, as determinism needs."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from germline.weights import Layout
from worker.networks.forward import family
from worker.networks.forward.base import DTYPES, Forward
from worker.networks.forward.choose import make_forward
from worker.networks.forward.kernels import available
from worker.networks.forward.modules import ModuleForward
from worker.networks.forward.packed import PackedForward
from worker.networks.forward.stacked import StackedForward
from worker.networks.policies.dqn2015 import Dqn2015
from worker.networks.policies.mlp import Mlp
from worker.networks.policies.stages import Staged, StagedPolicy
from worker.networks.policies.uber2018 import Uber2018
from worker.tasks.base import Observations

torch.set_num_threads(1)  # as workers do; several threads only fight over small batches

SHAPE = (4, 84, 84)
ACTIONS = 6
CPU = torch.device("cpu")
SLOTS, ROWS = 3, 4

Make = Callable[[StagedPolicy, Layout, torch.dtype], Forward]
FORWARDS: dict[str, Make] = {
    "packed": lambda policy, layout, dtype: PackedForward(policy, layout, SHAPE, SLOTS, ROWS, dtype),
    "stacked": lambda policy, layout, dtype: StackedForward(policy, layout, SHAPE, SLOTS, dtype, CPU),
    "modules": lambda policy, layout, dtype: ModuleForward(policy, layout, SLOTS, dtype, CPU),
}
POLICIES = {"dqn2015": Dqn2015, "uber2018": Uber2018}


def networks(layout: Layout) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(layout.size, generator=generator) * 0.03 for _ in range(SLOTS)]


def frames(rows: int = ROWS) -> Observations:
    return np.random.default_rng(1).integers(0, 256, (SLOTS, rows, *SHAPE)).astype(np.uint8)


def loaded(kind: str, policy: StagedPolicy, dtype: torch.dtype) -> Forward:
    if kind == "packed" and not available(dtype):
        pytest.skip(f"this processor has no oneDNN kernels for {dtype}")
    layout = Layout.of(policy)
    forward = FORWARDS[kind](policy, layout, dtype)
    for slot, weights in enumerate(networks(layout)):
        forward.load(slot, weights)
    return forward


def reference(policy: StagedPolicy, seen: Observations) -> np.ndarray:
    """The policy's own forward in float64, one network after the other."""
    layout, outputs = Layout.of(policy), []
    for weights, rows in zip(networks(layout), seen, strict=True):
        exact = copy.deepcopy(policy).double()
        exact.load_state_dict({name: view.double() for name, view in layout.named_views(weights).items()})
        with torch.inference_mode():
            outputs.append(exact(torch.from_numpy(rows)).numpy())
    return np.stack(outputs)


@pytest.mark.parametrize("kind", FORWARDS)
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_forward_agrees_with_the_policy_s_own(kind: str, name: str, precision: str) -> None:
    policy = POLICIES[name](observation_shape=SHAPE, outputs=ACTIONS)
    forward, seen = loaded(kind, policy, DTYPES[precision]), frames()

    wanted = reference(policy, seen)
    got = forward(seen, np.ones((SLOTS, ROWS), np.bool_))

    assert got.dtype == np.float32
    assert np.abs(got - wanted).max() < (0.05 if precision == "bfloat16" else 1e-4) * np.abs(wanted).max()


@pytest.mark.parametrize("kind", FORWARDS)
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_a_row_gets_does_not_depend_on_which_others_are_active(
    kind: str, name: str, precision: str
) -> None:
    policy = POLICIES[name](observation_shape=SHAPE, outputs=ACTIONS)
    forward, seen = loaded(kind, policy, DTYPES[precision]), frames()
    everything = forward(seen, np.ones((SLOTS, ROWS), np.bool_))

    for some in ([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], [[0, 0, 0, 1], [1, 1, 1, 0], [0, 1, 0, 0]]):
        active = np.array(some, np.bool_)
        assert np.array_equal(forward(seen, active)[active], everything[active])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_packed_rows_do_not_depend_on_how_many_a_slot_has(precision: str) -> None:
    policy = Dqn2015(observation_shape=SHAPE, outputs=ACTIONS)
    if not available(DTYPES[precision]):
        pytest.skip(f"this processor has no oneDNN kernels for {precision}")
    layout, seen, answers = Layout.of(policy), frames(9), []
    for rows in (1, 2, 3, 4, 5, 8, 9):
        forward = PackedForward(policy, layout, SHAPE, SLOTS, rows, DTYPES[precision])
        for slot, weights in enumerate(networks(layout)):
            forward.load(slot, weights)
        answers.append(forward(seen[:, :rows], np.ones((SLOTS, rows), np.bool_)))

    for answer in answers:
        assert np.array_equal(answer, answers[-1][:, : answer.shape[1]])


@pytest.mark.parametrize("kind", FORWARDS)
def test_a_slot_that_is_loaded_again_forgets_its_former_network(kind: str) -> None:
    policy = Dqn2015(observation_shape=SHAPE, outputs=ACTIONS)
    forward, seen = loaded(kind, policy, torch.float32), frames()
    everyone = np.ones((SLOTS, ROWS), np.bool_)
    before = forward(seen, everyone)
    forward.load(1, networks(Layout.of(policy))[0])
    after = forward(seen[[0, 0, 2]], everyone)

    assert np.array_equal(after[1], before[0])
    assert np.array_equal(after[2], before[2])


def test_buffers_of_a_module_start_afresh_with_each_network() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            self.get_buffer("calls").add_(1)
            result: torch.Tensor = self.layer(observations) * 0 + self.get_buffer("calls")
            return result

    policy = Counting()
    layout = Layout.of(policy)
    forward = ModuleForward(policy, layout, 1, torch.float32, CPU)
    seen, everyone = np.zeros((1, 1, 2), np.float32), np.ones((1, 1), np.bool_)
    assert [forward(seen, everyone).item() for _ in range(2)] == [1, 2]
    forward.load(0, torch.zeros(layout.size))

    assert forward(seen, everyone).item() == 1


def test_small_networks_are_multiplied_together_and_agree_with_their_own_forward() -> None:
    policy = Mlp(observation_shape=(8,), outputs=2, hidden=(16,))
    layout = Layout.of(policy)
    forward = make_forward(policy, layout, (8,), SLOTS, ROWS, torch.float32, CPU)
    for slot, weights in enumerate(networks(layout)):
        forward.load(slot, weights)
    seen = np.random.default_rng(0).standard_normal((SLOTS, ROWS, 8)).astype(np.float32)
    wanted = reference(policy, seen)

    assert isinstance(policy, Staged)
    assert isinstance(forward, StackedForward)
    assert np.allclose(forward(seen, np.ones((SLOTS, ROWS), np.bool_)), wanted, atol=1e-6)
    assert seen.max() > 1  # the observations are still the caller's own


@pytest.mark.parametrize("change", ["frozen", "tied", "without bias"])
def test_a_line_of_layers_that_do_not_all_evolve_by_themselves_is_played_by_its_own_forward(
    change: str,
) -> None:
    policy = Mlp(observation_shape=(8,), outputs=8, hidden=(8,))
    if change == "frozen":
        policy.layers[0].requires_grad_(False)
    elif change == "tied":
        policy.layers[1].weight = policy.layers[0].weight
    else:
        policy.layers[0] = nn.Linear(8, 8, bias=False)
    layout = Layout.of(policy)
    forward = make_forward(policy, layout, (8,), SLOTS, ROWS, torch.float32, CPU)

    assert isinstance(forward, ModuleForward)
    assert not family.plays(policy, CPU)
    forward.load(0, networks(layout)[0])
    named = dict(policy.named_parameters())
    for name, value in layout.named_views(networks(layout)[0]).items():
        named[name].data.copy_(value)
    seen = np.random.default_rng(0).standard_normal((SLOTS, ROWS, 8)).astype(np.float32)
    own = policy(torch.from_numpy(seen[0])).detach().numpy()
    assert np.allclose(forward(seen, np.ones((SLOTS, ROWS), np.bool_))[0], own, atol=1e-6)


@pytest.mark.parametrize(("hidden", "outputs"), [((32, 32), 2), ((64,), 6), ((100,), 18)])
@pytest.mark.parametrize(("slots", "rows"), [(32, 1), (32, 4), (5, 3)])
def test_a_small_network_answers_the_same_wherever_it_stands(
    hidden: tuple[int, ...], outputs: int, slots: int, rows: int
) -> None:
    policy = Mlp(observation_shape=(8,), outputs=outputs, hidden=hidden)
    layout = Layout.of(policy)
    forward = StackedForward(policy, layout, (8,), slots, torch.float32, CPU)
    (weights, *_) = networks(layout)
    for slot in range(slots):
        forward.load(slot, weights)
    seen = np.tile(np.random.default_rng(0).standard_normal(8, np.float32), (slots, rows, 1))
    answers = forward(seen, np.ones((slots, rows), np.bool_)).reshape(-1, outputs)
    assert (answers == answers[0]).all()
