"""Genomes become weights: the same bits, in place, at a cost that does not grow with the line."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from germline import noise
from germline.genome import Genome, Mutation, float32
from germline.weights import Layout, digest, mutate, rebuild


def small_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5), nn.LayerNorm(5), nn.Linear(5, 2)
    )


LAYOUT = Layout.of(small_net())
FOUNDER = Genome.founder(2**63 + 1)
GRANDCHILD = FOUNDER.child(Mutation(11, float32(0.02))).child(Mutation(12, float32(0.01), rank=2))
mutations = st.builds(
    Mutation, st.integers(0, 2**64 - 1), st.floats(1e-4, 1.0).map(float32), st.integers(0, 3)
)


def weights_of(genome: Genome, layout: Layout = LAYOUT) -> torch.Tensor:
    out = torch.full((layout.size,), math.nan)
    rebuild(genome, layout, out)
    return out


def test_a_founder_is_mean_plus_std_times_noise_of_each_parameters_name() -> None:
    conv = LAYOUT.parameters[0]
    expected = np.float32(1 / math.sqrt(3 * 18)) * noise.draw(
        FOUNDER.init_seed, noise.stream_id("0.weight"), 0, 54
    )
    assert np.array_equal(conv.view(weights_of(FOUNDER)).numpy(), expected)


def test_norm_layers_start_as_the_identity() -> None:
    views = LAYOUT.named_views(weights_of(FOUNDER))
    assert torch.equal(views["4.weight"], torch.ones(5))
    assert torch.equal(views["4.bias"], torch.zeros(5))


def test_a_dense_mutation_is_one_rounded_product_and_one_rounded_sum() -> None:
    parent, child = weights_of(FOUNDER), torch.empty(LAYOUT.size)
    mutate(child, parent, Mutation(11, float32(0.02)), LAYOUT)
    step = np.float32(0.02) * noise.draw(11, noise.stream_id("3.bias"), 0, 5)
    bias = LAYOUT.named_views(child)["3.bias"].numpy()
    assert np.array_equal(bias, LAYOUT.named_views(parent)["3.bias"].numpy() + step)


def test_a_low_rank_mutation_adds_the_product_of_its_factors_and_dense_noise_to_biases() -> None:
    parent, child = weights_of(FOUNDER), torch.empty(LAYOUT.size)
    mutation = Mutation(12, float32(0.01), rank=2)
    mutate(child, parent, mutation, LAYOUT)
    a = noise.draw(12, noise.stream_id("0.weight:A"), 0, 3 * 2).reshape(3, 2).astype(np.float64)
    b = noise.draw(12, noise.stream_id("0.weight:B"), 0, 18 * 2).reshape(18, 2).astype(np.float64)
    exact = (a @ b.T) * (mutation.power / math.sqrt(2))
    step = torch.from_numpy(exact.astype(np.float32)).view(3, 2, 3, 3)
    views, before = LAYOUT.named_views(child), LAYOUT.named_views(parent)
    assert torch.equal(views["0.weight"], before["0.weight"] + step)
    assert torch.linalg.matrix_rank(step.view(3, 18)) == 2
    assert not torch.equal(views["3.bias"], before["3.bias"])


@settings(max_examples=40)
@given(line=st.lists(mutations, max_size=5))
def test_a_child_of_a_cached_parent_equals_the_rebuild_of_its_whole_line(line: list[Mutation]) -> None:
    genome, in_place = FOUNDER, weights_of(FOUNDER)
    for mutation in line:
        genome = genome.child(mutation)
        mutate(in_place, in_place, mutation, LAYOUT)
    assert digest(in_place) == digest(weights_of(genome))


def test_a_parameter_gets_the_same_noise_wherever_it_stands() -> None:
    class Reversed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(5, 2)
            self.first = nn.Linear(12, 5)

    class Forward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(12, 5)
            self.last = nn.Linear(5, 2)

    views = [
        layout.named_views(weights_of(GRANDCHILD, layout))
        for layout in (Layout.of(Reversed()), Layout.of(Forward()))
    ]
    assert all(torch.equal(views[0][name], views[1][name]) for name in views[0])


def test_weights_are_these_bits_for_ever() -> None:
    assert digest(weights_of(FOUNDER)) == "1ede22eff76a98b4"
    assert digest(weights_of(GRANDCHILD)) == "1fac5dadb6cd0dbd"


def test_a_published_initialisation_replaces_the_default() -> None:
    class Published(nn.Linear):
        def germline_init(self, name: str) -> tuple[float, float]:
            return (0.5, 0.0) if name == "bias" else (0.0, 2.0)

    views = (layout := Layout.of(Published(40, 50))).named_views(weights_of(FOUNDER, layout))
    assert torch.equal(views["bias"], torch.full((50,), 0.5))
    assert views["weight"].std() == pytest.approx(2.0, rel=0.05)


class Stating(nn.Module):
    """A module that states how all within it starts, whatever that would say of itself."""

    def __init__(self, value: float, inner: nn.Module) -> None:
        super().__init__()
        self.value, self.inner = value, inner

    def germline_init(self, name: str) -> tuple[float, float]:
        assert name in ("inner.weight", "inner.inner.weight")
        return self.value, 0.0


def test_the_outermost_module_that_states_a_start_has_its_way_at_any_depth() -> None:
    net = nn.Sequential(nn.Sequential(Stating(1.0, Stating(2.0, nn.Linear(2, 2, bias=False)))))
    (weight,) = (layout := Layout.of(net)).named_views(weights_of(FOUNDER, layout)).values()
    assert torch.equal(weight, torch.ones(2, 2))


def test_a_module_without_parameters_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="ReLU has no trainable parameters"):
        Layout.of(nn.ReLU())


@pytest.mark.parametrize(("frozen", "left"), [("bias", "weight"), ("weight", "bias")])
def test_frozen_parameters_stay_out_of_the_layout(frozen: str, left: str) -> None:
    net = nn.Linear(3, 2)
    net.get_parameter(frozen).requires_grad_(False)
    assert [p.name for p in Layout.of(net).parameters] == [left]


def test_parameters_lie_side_by_side_from_the_vectors_start_to_its_end() -> None:
    layout = Layout.of(small_net())
    ends = [p.offset + p.size for p in layout.parameters]
    assert [p.offset for p in layout.parameters] == [0, *ends[:-1]]
    assert layout.size == ends[-1] == sum(p.numel() for p in small_net().parameters())


def test_torchs_own_layers_start_with_torchs_own_mean_and_spread() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(12, 5), nn.LayerNorm(5), nn.Embedding(4, 6))
    layout = Layout.of(net)
    views = layout.named_views(weights_of(FOUNDER, layout))
    starts = {p.name: (p.start.law.mean, p.start.law.spread) for p in layout.parameters if p.start.law}
    assert starts == {
        "0.weight": (0.0, pytest.approx(1 / math.sqrt(3 * 18))),
        "0.bias": (0.0, pytest.approx(1 / math.sqrt(3 * 18))),
        "1.weight": (0.0, pytest.approx(1 / 6)),
        "1.bias": (0.0, pytest.approx(1 / 6)),
        "3.weight": (0.0, 1.0),
    }
    assert views["2.weight"].tolist() == [1.0] * 5
    assert views["2.bias"].tolist() == [0.0] * 5


class Lone(nn.Module):
    """A module with one parameter of its own."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3, dtype=dtype))


def test_a_parameter_that_is_the_same_throughout_starts_as_it_is() -> None:
    layout = Layout.of(Lone(torch.float32))
    assert weights_of(FOUNDER, layout).tolist() == [1.0] * 3


def test_a_parameter_that_is_no_floating_point_number_is_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"policy parameter gain has type torch\.complex64; weights are floating"
    ):
        Layout.of(Lone(torch.complex64))


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="NO CUDA DEVICE: CUDA weights are not compared here"
)
def test_cuda_rebuilds_the_same_bits_as_the_cpu() -> None:
    out = torch.empty(LAYOUT.size, device="cuda")
    rebuild(GRANDCHILD, LAYOUT, out)
    assert digest(out) == digest(weights_of(GRANDCHILD))
