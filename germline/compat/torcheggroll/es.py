"""`TorchEggrollES`: a population through one batch, or handed out to be played elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from germline.compat.population import Generation, Population, run_seed
from germline.compat.torcheggroll.evaluation import Evaluator, LossFn
from germline.compat.torcheggroll.noise import (
    EVEN,
    SPREAD,
    compute_es_gradient,
    generate_lora_noise,
    generate_lora_noise_batched,
    generate_noise_for_shapes,
    generate_standard_noise,
    generate_standard_noise_batched,
)
from germline.compat.weighing import Floats, counted
from germline.eggroll.space import Space

__all__ = [
    "TorchEggrollES",
    "compute_es_gradient",
    "generate_lora_noise",
    "generate_lora_noise_batched",
    "generate_noise_for_shapes",
    "generate_standard_noise",
    "generate_standard_noise_batched",
]

ParamFilter = Callable[[nn.Parameter, str], bool]
_SETTINGS = ("pop_size", "sigma", "lr", "rank", "antithetic", "normalize_fitness", "seed")


class TorchEggrollES:
    """EGGROLL around the weights of a model.

    Attributes:
        model: moved by every step; weights that others write into it are where the next step starts.
        pop_size: members; with `sigma`, `lr`, `rank`, `normalize_fitness` and `antithetic` it may be set.
        device: where the model is.
        epoch: how many steps were made.
        seed: of the run's noise.
        param_names: what evolves, in the model's order.
        param_shapes: the shape of each.
        param_dtypes: the type of each.
    """

    def __init__(
        self,
        model: nn.Module,
        pop_size: int = 32,
        sigma: float = 0.02,
        lr: float = 0.05,
        rank: int = 4,
        device: torch.device | str | None = None,
        param_filter: ParamFilter | None = None,
        normalize_fitness: bool = True,
        antithetic: bool = True,
        fast_noise: bool = True,
        *,
        seed: int | None = None,
    ) -> None:
        """Start from the model's present weights.

        Args:
            model: any module.
            pop_size: members of a step; even if they are antithetic.
            sigma: standard deviation of the noise.
            lr: step size; a step is ``lr * sigma * sqrt(pop_size) * mean(z E)``.
            rank: of a matrix's noise, never more than its smaller side.
            device: where to move the model; None leaves it.
            param_filter: says of (parameter, name) whether it evolves; None is for all.
            normalize_fitness: whether fitness is standardised, or only centred.
            antithetic: whether members come in pairs with opposite noise.
            fast_noise: kept for those who name it; there is one kind of noise.
            seed: of the noise; None takes one from where torch's generator stands, so `torch.manual_seed`
                decides.

        Raises:
            ValueError: for an odd number of antithetic members, or where nothing is selected.
        """
        self.model, self.pop_size, self.sigma, self.lr, self.rank = model, pop_size, sigma, lr, rank
        self.normalize_fitness, self.antithetic, self.fast_noise = normalize_fitness, antithetic, fast_noise
        self._generation().check()
        first = next(model.parameters(), None)
        self.device = torch.device(device or (first.device if first is not None else "cpu"))
        model.to(self.device)
        self.seed, self.epoch = run_seed(seed), 0
        chosen = _selected(model, param_filter)
        self.param_names = list(chosen)
        self.param_shapes = [tuple(p.shape) for p in chosen.values()]
        self.param_dtypes = [p.dtype for p in chosen.values()]
        self._prepared: Generation | None = None
        self._stacked: dict[str, Tensor] = {}
        self._drawn_with_rank: int | None = None
        self._population = self._current_population()

    @property
    def base_params(self) -> dict[str, Tensor]:
        """The centre by name, in the parameters' types."""
        views = self._population.space.views(self._population.centre)
        return {
            name: views[name].to(dtype)
            for name, dtype in zip(self.param_names, self.param_dtypes, strict=True)
        }

    def step(
        self,
        inputs: object,
        loss_fn: LossFn | None = None,
        targets: Any = None,
    ) -> float:
        """Play every member on a batch, and move the model.

        Args:
            inputs: what the model is given, the same for all members; or, alone, a function of the model that
                gives its fitness, as in torcheggroll 0.1.0.
            loss_fn: of (outputs, targets), a scalar; fitness is minus it.
            targets: what the outputs should be.

        Returns:
            The mean fitness before the step; who has no finite one does not count.
        """
        generation, population = self._begin()
        evaluator = self._evaluator
        if loss_fn is not None:
            fitness = evaluator.on_batch(population, generation, inputs, loss_fn, targets)
        elif callable(inputs):
            fitness = evaluator.by_function(population, generation, inputs)
        else:
            raise TypeError("step takes (inputs, loss_fn, targets), or one function of the model")
        return self._follow(generation, fitness)

    def prepare_population(self) -> list[dict[str, Tensor]]:
        """Write the members out, to be played by whoever likes: all that `functional_call` wants of each.

        With antithetic members the second half has the noise of the first, negated. Apply their scores with
        :meth:`apply_fitness_scores`. Memory is that of `pop_size` models.
        """
        generation, population = self._begin()
        rows = torch.cat(list(population.blocks(generation)), dim=1).flatten(0, 1)
        views = population.space.views(rows)
        self._stacked = {
            name: views[name].to(dtype)
            for name, dtype in zip(self.param_names, self.param_dtypes, strict=True)
        }
        for name, value in (*self.model.named_parameters(), *self.model.named_buffers()):
            if name not in self._stacked:
                self._stacked[name] = value.detach().unsqueeze(0).expand(self.pop_size, *value.shape)
        self._prepared = generation
        return [{name: each[i] for name, each in self._stacked.items()} for i in range(self.pop_size)]

    def get_stacked_params(self) -> dict[str, Tensor]:
        """What was prepared, `[pop_size, *shape]` by name, as `torch.func.vmap` wants it.

        Raises:
            RuntimeError: before :meth:`prepare_population`.
        """
        self._expect_prepared()
        return self._stacked

    def apply_fitness_scores(self, fitnesses: Tensor) -> float:
        """Move the model by the scores of the members that were prepared.

        Args:
            fitnesses: `[pop_size]`, higher is better, in their order; without a finite one a member counts
                for nothing, and neither does its partner.

        Returns:
            The mean fitness.

        Raises:
            RuntimeError: before :meth:`prepare_population`.
            ValueError: if it is not one score for each member.
        """
        generation = self._expect_prepared()
        scores = torch.as_tensor(fitnesses).detach().double().cpu()
        found = len(scores) if scores.dim() else 1
        if found != generation.members or scores.numel() != generation.members:
            shape = tuple(scores.shape)
            raise ValueError(f"Expected {generation.members} fitness scores, got {found}: shape {shape}")
        fitness = scores.flatten().numpy()
        if generation.signs == 2:  # from plus, plus, ..., minus, minus, ... to plus, minus, plus, minus ...
            fitness = fitness.reshape(2, -1).T.flatten()
        return self._follow(generation, fitness)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, beside the model's buffers and what does not evolve."""
        centre = self._population.space.views(self._population.centre)
        return {
            "epoch": self.epoch,
            "base_params": {name: centre[name].cpu().clone() for name in self.param_names},
            "param_names": list(self.param_names),
            "param_shapes": list(self.param_shapes),
            **{name: getattr(self, name) for name in _SETTINGS},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, also from one that torcheggroll saved; its settings replace these.

        Raises:
            KeyError: if something is missing.
            ValueError: if a parameter has another shape. Nothing has changed then.
        """
        epoch, saved = int(state["epoch"]), {name: state["base_params"][name] for name in self.param_names}
        for name, shape in zip(self.param_names, self.param_shapes, strict=True):
            if tuple(saved[name].shape) != shape:
                raise ValueError(f"{name} of the state has shape {tuple(saved[name].shape)}, here {shape}")
        for name in _SETTINGS:
            setattr(self, name, state.get(name, getattr(self, name)))
        self.epoch, self._prepared, self._stacked = epoch, None, {}
        self._population = self._current_population()
        flat = torch.cat([saved[name].detach().float().flatten() for name in self.param_names])
        self._population.put(flat.to(self.device))

    def _generation(self) -> Generation:
        """The members of the present step, by the settings as they are now."""
        if self.antithetic and self.pop_size % 2:
            raise ValueError(f"{EVEN}; it is {self.pop_size}")
        epoch = getattr(self, "epoch", 0)
        return Generation(epoch, self.pop_size, 2 if self.antithetic else 1, self.sigma)

    def _begin(self) -> tuple[Generation, Population]:
        generation = self._generation()
        generation.check()
        self._population = self._current_population()
        self._population.refresh()
        self._prepared, self._stacked = None, {}
        return generation, self._population

    def _current_population(self) -> Population:
        """The population, made again if somebody set another rank."""
        if self.rank != self._drawn_with_rank:
            names = set(self.param_names)
            space = Space.of(self.model, self.rank, lambda name, _: name not in names, clip_rank=True)
            self._population = Population(self.model, space, self.seed)
            self._evaluator = Evaluator()
            self._drawn_with_rank = self.rank
        self._population.seed = self.seed
        return self._population

    def _expect_prepared(self) -> Generation:
        if self._prepared is None:
            raise RuntimeError("Call prepare_population() first: there are no members to speak of")
        return self._prepared

    def _follow(self, generation: Generation, fitness: Floats) -> float:
        """Move the model, and go on to the next epoch."""
        spread = SPREAD if self.normalize_fitness else None
        self._population.follow(generation, fitness, self.lr, spread)
        self.epoch += 1
        self._prepared, self._stacked = None, {}
        alive = fitness[counted(fitness, generation.signs)]
        return float(np.mean(alive)) if alive.size else math.nan


def _selected(model: nn.Module, param_filter: ParamFilter | None) -> dict[str, nn.Parameter]:
    chosen = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (param_filter is None or param_filter(parameter, name))
    }
    if not chosen:
        raise ValueError(
            f"no parameters selected: {type(model).__name__} has none that requires a gradient and that "
            f"param_filter takes"
        )
    return chosen
