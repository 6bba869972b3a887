"""torcheggroll's interface over our engine: its names, layouts and errors, and what is right in ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from germline.compat import torcheggroll
from germline.compat.torcheggroll import (
    TorchEggrollES,
    compute_es_gradient,
    generate_lora_noise,
    generate_noise_for_shapes,
    generate_standard_noise,
)
from germline.compat.torcheggroll.es import generate_lora_noise_batched, generate_standard_noise_batched

CPU = torch.device("cpu")


class Point(nn.Module):
    """Weights that are the answer: a view of them, one row for each of the inputs'."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return self.point.flatten().expand(len(x), -1)


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets) ** 2).mean()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def batch(rows: int = 16) -> tuple[Tensor, Tensor]:
    x = torch.randn(rows, 6, generator=torch.Generator().manual_seed(1))
    return x, torch.sin(x[:, :3])


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("antithetic", [True, False])
@pytest.mark.parametrize("normalize_fitness", [True, False])
@pytest.mark.parametrize("shape", [(5,), (4, 3)])
def test_a_point_comes_near_its_target(
    shape: tuple[int, ...], normalize_fitness: bool, antithetic: bool
) -> None:
    model, x = Point(*shape), torch.zeros(2, 1)
    y = torch.full((2, math.prod(shape)), 0.5)
    lr = 0.1 if normalize_fitness else 30.0
    es = TorchEggrollES(
        model, 64, 0.1, lr, antithetic=antithetic, normalize_fitness=normalize_fitness, seed=1
    )
    means = [es.step(x, mse, y) for _ in range(40)]
    assert mse(model(x), y) < 0.1 * 0.25
    assert (type(means[0]), es.epoch) == (float, 40)
    assert means[-1] > means[0]


@pytest.mark.parametrize("antithetic", [True, False])
@pytest.mark.parametrize("normalize_fitness", [True, False])
def test_a_step_is_what_prepared_members_and_their_scores_make(
    antithetic: bool, normalize_fitness: bool
) -> None:
    x, y = batch()
    settings: dict[str, Any] = {
        "pop_size": 8, "sigma": 0.1, "lr": 0.5, "rank": 2, "seed": 3,
        "antithetic": antithetic, "normalize_fitness": normalize_fitness,
    }  # fmt: skip
    stepped, prepared, by_hand = network(), network(), network()
    one, two = TorchEggrollES(stepped, **settings), TorchEggrollES(prepared, **settings)
    mean = one.step(x, mse, y)

    members = two.prepare_population()
    scores = torch.stack([-mse(functional_call(prepared, member, (x,)), y) for member in members])
    noise = {name: two.get_stacked_params()[name] - p for name, p in by_hand.named_parameters()}
    gradient = compute_es_gradient(noise, scores, normalize_fitness)
    with torch.no_grad():
        for name, parameter in by_hand.named_parameters():
            parameter.add_(0.5 * gradient[name])

    assert two.apply_fitness_scores(scores) == pytest.approx(mean, rel=1e-5)
    assert torch.allclose(weights(stepped), weights(prepared), atol=1e-5)
    assert torch.allclose(weights(prepared), weights(by_hand), atol=1e-5)
    assert not torch.allclose(weights(prepared), weights(network()), atol=1e-3)


def test_the_gradient_is_that_of_the_formula() -> None:
    noise, rewards = torch.randn(8, 2, 3), torch.randn(8)
    z = (rewards - rewards.mean()) / rewards.std()
    expected = math.sqrt(8) * (z[:, None, None] * noise).mean(0)
    assert torch.allclose(compute_es_gradient({"w": noise}, rewards)["w"], expected, atol=1e-5)
    assert torch.equal(compute_es_gradient({"w": noise}, torch.ones(8))["w"], torch.zeros(2, 3))
    with pytest.raises(ValueError, match="noise w is of 8 members; there are 7 rewards"):
        compute_es_gradient({"w": noise}, rewards[:7])


