"""A population is played the quick way only where that is the right way."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from germline.eggroll import EggrollOptimiser, LowRankForward, MaterialisedForward, Settings
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


@pytest.mark.parametrize("make", [MixesRows, CountsCalls, LooksInside, hooked])
def test_a_network_that_the_shared_pass_would_get_wrong_is_played_by_written_out_weights(
    make: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(0)
    network = make()
    evolution = EggrollOptimiser(network, Settings(pairs=3, seed=1, sigma=0.1), chunk_pairs=1)
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
