"""What torcheggroll's interface over our engine takes care of: state, seeds, settings, members that fail."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from germline.compat.torcheggroll import (
    TorchEggrollES,
)

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


def evolve(es: TorchEggrollES, steps: int) -> None:
    x, y = batch()
    for _ in range(steps):
        es.step(x, mse, y)


def test_the_seed_of_torch_decides_and_torch_is_left_alone() -> None:
    x, y = batch()
    moved = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        model = Point(4)
        TorchEggrollES(model, 8, 0.1).step(x, lambda o, t: o.sum(), y)
        assert torch.equal(torch.get_rng_state(), state)
        moved.append(weights(model))
    assert torch.equal(moved[0], moved[1])
    assert not torch.equal(moved[0], moved[2])


def test_only_what_the_filter_takes_and_requires_a_gradient_evolves() -> None:
    model = network()
    model[0].bias.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    es = TorchEggrollES(model, 8, 0.1, 0.5, param_filter=lambda parameter, name: "0" in name)
    evolve(es, 2)
    changed = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert changed == es.param_names == ["0.weight"]
    assert (es.param_shapes, es.param_dtypes) == ([(8, 6)], [torch.float32])
    assert es.device == CPU


def test_a_checkpoint_goes_on_as_if_it_had_never_been_made() -> None:
    model = network()
    es = TorchEggrollES(model, 8, 0.1, 0.5, antithetic=False, normalize_fitness=False, seed=5)
    evolve(es, 3)
    file = io.BytesIO()
    torch.save(es.state_dict(), file)
    evolve(es, 3)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    later = network()
    other = TorchEggrollES(later, 4, 0.9)
    other.load_state_dict(state)
    assert (other.epoch, other.pop_size, other.sigma, other.antithetic) == (3, 8, 0.1, False)
    evolve(other, 3)
    assert torch.equal(weights(model), weights(later))


def test_a_checkpoint_of_the_package_itself_is_taken_and_a_wrong_one_refused() -> None:
    es, centre = TorchEggrollES(nn.Linear(2, 1), 8, 0.1), {"weight": torch.ones(1, 2), "bias": torch.ones(1)}
    theirs = {"epoch": 7, "base_params": centre, "pop_size": 4, "sigma": 0.5, "lr": 0.1, "rank": 1}
    es.load_state_dict(theirs)
    assert (es.epoch, es.pop_size, es.model(torch.ones(1, 2)).item()) == (7, 4, 3.0)
    assert set(theirs) <= set(es.state_dict())
    with pytest.raises(KeyError, match="bias"):
        es.load_state_dict({**theirs, "epoch": 9, "base_params": {"weight": torch.zeros(1, 2)}})
    with pytest.raises(ValueError, match=r"weight of the state has shape \(2, 2\), here \(1, 2\)"):
        es.load_state_dict({**theirs, "epoch": 9, "base_params": {**centre, "weight": torch.zeros(2, 2)}})
    assert (es.epoch, es.model(torch.ones(1, 2)).item()) == (7, 3.0)


def test_a_member_without_a_finite_loss_costs_its_pair_and_nothing_else() -> None:
    model, told = network(), []
    es = TorchEggrollES(model, 8, 0.1, seed=1)
    es.prepare_population()
    scores = torch.arange(8.0)
    scores[2] = math.nan
    mean = es.apply_fitness_scores(scores)
    assert mean == pytest.approx(np.mean([0, 1, 3, 4, 5, 7]))
    assert weights(model).isfinite().all()
    before = weights(model)
    told.append(es.step(*batch()[:1], lambda o, t: o.sum() * math.inf, batch()[1]))
    assert math.isnan(told[0])
    assert torch.equal(weights(model), before)


def test_where_no_fitness_differs_nothing_moves() -> None:
    model = network()
    TorchEggrollES(model, 8, 0.1, 1.0).step(batch()[0], lambda o, t: (o * 0).sum(), batch()[1])
    assert torch.equal(weights(model), weights(network()))


def test_training_flags_and_buffers_are_as_before() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)).train()
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    es = TorchEggrollES(model, 8, 0.1)
    evolve(es, 1)
    es.step(lambda m: m(batch()[0]).sum().item())
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())


class Pair(nn.Module):
    """Takes a mapping and gives a tuple: nothing for a shared pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 3)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        out = self.inner(inputs["x"])
        return out, out.exp()


