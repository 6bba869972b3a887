"""`EGGROLLTrainer`: EGGROLL by a fitness function that sees one member at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from germline.compat.eggroll_trainer.optimiser import FitnessFn, FitnessOptimiser, Setting, number
from germline.compat.population import Generation, Population
from germline.compat.weighing import Floats, Spread
from germline.eggroll.module_state import ModuleState
from germline.eggroll.space import Space

_SPREAD = Spread(added=1e-8)


class EGGROLLTrainer(FitnessOptimiser):
    """EGGROLL (arXiv 2511.16652); a step is ``learning_rate * sigma * sqrt(N) * mean(z E)``.

    Attributes:
        rank: of the noise on matrices; like the other settings it may be changed on the way.
        noise_reuse: 0 gives every member fresh noise of its own; k above 0 plays antithetic pairs, members 2i
            and 2i + 1, whose noise is kept for k generations.
        group_size: neighbours whose fitness is standardised among themselves; 0 for all together.
        freeze_nonlora: whether only parameters of two dimensions evolve.
        best_state_dict: of the member with the best fitness so far; None before the first.
        param_names: what requires a gradient, in the model's order.
        param_shapes: the shape of each.
        param_dims: how many values each has.
        is_matrix: whether each has two dimensions.
        rng: a generator for subclasses; the noise does not come from it.
    """

    rank = Setting[int]("rank")
    noise_reuse = Setting[int]("noise_reuse")
    group_size = Setting[int]("group_size")
    freeze_nonlora = Setting[bool]("freeze_nonlora")

    def __init__(
        self,
        params: Iterable[Tensor],
        model: nn.Module,
        fitness_fn: FitnessFn,
        population_size: int = 256,
        learning_rate: float = 0.01,
        sigma: float = 0.1,
        rank: int = 1,
        noise_reuse: int = 0,
        group_size: int = 0,
        freeze_nonlora: bool = False,
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
            sigma: standard deviation of the noise.
            rank: see the class.
            noise_reuse: see the class.
            group_size: see the class; it must divide the population.
            freeze_nonlora: see the class.
            device: where to move the model; None leaves it.
            seed: of the noise, and of torch's generator for a fitness function that draws; None takes one
                from where torch's generator stands.

        Raises:
            ValueError: names the setting that cannot be.
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
            rank=rank,
            noise_reuse=noise_reuse,
            group_size=group_size,
            freeze_nonlora=freeze_nonlora,
        )
        evolving = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.param_names = list(evolving)
        self.param_shapes = [p.shape for p in evolving.values()]
        self.param_dims = [p.numel() for p in evolving.values()]
        self.is_matrix = [p.dim() == 2 for p in evolving.values()]
        self.optimizer_state: dict[str, object] = {}
        self.best_state_dict: dict[str, Any] | None = None
        self.rng = torch.Generator(device=self.device)
        if seed is not None:
            self.rng.manual_seed(seed)
        self._generation()
        self._made_for: tuple[int, bool] | None = None
        self._population = self._current_population()

    def get_best_model(self) -> nn.Module:
        """A copy of the model with the weights of the best member; before the first one, with its own."""
        best = copy.deepcopy(self.model)
        if self.best_state_dict is not None:
            best.load_state_dict(self.best_state_dict)
        return best

    def _advance(self) -> Floats:
        generation, population = self._generation(), self._current_population()
        population.refresh()
        fitness = self._play(generation, population)
        population.follow(generation, fitness, self.learning_rate, _SPREAD, self.group_size)
        return fitness

    def _play(self, generation: Generation, population: Population) -> Floats:
        """Every member's fitness; the model is afterwards at the centre, with its own buffers and flags."""
        model, space = self.model, population.space
        before, centre = ModuleState(model), space.read(model)
        fitness, best = np.empty(generation.members), None
        try:
            for i, weights in enumerate(population.members(generation)):
                space.write(weights, model)
                fitness[i] = number(self.fitness_fn(model))
                before.put_back()
                if self._is_best(fitness[i]):
                    best = weights.clone()
        finally:
            before.put_back()
            if best is not None:
                space.write(best, model)
                self.best_state_dict = copy.deepcopy(model.state_dict())
            space.write(centre, model)
        return fitness

    def _generation(self) -> Generation:
        """The members of the present generation, by the settings as they are now."""
        size, reuse, group = self.population_size, self.noise_reuse, self.group_size
        if reuse < 0:
            raise ValueError(f"noise_reuse is {reuse}; allowed: 0, or the generations that keep their noise")
        if group < 0 or (group and size % group):
            raise ValueError(f"group_size is {group}; allowed: 0, or a divisor of the population of {size}")
        word = self.generation // max(reuse, 1)
        generation = Generation(word, size, 2 if reuse else 1, self.sigma)
        generation.check()
        return generation

    def _current_population(self) -> Population:
        """The population, made again if what evolves or its noise has been set otherwise."""
        wanted = self.rank, self.freeze_nonlora
        if self._made_for != wanted:
            dense = self.freeze_nonlora
            space = Space.of(self.model, self.rank, lambda _, parameter: dense and parameter.dim() != 2)
            self._population, self._made_for = Population(self.model, space, self._seed), wanted
        self._population.seed = self._seed
        return self._population

    def _best(self) -> object:
        return copy.deepcopy(self.best_state_dict)

    def _restore_best(self, best: Any) -> None:
        self.best_state_dict = copy.deepcopy(best)