@pytest.mark.parametrize("parameter", ["0.weight", "0.bias", "2.weight", "2.bias"])
def test_the_estimate_of_every_parameter_points_along_the_true_gradient(parameter: str) -> None:
    model = network()
    slope = {name: torch.randn_like(p) for name, p in model.named_parameters()}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    es = TorchEggrollES(model, 8192, 0.01, 1.0, rank=1, seed=1)
    es.prepare_population()
    stacked = es.get_stacked_params()
    es.apply_fitness_scores(sum(torch.tensordot(stacked[n], s, s.dim()) for n, s in slope.items()))
    moved = dict(model.named_parameters())[parameter].detach() - before[parameter]
    assert functional.cosine_similarity(moved.flatten(), slope[parameter].flatten(), 0) > 0.97


def test_the_second_half_of_the_members_mirrors_the_first() -> None:
    model = network()
    es = TorchEggrollES(model, 6, 0.1)
    members = es.prepare_population()
    stacked = es.get_stacked_params()
    assert (len(members), list(stacked)) == (6, ["0.weight", "0.bias", "2.weight", "2.bias"])
    for name, parameter in model.named_parameters():
        assert stacked[name].shape == (6, *parameter.shape)
        plus, minus = stacked[name][:3] - parameter, stacked[name][3:] - parameter
        assert torch.allclose(plus, -minus, atol=1e-6)
        assert plus.abs().max() > 0
        assert torch.equal(members[4][name], stacked[name][4])


def test_a_matrix_has_noise_of_no_higher_rank_than_asked_or_than_its_smaller_side() -> None:
    for rank, expected in ((2, 2), (9, 3)):
        es = TorchEggrollES(nn.Linear(10, 3), 4, 0.1, rank=rank)
        es.prepare_population()
        noise = es.get_stacked_params()["weight"] - es.base_params["weight"]
        assert torch.linalg.matrix_rank(noise, rtol=1e-4).tolist() == [expected] * 4


def test_members_are_played_by_vmap_too_with_frozen_parameters_and_buffers() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    model[0].weight.requires_grad_(False)
    es = TorchEggrollES(model, 6, 0.1, param_filter=lambda parameter, name: name.startswith("2"))
    members, stacked = es.prepare_population(), es.get_stacked_params()
    assert es.param_names == ["2.weight", "2.bias"]
    assert set(members[0]) == {*dict(model.named_parameters()), *dict(model.named_buffers())}
    model.eval()
    x, y = batch()
    names = list(stacked)
    play = vmap(lambda *each: functional_call(model, dict(zip(names, each, strict=True)), (x,)))
    outputs = play(*stacked.values())
    assert torch.allclose(outputs[5], functional_call(model, members[5], (x,)), atol=1e-5)
    es.apply_fitness_scores(-((outputs - y) ** 2).mean((1, 2)))


