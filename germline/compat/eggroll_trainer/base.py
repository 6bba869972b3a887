"""`ESTrainer`: a base for strategies of one's own, on flat vectors."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from germline.compat.eggroll_trainer.optimiser import FitnessFn, FitnessOptimiser, number
from germline.compat.weighing import Floats
from germline.eggroll.module_state import ModuleState


class ESTrainer(FitnessOptimiser):
    """Say how to `sample_perturbations`, and what they and their fitness make of an update.

    A member is ``current_params + sigma * perturbation``; the step is ``learning_rate * update``. The vectors
    hold the parameters that require a gradient, in the model's order.

    Attributes:
        initial_params: `[d]`, the weights of the start.
        current_params: `[d]`, the centre.
        best_params: `[d]`, the weights of the member with the best fitness; None before the first.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        model: nn.Module,
        fitness_fn: FitnessFn,
        population_size: int = 50,
        learning_rate: float = 0.01,
        sigma: float = 0.1,
        device: torch.device | str | None = None,
        seed: int | None = None,
    ) -> None:
        """Start from the model's present weights.

        Args:
            params: for the books of `torch.optim` only; all that requires a gradient in `model` evolves.
            model: any module.
            fitness_fn: of the model, a number; higher is better.
            population_size: members of a generation.
            learning_rate: step size.
            sigma: what perturbations are multiplied by.
            device: where to move the model; None leaves it.
            seed: of torch's generator and of the trainer's own noise; None takes one from where torch's
                generator stands.
        """
        super().__init__(
            params,
            model,
            fitness_fn,
            device,
            seed,
            learning_rate=learning_rate,
            population_size=population_size,
            sigma=sigma,
        )
        self.initial_params = self._get_flat_params()
        self.current_params = self.initial_params.clone()
        self.best_params: Tensor | None = None

    @abstractmethod
    def sample_perturbations(self, population_size: int) -> Tensor:
        """What makes the members differ from the centre, `[population_size, d]`, before `sigma`."""

    @abstractmethod
    def compute_update(self, perturbations: Tensor, fitnesses: Tensor) -> Tensor:
        """Where to go, `[d]`, by perturbations `[members, d]` and their fitness, `[members]` float32."""

    def evaluate_fitness(self, model: nn.Module) -> float:
        """The fitness of a model."""
        return self.fitness_fn(model)

    def reset(self) -> None:
        """Begin again with the weights of the start."""
        self.current_params = self.initial_params.clone()
        self._set_flat_params(self.current_params)
        self.generation, self.fitness_history = 0, []
        self.best_fitness = self.best_params = None

    def get_best_model(self) -> nn.Module:
        """A copy of the model with the weights of the best member; before the first one, with its own."""
        best = self._clone_model().to(self.device)
        if self.best_params is not None:
            _write(self.best_params, best)
        return best

    def _advance(self) -> Floats:
        perturbations = self.sample_perturbations(self.population_size)
        if len(perturbations) != self.population_size:
            raise ValueError(
                f"sample_perturbations gave {len(perturbations)}; expected {self.population_size}"
            )
        fitness = self._play(perturbations)
        told = torch.tensor(fitness, dtype=torch.float32, device=self.device)
        update = self.compute_update(perturbations, told)
        if not torch.isfinite(update).all():
            missing = int((~np.isfinite(fitness)).sum())
            raise ValueError(
                f"compute_update gave values that are not finite, of {missing} members without a finite "
                f"fitness; the model is as it was before this generation"
            )
        self.current_params = self.current_params + self.learning_rate * update
        self._set_flat_params(self.current_params)
        return fitness

    def _play(self, perturbations: Tensor) -> Floats:
        """Every member's fitness; the model is afterwards at the centre, with its own buffers and flags."""
        before = ModuleState(self.model)
        fitness = np.empty(len(perturbations))
        try:
            for i, perturbation in enumerate(perturbations):
                weights = self.current_params + self.sigma * perturbation
                self._set_flat_params(weights)
                fitness[i] = number(self.evaluate_fitness(self.model))
                before.put_back()
                if self._is_best(fitness[i]):
                    self.best_params = weights.clone()
        finally:
            before.put_back()
            self._set_flat_params(self.current_params)
        return fitness

    def _get_flat_params(self) -> Tensor:
        """The model's weights, `[d]`."""
        return torch.cat([p.detach().flatten() for p in self.model.parameters() if p.requires_grad])

    def _set_flat_params(self, flat_params: Tensor) -> None:
        """Copy weights, `[d]`, into the model."""
        _write(flat_params, self.model)

    def _clone_model(self) -> nn.Module:
        """A copy of the model."""
        return copy.deepcopy(self.model)

    def _best(self) -> object:
        return self.best_params

    def _restore_best(self, best: Any) -> None:
        self.best_params = None if best is None else best.to(self.device).clone()
        self.current_params = self._get_flat_params()


@torch.no_grad()
def _write(flat: Tensor, model: nn.Module) -> None:
    start = 0
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.copy_(flat[start : start + parameter.numel()].view(parameter.shape))
            start += parameter.numel()
