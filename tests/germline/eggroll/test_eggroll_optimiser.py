"""A population through one batch: what users of torcheggroll do, done here."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from germline.eggroll import Adam, EggrollOptimiser, EggrollTrainer, Ramp, Settings, UntraceableError, losses
from germline.shaping import SHAPINGS, ShapingName


class Quadratic(nn.Module):
    """One parameter, to be moved to the target."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight + 0 * x.sum()).unsqueeze(0)


class Odd(nn.Module):
    """A parameter outside of any layer, beside layers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale = nn.Linear(4, 3), nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.tanh(self.inner(x)) * self.scale
        return out


class OddRecurrent(Odd):
    """The same around a layer that `vmap` cannot batch."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(3, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.memory(super().forward(x).unsqueeze(1))[0][:, 0]
        return out


def mlp(*widths: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.mse_loss(outputs, targets)


def settings(**chosen: object) -> Settings:
    return Settings(**{"pairs": 16, "seed": 1, "sigma": 0.1, "learning_rate": 0.5, **chosen})  # type: ignore[arg-type]


def toy_batch(rows: int = 16) -> tuple[Tensor, Tensor]:
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(1))
    return x, torch.sin(x.sum(1, keepdim=True))


@pytest.mark.parametrize("shape", [(1,), (4, 8)])
@pytest.mark.parametrize(
    "shaping", [name for name in SHAPINGS if name not in ("group_mean", "weighted_ranks")]
)
def test_a_quadratic_falls_to_its_minimum(shape: tuple[int, ...], shaping: ShapingName) -> None:
    network = Quadratic(*shape)
    target = torch.full((1, *shape), 0.5)
    evolution = EggrollOptimiser(
        network, settings(rank=2, learning_rate=Ramp(1.5, 0.1, 60), shaping=shaping, pairs=32)
    )
    x = torch.zeros(1, 1)
    before = mse(network(x), target).item()
    for _ in range(60):
        evolution.step(x, mse, target)
    after = mse(network(x), target).item()
    assert after < 0.1 * before


LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Any], Tensor]] = {
    "cross entropy": (functional.cross_entropy, torch.tensor([0, 2, 1, 1])),
    "cross entropy, ignored labels": (functional.cross_entropy, torch.tensor([0, -100, 1, -100])),
    "cross entropy, probabilities": (functional.cross_entropy, torch.full((4, 3), 1 / 3)),
    "cross entropy, as a module": (nn.CrossEntropyLoss(), torch.tensor([0, 2, 1, 1])),
    "cross entropy, smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1), torch.tensor([0, 2, 1, 1])),
    "cross entropy, weighted": (
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 3])),
        torch.tensor([0, 2, 1, 1]),
    ),
    "mean squared error": (functional.mse_loss, torch.ones(4, 3)),
    "mean absolute error": (functional.l1_loss, torch.ones(4, 3)),
    "a sum": (nn.MSELoss(reduction="sum"), torch.ones(4, 3)),
    "one that looks at values": (lambda o, t: o.mean() if (o > 0).any() else t.mean(), torch.ones(4)),
    "a plain number": (lambda o, t: (o - t).mean().item(), torch.ones(4, 3)),
    "one's own": (lambda o, t: (o.logsumexp(1) - o[:, 0] * t).mean(), torch.ones(4)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_all_members_is_that_of_each(name: str) -> None:
    loss_fn, targets = LOSSES[name]
    outputs = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(8))
    expected = torch.tensor([float(loss_fn(out, targets)) for out in outputs])
    assert torch.allclose(losses.of_members(loss_fn, outputs, targets), expected, atol=1e-5)


def test_a_loss_that_is_no_scalar_is_refused() -> None:
    outputs = torch.zeros(5, 4, 3)
    with pytest.raises(ValueError, match=r"loss_fn gave shape \(4, 3\) for one member; allowed: a scalar"):
        losses.of_members(lambda o, t: o - t, outputs, torch.zeros(4, 3))


@pytest.mark.parametrize("rows", [1, 4, 16, 64])
def test_an_mlp_improves_for_any_batch_size(rows: int) -> None:
    network = mlp(4, 8, 1)
    x, y = toy_batch(rows)
    evolution = EggrollOptimiser(network, settings())
    first = evolution.step(x, mse, y).mean
    for _ in range(40):
        last = evolution.step(x, mse, y).mean
    assert last > first
    assert isinstance(last, float)
    assert evolution.epoch == 41


