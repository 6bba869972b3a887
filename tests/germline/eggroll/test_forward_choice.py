"""A population is played the quick way only where that is the right way."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from germline.eggroll import (
    EggrollOptimiser,
    LowRankForward,
    MaterialisedForward,
    Settings,
    UntraceableError,
    centre_file,
)
from germline.eggroll.forward_choice import MODES, MemberForward, choose_forward
from germline.eggroll.space import Space
from germline.pairs import NoiseKey

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


class MixesRows(nn.Module):
    """Every row is seen against the mean of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.inner(rows)
        return out - out.mean(0)


class CountsCalls(nn.Module):
    """Every call answers by how many came before."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, rows: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = self.inner(rows) * self.calls
        return out


class LooksInside(nn.Module):
    """Reads what only the layer itself should know."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, rows: Tensor) -> Tensor:
        weight = self.inner._parameters["weight"]
        assert weight is not None
        return functional.linear(rows, weight)


class Closes(nn.Module):
    """Calls a layer of its own through a closure, which a copy does not take along."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 5), nn.Linear(5, 3)
        inner = self.inner

        def call(rows: Tensor) -> Tensor:
            return torch.tanh(inner(rows))

        self.call = call

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.outer(self.call(rows))
        return out


class Casts(nn.Module):
    """Computes in float32, whatever its weights are."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.gain = nn.Linear(4, 3), nn.Parameter(torch.ones(3))

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.inner(rows.float() * 2)
        return out * self.gain


class AnswersWeights(nn.Module):
    """What it answers is a view of its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.zeros(3))

    def forward(self, rows: Tensor) -> Tensor:
        return self.point.expand(len(rows), -1)


def hooked() -> nn.Module:
    network = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    network[0].register_forward_hook(lambda _layer, _rows, out: out * 2)
    return network


def chosen(network: nn.Module, mode: str = "auto", dtype: torch.dtype = torch.float32) -> MemberForward:
    return choose_forward(
        network,
        Space.of(network),
        X,
        mode,  # type: ignore[arg-type]
        key=NoiseKey(1),
        sigma=0.1,
        slots=2,
        dtype=dtype,
    )


@pytest.mark.parametrize("make", [MixesRows, CountsCalls, LooksInside, AnswersWeights, hooked])
def test_a_network_that_the_shared_pass_would_get_wrong_is_played_by_written_out_weights(
    make: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(0)
    network = make()
    evolution = EggrollOptimiser(network, Settings(pairs=5, seed=1, sigma=0.1), chunk_pairs=1)
    outs = torch.cat(list(evolution.outputs(X)))
    for out, member in zip(outs, evolution.ask(), strict=True):
        fresh = copy.deepcopy(network)
        evolution.space.write(evolution.weights(member), fresh)
        assert torch.allclose(out, fresh(X), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_treated_one_by_one_are_played_together(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 3))
    assert isinstance(chosen(network, dtype=dtype), LowRankForward)
    assert isinstance(chosen(network, "materialised", dtype), MaterialisedForward)


def test_a_frozen_part_that_cannot_compute_in_the_chosen_type_is_written_out() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.PReLU())
    network[1].requires_grad_(False)
    assert isinstance(chosen(network), LowRankForward)
    assert isinstance(chosen(network, dtype=torch.bfloat16), MaterialisedForward)


def test_an_unknown_way_of_playing_is_refused() -> None:
    with pytest.raises(ValueError, match=f"forward is 'fast'; allowed: {', '.join(MODES)}"):
        EggrollOptimiser(nn.Linear(4, 3), Settings(pairs=1, seed=0), forward="fast")  # type: ignore[arg-type]


def test_a_network_with_more_than_one_output_is_refused() -> None:
    network = nn.LSTM(4, 3, batch_first=True)
    with pytest.raises(TypeError, match="LSTM gave a tuple"):
        list(EggrollOptimiser(network, Settings(pairs=1, seed=0)).outputs(X.unsqueeze(1)))


def test_members_of_a_network_that_calls_a_layer_through_a_closure_have_their_own_weights() -> None:
    network = Closes()
    evolution = EggrollOptimiser(network, Settings(pairs=3, seed=1, sigma=0.1))
    outs = torch.cat(list(evolution.outputs(X)))
    for out, member in zip(outs, evolution.ask(), strict=True):
        evolution.space.write(evolution.weights(member), network)
        assert torch.allclose(out, network(X), atol=1e-5)


def test_a_shared_pass_that_is_insisted_on_and_would_be_wrong_is_refused() -> None:
    for network in (Closes(), MixesRows()):
        with pytest.raises(UntraceableError, match="its shared pass is off by"):
            chosen(network, "low_rank")


def test_a_network_that_casts_inside_is_refused_in_one_sentence_where_it_cannot_compute() -> None:
    evolution = EggrollOptimiser(Casts(), Settings(pairs=2, seed=1), dtype=torch.bfloat16)
    with pytest.raises(RuntimeError, match=r"Casts cannot compute in torch.bfloat16 .* own type"):
        list(evolution.outputs(X))


def test_a_network_that_plays_by_written_out_weights_keeps_its_weights_flags_and_buffers() -> None:
    network = CountsCalls().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    list(EggrollOptimiser(network, Settings(pairs=2, seed=1), forward="materialised").outputs(X))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(layer.training for layer in network.modules())


def test_a_parameter_without_a_dimension_evolves_by_torchs_optimisers_and_goes_into_a_file() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.scale = nn.Linear(4, 3), nn.Parameter(torch.tensor(1.0))

        def forward(self, rows: Tensor) -> Tensor:
            out: Tensor = self.inner(rows) * self.scale
            return out

    evolution = EggrollOptimiser(Scaled(), Settings(pairs=4, seed=1), optimiser=torch.optim.Adam)
    evolution.step(X, functional.cross_entropy, torch.zeros(6, dtype=torch.long))
    scale = evolution.network.get_parameter("scale")
    assert scale.item() != 1.0
    assert evolution.parameters_of(evolution.ask()[0])["scale"].shape == ()
    written = centre_file.write(evolution)
    centre_file.restore(evolution, written)
    assert centre_file.read(written).parameters["scale"] == scale
