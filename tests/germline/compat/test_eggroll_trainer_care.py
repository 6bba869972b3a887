"""What eggroll-trainer's interface over our engine takes care of: state, failures, torch's own habits."""

from __future__ import annotations

import copy
import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from germline.compat.eggroll_trainer import EGGROLLTrainer, ESTrainer, VanillaESTrainer

BOTH = (EGGROLLTrainer, VanillaESTrainer)
Trainer = EGGROLLTrainer | VanillaESTrainer


def model_of(*widths: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(widths[0], widths[1]), nn.Tanh(), nn.Linear(widths[1], widths[2]))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def small(model: nn.Module) -> float:
    """The nearer its weights are to zero the better."""
    return -float(weights(model).norm())


def make(kind: type[Trainer], model: nn.Module | None = None, **settings: Any) -> Trainer:
    model = model or model_of(5, 4, 1)
    chosen: dict[str, Any] = {
        "population_size": 16,
        "learning_rate": 0.1,
        "sigma": 0.1,
        "seed": 1,
        **settings,
    }
    return kind(model.parameters(), model=model, fitness_fn=chosen.pop("fitness_fn", small), **chosen)


class Uniform(ESTrainer):
    """A strategy of one's own."""

    def sample_perturbations(self, population_size: int) -> Tensor:
        return torch.rand(population_size, self.current_params.shape[0], device=self.device) * 2 - 1

    def compute_update(self, perturbations: Tensor, fitnesses: Tensor) -> Tensor:
        return perturbations[torch.topk(fitnesses, len(fitnesses) // 2).indices].mean(dim=0)


@pytest.mark.parametrize("kind", [*BOTH, Uniform])
def test_buffers_and_training_flags_are_as_before(kind: type[Trainer]) -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).train()
    before, x = copy.deepcopy(dict(model.named_buffers())), torch.randn(8, 5)
    met: set[tuple[int, bool]] = set()

    def plays(model: nn.Module) -> float:
        met.add((int(dict(model.named_buffers())["1.num_batches_tracked"]), model.training))
        value = model(x).mean().item()
        model.eval()
        return float(value)

    make(kind, model, fitness_fn=plays).step()
    assert met == {(0, True)}, "a member met what another one left behind"
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("kind", BOTH)
def test_members_without_a_finite_fitness_cost_nobody_else(kind: type[Trainer]) -> None:
    told = iter([math.nan, math.inf, *range(14)] + [math.nan] * 16)
    trainer = make(kind, fitness_fn=lambda model: next(told))
    first = trainer.step()
    assert (first["mean_fitness"], first["best_fitness"]) == (6.5, 13)
    assert weights(trainer.model).isfinite().all()
    moved = weights(trainer.model)
    assert math.isnan(trainer.step()["mean_fitness"])
    assert torch.equal(weights(trainer.model), moved)
    assert trainer.best_fitness == 13


def test_an_update_that_is_not_finite_is_refused_and_moves_nothing() -> None:
    class Careless(Uniform):
        def compute_update(self, perturbations: Tensor, fitnesses: Tensor) -> Tensor:
            return (fitnesses[:, None] * perturbations).mean(0)

    told = iter([math.nan, *range(15)])
    trainer = make(Careless, fitness_fn=lambda model: next(told))  # type: ignore[arg-type]
    before = weights(trainer.model)
    with pytest.raises(ValueError, match="not finite, of 1 members without a finite fitness"):
        trainer.step()
    assert torch.equal(weights(trainer.model), before)


@pytest.mark.parametrize("kind", [*BOTH, Uniform])
def test_a_fitness_function_that_fails_leaves_the_model_as_it_was(kind: type[Trainer]) -> None:
    def fails(model: nn.Module) -> float:
        raise OSError("no game")

    trainer = make(kind, fitness_fn=fails)
    before = weights(trainer.model)
    with pytest.raises(OSError, match="no game"):
        trainer.step()
    assert torch.equal(weights(trainer.model), before)
    assert trainer.generation == 0
    with pytest.raises(TypeError, match="fitness_fn gave 'good'; allowed: one number"):
        make(kind, fitness_fn=lambda model: "good").step()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"group_size": 3}, "group_size is 3; allowed: 0, or a divisor of the population of 16"),
        ({"noise_reuse": -1}, "noise_reuse is -1"),
        ({"population_size": 0}, "population is 0"),
        ({"sigma": -1.0}, "sigma is -1.0"),
        ({"rank": 0}, "rank is 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make(EGGROLLTrainer, **settings)


def test_one_member_alone_says_nothing() -> None:
    trainer = make(EGGROLLTrainer, population_size=1)
    before = weights(trainer.model)
    assert math.isnan(trainer.step()["std_fitness"])
    assert torch.equal(weights(trainer.model), before)


@pytest.mark.parametrize("kind", BOTH)
def test_it_is_an_optimiser_of_torch_whose_learning_rate_schedulers_change(kind: type[Trainer]) -> None:
    trainer = make(kind, learning_rate=0.4)
    assert isinstance(trainer, torch.optim.Optimizer)
    schedule = torch.optim.lr_scheduler.ExponentialLR(trainer, gamma=0.5)
    trainer.zero_grad()
    trainer.step(lambda: pytest.fail("a closure is not called"))
    schedule.step()
    assert trainer.learning_rate == trainer.param_groups[0]["lr"] == 0.2
    trainer.step()
    assert trainer.param_groups[0]["learning_rate"] == 0.2
    trainer.learning_rate = 0.0
    before = weights(trainer.model)
    trainer.step()
    assert torch.equal(weights(trainer.model), before)
    trainer.sigma, trainer.population_size = 0.3, 6
    trainer.step()
    assert {"sigma": 0.3, "population_size": 6}.items() <= trainer.param_groups[0].items()


@pytest.mark.parametrize("kind", BOTH)
def test_a_checkpoint_goes_on_as_if_it_had_never_been_made(kind: type[Trainer]) -> None:
    trainer = make(kind)
    trainer.train(3, verbose=False)
    file = io.BytesIO()
    torch.save((trainer.state_dict(), trainer.model.state_dict()), file)
    trainer.train(3, verbose=False)
    file.seek(0)
    state, its_model = torch.load(file, weights_only=True)
    other = make(kind, seed=9, sigma=0.7, population_size=2)
    other.model.load_state_dict(its_model)
    other.load_state_dict(state)
    assert (other.generation, other.sigma, other.population_size) == (3, 0.1, 16)
    other.train(3, verbose=False)
    assert torch.equal(weights(other.model), weights(trainer.model))
    assert other.fitness_history == trainer.fitness_history
    assert small(other.get_best_model()) == pytest.approx(trainer.best_fitness)


def test_a_checkpoint_of_the_package_itself_is_taken() -> None:
    trainer = make(EGGROLLTrainer)
    group = {
        "learning_rate": 0.7, "population_size": 8, "sigma": 0.2, "rank": 2, "noise_reuse": 1,
        "group_size": 0, "freeze_nonlora": False, "params": [0, 1, 2, 3],
    }  # fmt: skip
    trainer.load_state_dict({"state": {}, "param_groups": [group]})
    assert (trainer.learning_rate, trainer.population_size, trainer.generation) == (0.7, 8, 0)
    trainer.step()
    assert set(group) <= set(trainer.state_dict()["param_groups"][0])