def test_the_mean_is_that_before_the_update() -> None:
    x, y = toy_batch()
    evolution = EggrollOptimiser(mlp(4, 8, 1), settings())
    fitness = evolution.evaluate(x, mse, y)
    assert evolution.epoch == 0
    assert evolution.step(x, mse, y).mean == pytest.approx(fitness.mean())


def test_fitness_is_minus_the_loss_of_each_members_exact_weights() -> None:
    x, y = toy_batch()
    network = mlp(4, 8, 1)
    evolution = EggrollOptimiser(network, settings(pairs=3))
    member = copy.deepcopy(network)
    expected = []
    for each in evolution.ask():
        evolution.space.write(evolution.weights(each), member)
        expected.append(-mse(member(x), y).item())
    assert evolution.evaluate(x, mse, y) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("chunk_pairs", [1, 3, 16, 100])
def test_chunks_change_nothing_but_memory(chunk_pairs: int) -> None:
    x, y = toy_batch()
    whole = EggrollOptimiser(mlp(4, 8, 1), settings(shaping="pair_sign"))
    chunked = EggrollOptimiser(mlp(4, 8, 1), settings(shaping="pair_sign"), chunk_pairs=chunk_pairs)
    assert chunked.evaluate(x, mse, y) == pytest.approx(whole.evaluate(x, mse, y), rel=1e-5)


def test_stacked_parameters_play_under_vmap_and_scores_told_from_outside_move_the_centre() -> None:
    x, y = toy_batch()
    inside, outside = (EggrollOptimiser(mlp(4, 8, 1), settings(shaping="pair_sign")) for _ in range(2))
    stacked = outside.stacked_parameters()
    assert {name: tuple(p.shape) for name, p in stacked.items()} == {
        "0.weight": (32, 8, 4),
        "0.bias": (32, 8),
        "2.weight": (32, 1, 8),
        "2.bias": (32, 1),
    }
    outs = vmap(lambda p: functional_call(outside.network, p, (x,)))(stacked)
    told = outside.tell([-mse(out, y).item() for out in outs])
    assert told.mean == pytest.approx(inside.step(x, mse, y).mean, rel=1e-4)
    assert outside.digest() == inside.digest()


def test_prepared_members_have_buffers_and_frozen_parameters_too() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).eval()
    evolution = EggrollOptimiser(network, settings(pairs=2), freeze=["2.*"])
    prepared = evolution.prepare_population()
    assert len(prepared) == 4
    for member, parameters in zip(evolution.ask(), prepared, strict=True):
        assert set(parameters) == set(network.state_dict())
        out = functional_call(network, parameters, (toy_batch()[0],))
        copied = copy.deepcopy(network)
        evolution.space.write(evolution.weights(member), copied)
        assert torch.allclose(out, copied(toy_batch()[0]))
        assert torch.equal(evolution.parameters_of(member)["0.weight"], parameters["0.weight"])


def test_members_can_have_rows_of_their_own() -> None:
    network = mlp(4, 8, 2)
    evolution = EggrollOptimiser(network, settings(pairs=5), chunk_pairs=2)
    rows = torch.randn(10 * 3, 4, generator=torch.Generator().manual_seed(2))
    outs = evolution.forward(rows).view(10, 3, 2)
    member = copy.deepcopy(network)
    for i, each in enumerate(evolution.ask()):
        evolution.space.write(evolution.weights(each), member)
        assert torch.allclose(outs[i], member(rows.view(10, 3, 4)[i]), atol=1e-5)