def test_models_of_other_inputs_and_outputs_are_played_one_by_one() -> None:
    torch.manual_seed(0)
    (x, y), model = batch(), Pair()
    es = TorchEggrollES(model, 32, 0.05, 0.2, seed=1)
    means = [es.step({"x": x}, lambda outputs, t: mse(outputs[0], t), y) for _ in range(15)]
    assert means[-1] > means[0] + 0.05


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_computes_in_its_own_type_and_small_steps_add_up(dtype: torch.dtype) -> None:
    (x, y), model = batch(), network().to(dtype)
    es = TorchEggrollES(model, 16, 0.01, 0.01, seed=1)
    for _ in range(3):
        es.step(x.to(dtype), mse, y.to(dtype))
    assert {p.dtype for p in model.parameters()} == {dtype} == set(es.param_dtypes)
    exact = network()
    same = TorchEggrollES(exact, 16, 0.01, 0.01, seed=1)
    for _ in range(3):
        same.step(x, mse, y)
    moved, expected = es.state_dict()["base_params"], same.state_dict()["base_params"]
    start = dict(network().to(dtype).named_parameters())
    for name in es.param_names:
        assert not torch.equal(moved[name], start[name].float())
        assert (moved[name] - start[name].float()).abs().max() < 3 * (
            expected[name] - dict(network().named_parameters())[name]
        ).abs().max()


def test_weights_that_somebody_wrote_are_where_the_next_step_starts() -> None:
    model = network()
    es = TorchEggrollES(model, 8, 0.1, 1e-6)
    evolve(es, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(3.0)
    evolve(es, 1)
    assert torch.allclose(weights(model), torch.full_like(weights(model), 3.0), atol=1e-3)
    assert torch.allclose(es.base_params["0.bias"], dict(model.named_parameters())["0.bias"])


def test_settings_may_be_set_on_the_way() -> None:
    model = network()
    es = TorchEggrollES(model, 8, 0.1, 0.5)
    evolve(es, 1)
    es.pop_size, es.rank, es.antithetic, es.sigma, es.lr = 5, 1, False, 0.2, 0.0
    before = weights(model)
    evolve(es, 1)
    assert torch.equal(weights(model), before)
    assert len(es.prepare_population()) == 5
    noise = es.get_stacked_params()["0.weight"] - es.base_params["0.weight"]
    assert torch.linalg.matrix_rank(noise, rtol=1e-4).tolist() == [1] * 5


def test_one_function_of_the_model_is_a_step_as_in_the_first_release() -> None:
    (x, y), model = batch(), network()
    es = TorchEggrollES(model, 16, 0.1, 0.5, seed=1)
    twin = network()
    other = TorchEggrollES(twin, 16, 0.1, 0.5, seed=1)
    for _ in range(3):
        mean = es.step(lambda m: -float(mse(m(x), y)))
        assert other.step(x, mse, y) == pytest.approx(mean, rel=1e-4)
    assert torch.allclose(weights(model), weights(twin), atol=1e-4)
    with pytest.raises(TypeError, match="one function of the model"):
        es.step(x)


def test_a_loss_that_fails_says_so_itself() -> None:
    def fails(outputs: Tensor, targets: Tensor) -> Tensor:
        raise ValueError("this loss is no good")

    model = network()
    with pytest.raises(ValueError, match="this loss is no good"):
        TorchEggrollES(model, 4, 0.1).step(*batch()[:1], fails, batch()[1])
    assert torch.equal(weights(model), weights(network()))
