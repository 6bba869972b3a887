"""eggroll-trainer's interface over our engine: its names, layouts and errors, and what is right in ours."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from germline.compat import eggroll_trainer
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
def test_training_improves_and_keeps_the_books(
    kind: type[Trainer], capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = make(kind, learning_rate=0.5)
    before = small(trainer.model)
    first = trainer.step()
    assert set(first) == {"generation", "mean_fitness", "best_fitness", "std_fitness"}
    assert first["std_fitness"] > 0
    told = trainer.train(num_generations=30, verbose=False)
    assert capsys.readouterr().out == ""
    assert (told["generation"], len(told["fitness_history"])) == (31, 31)
    assert told["fitness_history"][0] == first["mean_fitness"]
    assert small(trainer.model) > before + 0.1
    assert trainer.best_fitness is not None
    assert told["best_fitness"] == trainer.best_fitness >= first["best_fitness"]
    trainer.train(1)
    assert f"generation 32: mean fitness {trainer.fitness_history[-1]:.4f}" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [*BOTH, Uniform])
def test_the_best_model_has_the_best_fitness(kind: type[Trainer]) -> None:
    trainer = make(kind)
    assert torch.equal(weights(trainer.get_best_model()), weights(trainer.model))
    trainer.train(3, verbose=False)
    assert small(trainer.get_best_model()) == pytest.approx(trainer.best_fitness)
    assert trainer.get_best_model() is not trainer.model


@pytest.mark.parametrize("kind", BOTH)
def test_the_seed_decides_and_the_same_seed_repeats(kind: type[Trainer]) -> None:
    moved = []
    for seed in (1, 1, 2):
        trainer = make(kind, seed=seed)
        trainer.train(2, verbose=False)
        moved.append(weights(trainer.model))
    assert torch.equal(moved[0], moved[1])
    assert not torch.equal(moved[0], moved[2])


@pytest.mark.parametrize("kind", BOTH)
def test_a_step_leaves_torchs_generator_alone(kind: type[Trainer]) -> None:
    trainer = make(kind)
    state = torch.get_rng_state()
    trainer.step()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_seed_is_torchs_too_for_a_fitness_that_draws() -> None:
    def drawn(model: nn.Module) -> float:
        return torch.randn(1).item()

    histories = [make(EGGROLLTrainer, fitness_fn=drawn, seed=3).train(2, verbose=False) for _ in range(2)]
    assert histories[0] == histories[1]


def test_same_shaped_parameters_have_noise_of_their_own() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    seen: list[list[Tensor]] = []

    def watch(model: nn.Module) -> float:
        seen.append([p.detach().clone() for p in model.parameters()])
        return 0.0

    start = [p.detach().clone() for p in model.parameters()]
    make(EGGROLLTrainer, model, fitness_fn=watch, population_size=3).step()
    noises = [[now - before for now, before in zip(member, start, strict=True)] for member in seen]
    for first, _, second, _ in noises:
        assert not torch.allclose(first, second, atol=1e-3)
        assert torch.linalg.matrix_rank(first, rtol=1e-3) == 1
    assert not torch.allclose(noises[0][0], noises[1][0], atol=1e-3)
    assert not torch.allclose(noises[0][0], -noises[1][0], atol=1e-3)


@pytest.mark.parametrize(("reuse", "kept"), [(0, 1), (1, 1), (2, 2), (3, 3)])
def test_noise_is_kept_for_so_many_generations_in_antithetic_pairs(reuse: int, kept: int) -> None:
    model, seen = model_of(3, 2, 1), []

    def watch(model: nn.Module) -> float:
        seen.append(weights(model))
        return 0.0

    trainer = make(EGGROLLTrainer, model, fitness_fn=watch, population_size=5, noise_reuse=reuse)
    centre = weights(model)
    trainer.train(kept + 1, verbose=False)
    noises = torch.stack(seen).view(kept + 1, 5, -1) - centre
    assert all(torch.equal(noises[i], noises[0]) for i in range(kept))
    assert not torch.allclose(noises[kept], noises[0], atol=1e-3)
    are_pairs = torch.allclose(noises[0][0], -noises[0][1], atol=1e-6)
    assert are_pairs is (reuse > 0)
    assert not torch.allclose(noises[0][2], noises[0][4], atol=1e-3)


def test_a_step_is_the_formulas() -> None:
    model, seen, scores = model_of(4, 3, 1), [], []

    def watch(model: nn.Module) -> float:
        seen.append(weights(model))
        scores.append(small(model))
        return scores[-1]

    before = weights(model)
    make(EGGROLLTrainer, model, fitness_fn=watch, group_size=4, learning_rate=0.3).step()
    groups = torch.tensor(scores).view(4, 4)
    z = ((groups - groups.mean(1, keepdim=True)) / groups.std(1, keepdim=True)).flatten()
    step = 0.3 * math.sqrt(16) * (z[:, None] * (torch.stack(seen) - before)).mean(0)
    assert torch.allclose(weights(model) - before, step, atol=1e-5)


def test_only_matrices_evolve_if_the_rest_is_frozen_and_nothing_that_needs_no_gradient() -> None:
    model = model_of(5, 4, 1)
    model[2].weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    trainer = make(EGGROLLTrainer, model, freeze_nonlora=True)
    assert isinstance(trainer, EGGROLLTrainer)
    assert trainer.param_names == ["0.weight", "0.bias", "2.bias"]
    assert trainer.is_matrix == [True, False, False]
    assert (trainer.param_shapes[0], trainer.param_dims) == (torch.Size((4, 5)), [20, 4, 1])
    trainer.step()
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["0.weight"]
    flat = make(VanillaESTrainer, model_frozen := copy.deepcopy(model))
    flat.step()
    assert torch.equal(model_frozen.state_dict()["2.weight"], before["2.weight"])


def test_a_network_of_convolutions_learns_and_is_no_matrix() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 1))
    x = torch.randn(16, 1, 4, 4)

    def fitness(model: nn.Module) -> float:
        with torch.no_grad():
            return -float(((model(x)[:, 0] - x.mean((1, 2, 3))) ** 2).mean())

    settings = {"population_size": 32, "learning_rate": 0.3, "sigma": 0.05, "noise_reuse": 1}
    trainer = make(EGGROLLTrainer, model, fitness_fn=fitness, **settings)
    history = trainer.train(30, verbose=False)["fitness_history"]
    assert history[-1] > 0.5 * history[0]
    assert trainer.is_matrix == [False, False, True, False]  # type: ignore[union-attr]
    before = model.state_dict()["0.weight"].clone()
    trainer.freeze_nonlora = True  # type: ignore[union-attr]
    trainer.step()
    assert torch.equal(model.state_dict()["0.weight"], before)


@pytest.mark.parametrize("kind", [VanillaESTrainer, Uniform])
def test_flat_weights_go_in_and_out_and_a_reset_begins_again(kind: type[VanillaESTrainer]) -> None:
    trainer = make(kind)
    assert isinstance(trainer, ESTrainer)
    flat = trainer._get_flat_params()
    assert torch.equal(flat, trainer.initial_params)
    trainer._set_flat_params(flat + 0.1)
    assert torch.allclose(weights(trainer.model), flat + 0.1)
    trainer.train(2, verbose=False)
    trainer.reset()
    assert (trainer.generation, trainer.fitness_history, trainer.best_fitness) == (0, [], None)
    assert torch.equal(weights(trainer.model), flat)
    assert trainer.evaluate_fitness(trainer.model) == small(trainer.model)
    assert trainer.device == torch.device("cpu")


def test_a_base_without_its_two_methods_is_none() -> None:
    with pytest.raises(TypeError, match="abstract"):
        ESTrainer(nn.Linear(1, 1).parameters(), nn.Linear(1, 1), small)  # type: ignore[abstract]
    assert not issubclass(EGGROLLTrainer, ESTrainer)
    assert set(eggroll_trainer.__all__) == {"EGGROLLTrainer", "ESTrainer", "VanillaESTrainer"}


def test_the_plain_strategys_noise_is_the_standard_normals_and_never_the_same() -> None:
    trainer = make(VanillaESTrainer)
    first, second = (trainer.sample_perturbations(400).numpy() for _ in range(2))  # type: ignore[union-attr]
    assert first.shape == (400, 29)
    assert abs(np.mean(first)) < 0.05
    assert np.std(first) == pytest.approx(1.0, abs=0.03)
    assert not np.array_equal(first, second)