@pytest.mark.parametrize("rows", [0, 7, 33])
def test_rows_that_the_members_cannot_share_out_are_refused(rows: int) -> None:
    evolution = EggrollOptimiser(mlp(4, 1), settings())
    with pytest.raises(ValueError, match=f"{rows} rows for 32 members"):
        evolution.forward(torch.zeros(rows, 4))


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="inputs has 0 rows"):
        EggrollOptimiser(mlp(4, 1), settings()).step(torch.zeros(0, 4), mse, torch.zeros(0, 1))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [({"chunk_pairs": 0}, "chunk_pairs is 0"), ({"dtype": torch.int64}, "dtype is torch.int64")],
)
def test_ways_of_playing_that_cannot_be_are_refused(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        EggrollOptimiser(mlp(4, 1), settings(), **wrong)


@pytest.mark.parametrize("make", [Odd, OddRecurrent])
def test_networks_beyond_the_low_rank_pass_are_played_by_written_out_weights(
    make: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(0)
    network, (x, _) = make(), toy_batch()
    evolution = EggrollOptimiser(network, settings(pairs=3))
    outs = torch.cat(list(evolution.outputs(x)))
    member = copy.deepcopy(network)
    for i, each in enumerate(evolution.ask()):
        evolution.space.write(evolution.weights(each), member)
        assert torch.allclose(outs[i], member(x), atol=1e-5)
    with pytest.raises(UntraceableError, match="scale"):
        EggrollOptimiser(network, settings(), forward="low_rank").step(x, mse, x[:, :3])


def test_both_ways_of_playing_agree() -> None:
    x, y = toy_batch()
    low_rank, written = (
        EggrollOptimiser(mlp(4, 8, 1), settings(), forward=mode) for mode in ("low_rank", "materialised")
    )
    for _ in range(2):
        assert written.evaluate(x, mse, y) == pytest.approx(low_rank.evaluate(x, mse, y), rel=1e-4)
        written.tell(low_rank.evaluate(x, mse, y))
        low_rank.step(x, mse, y)


def test_a_filtered_parameter_stays_and_the_others_move() -> None:
    x, y = toy_batch()
    network = mlp(4, 8, 1)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    evolution = EggrollOptimiser(network, settings(), freeze=lambda name, _p: "bias" in name)
    for _ in range(10):
        evolution.step(x, mse, y)
    assert all(torch.equal(p, before[n]) == ("bias" in n) for n, p in network.named_parameters())


def test_playing_leaves_training_flags_buffers_and_randomness_alone() -> None:
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 1)).train()
    buffers = {name: b.clone() for name, b in network.named_buffers()}
    state = torch.random.get_rng_state()
    x, y = toy_batch()
    EggrollOptimiser(network, settings()).step(x * 5 + 2, mse, y)
    assert network.training
    assert all(torch.equal(buffers[name], b) for name, b in network.named_buffers())
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_diverged_member_does_not_poison_the_network() -> None:
    x, y = toy_batch()
    network = mlp(4, 8, 1)

    def brittle(outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.log(mse(outputs, targets) - 0.6)  # NaN for the better half

    told = EggrollOptimiser(network, settings(pairs=64, sigma=0.5)).step(x, brittle, y)
    assert 0 < told.members < 128
    assert all(torch.isfinite(p).all() for p in network.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_learns_in_either_precision(dtype: torch.dtype) -> None:
    x, y = toy_batch(32)
    evolution = EggrollOptimiser(mlp(4, 16, 1), settings(pairs=32), dtype=dtype)
    first = evolution.step(x, mse, y).mean
    for _ in range(60):
        last = evolution.step(x, mse, y).mean
    assert last > 0.6 * first
    assert evolution.centre.dtype == torch.float32


def spirals(rows: int) -> tuple[Tensor, Tensor]:
    """Three arms around the origin."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(rows) % 3
    radius = torch.rand(rows, generator=generator)
    angle = 2.5 * radius + labels * 2 * math.pi / 3 + 0.1 * torch.randn(rows, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1) * 2, labels


def accuracy(network: nn.Module, x: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((network(x).argmax(1) == labels).float().mean())


@pytest.mark.slow
def test_a_small_classification_reaches_backprops_neighbourhood() -> None:
    x, labels = spirals(150)
    by_backprop, by_evolution = mlp(2, 24, 24, 3), mlp(2, 24, 24, 3)
    adam = torch.optim.Adam(by_backprop.parameters(), lr=0.02)
    for _ in range(300):
        adam.zero_grad()
        torch.autograd.backward(functional.cross_entropy(by_backprop(x), labels))
        adam.step()
    evolution = EggrollOptimiser(
        by_evolution,
        Settings(pairs=64, seed=1, sigma=Ramp(0.1, 0.03, 250), learning_rate=Ramp(0.05, 0.005, 250)),
        optimiser=Adam(),
    )
    for _ in range(250):
        evolution.step(x, functional.cross_entropy, labels)
    reference, reached = accuracy(by_backprop, x, labels), accuracy(by_evolution, x, labels)
    assert reference > 0.95
    assert reached > reference - 0.04


def test_a_shaping_of_rankings_is_refused_by_those_who_tell_scores() -> None:
    settings = Settings(pairs=2, seed=1, shaping="weighted_ranks")
    with pytest.raises(ValueError, match=r"weighted_ranks.*allowed here: centred_rank, z_score"):
        EggrollOptimiser(Odd(), settings)
    with pytest.raises(ValueError, match=r"weighted_ranks.*allowed here: centred_rank, z_score"):
        EggrollTrainer(Odd(), lambda _: 0.0, settings)