def test_scores_come_after_members_once_and_one_for_each() -> None:
    es = TorchEggrollES(network(), 6, 0.1)
    for early in (es.get_stacked_params, lambda: es.apply_fitness_scores(torch.zeros(6))):
        with pytest.raises(RuntimeError, match=r"Call prepare_population\(\) first"):
            early()
    es.prepare_population()
    for wrong in (torch.zeros(7), torch.zeros(6, 2), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="Expected 6 fitness scores, got"):
            es.apply_fitness_scores(wrong)
    assert es.epoch == 0
    es.apply_fitness_scores(torch.arange(6.0))
    assert es.epoch == 1
    with pytest.raises(RuntimeError, match="prepare_population"):
        es.get_stacked_params()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TorchEggrollES(nn.Linear(2, 2), 31), "pop_size must be even .*; it is 31"),
        (lambda: TorchEggrollES(nn.ReLU()), "no parameters selected"),
        (lambda: TorchEggrollES(nn.Linear(2, 2), param_filter=lambda p, n: False), "no parameters selected"),
        (lambda: TorchEggrollES(nn.Linear(2, 2), 0), "population is 0"),
        (lambda: TorchEggrollES(nn.Linear(2, 2), sigma=math.nan), "sigma is nan"),
        (lambda: TorchEggrollES(nn.Linear(2, 2), rank=0), "rank is 0"),
        (lambda: generate_noise_for_shapes({"w": (2,)}, {}, 3, 0.1, 0, CPU), "even"),
        (lambda: generate_lora_noise(torch.zeros(3), 1, 0.1, 0, CPU), "no matrix"),
        (
            lambda: generate_lora_noise_batched((2, 2), 1, 0.1, 2, None, CPU, torch.float32),
            "seeds required when fast=False",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_noise_of_a_seed_has_the_shape_scale_and_rank_of_what_it_is_for() -> None:
    matrix, vector = torch.zeros(200, 300, dtype=torch.float64), torch.zeros(2, 3, 1000)
    low = generate_lora_noise(matrix, 3, 0.5, 7, CPU)
    assert (low.shape, low.dtype) == (matrix.shape, torch.float64)
    assert torch.linalg.matrix_rank(low, rtol=1e-5) == 3
    many = torch.stack([generate_lora_noise(torch.zeros(4, 4), 9, 0.5, seed, CPU) for seed in range(2000)])
    assert many.std(0).sub(0.5).abs().max() < 0.06
    dense = generate_standard_noise(vector, 0.5, 7, CPU)
    assert dense.shape == vector.shape
    assert dense.std().item() == pytest.approx(0.5, rel=0.05)
    assert torch.equal(dense, generate_standard_noise(vector, 0.5, 7, CPU))
    assert not torch.equal(dense, generate_standard_noise(vector, 0.5, 8, CPU))
    seeds = torch.tensor([7, 8])
    both = generate_lora_noise_batched((200, 300), 3, 0.5, 2, seeds, CPU, torch.float64)
    assert torch.equal(both[0], low)
    assert not torch.equal(both[0], both[1])
    assert generate_standard_noise_batched((2, 3), 0.1, 4, None, CPU, torch.float32, fast=True).shape == (
        4,
        2,
        3,
    )


def test_noise_for_shapes_is_a_function_of_seed_epoch_and_name() -> None:
    shapes: dict[str, tuple[int, ...]] = {"a": (20, 10), "b": (20, 10), "c": (20,), "d": (3, 2, 2), "e": ()}
    ranks = {"a": 4, "b": 4, "c": None}
    noise = generate_noise_for_shapes(shapes, ranks, 6, 0.1, 3, CPU)
    assert {name: tuple(values.shape) for name, values in noise.items()} == {
        name: (6, *shape) for name, shape in shapes.items()
    }
    assert torch.equal(noise["a"][:3], -noise["a"][3:])
    assert not torch.equal(noise["a"], noise["b"])
    assert torch.linalg.matrix_rank(noise["a"], rtol=1e-4).tolist() == [4] * 6
    again = generate_noise_for_shapes({"b": (20, 10)}, ranks, 6, 0.1, 3, CPU)
    assert torch.equal(noise["b"], again["b"])
    for other in ({"epoch": 4}, {"seed": 1}):
        another = generate_noise_for_shapes(**{"shapes": shapes, "ranks": ranks, "pop_size": 6, "sigma": 0.1,
                                               "epoch": 3, "device": CPU, **other})  # type: ignore[arg-type]  # fmt: skip
        assert not torch.equal(noise["a"], another["a"])
    assert generate_noise_for_shapes({"c": (2,)}, {}, 31, 0.1, 0, CPU, antithetic=False)["c"].shape == (31, 2)


def test_a_network_of_convolutions_learns() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    x = torch.randn(32, 1, 8, 8)
    labels = (x.mean((1, 2, 3)) > 0).long()
    es = TorchEggrollES(model, 64, 0.05, 0.5, seed=1)
    means = [es.step(x, functional.cross_entropy, labels) for _ in range(25)]
    assert means[-1] > means[0] + 0.1
    es.prepare_population()
    assert es.get_stacked_params()["0.weight"].shape == (64, 4, 1, 3, 3)


def test_the_public_names_are_the_packages() -> None:
    assert set(torcheggroll.__all__) == {
        "TorchEggrollES",
        "compute_es_gradient",
        "generate_lora_noise",
        "generate_noise_for_shapes",
        "generate_standard_noise",
    }
