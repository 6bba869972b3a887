"""What both trainers are: optimisers of torch by their face, that train a model by a fitness function."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, overload

import numpy as np
import torch
from torch import nn

from germline.compat.population import run_seed
from germline.compat.weighing import Floats

FitnessFn = Callable[[nn.Module], float]
T = TypeVar("T")
_OURS = "germline"


class Setting(Generic[T]):
    """An attribute that lives in the parameter groups, where schedulers and checkpoints of torch look."""

    def __init__(self, *names: str) -> None:
        self._names = names

    @overload
    def __get__(self, trainer: None, _kind: type) -> Setting[T]: ...
    @overload
    def __get__(self, trainer: FitnessOptimiser, _kind: type) -> T: ...
    def __get__(self, trainer: FitnessOptimiser | None, _kind: type) -> Setting[T] | T:
        if trainer is None:
            return self
        value: T = trainer.param_groups[0][self._names[0]]
        return value

    def __set__(self, trainer: FitnessOptimiser, value: T) -> None:
        for group in trainer.param_groups:
            group.update(dict.fromkeys(self._names, value))


class FitnessOptimiser(torch.optim.Optimizer, ABC):
    """A trainer with a history, as `torch.optim` sees it.

    Attributes:
        model: trained.
        fitness_fn: of the model with a member's weights; higher is better.
        population_size: members of a generation.
        learning_rate: step size; `lr` of the parameter groups, so that schedulers of torch change it.
        sigma: standard deviation of the noise.
        device: where the model is.
        generation: how many are complete.
        fitness_history: the mean fitness of each.
        best_fitness: the best of any member so far; None before the first.
    """

    learning_rate = Setting[float]("lr", "learning_rate")
    population_size = Setting[int]("population_size")
    sigma = Setting[float]("sigma")

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        model: nn.Module,
        fitness_fn: FitnessFn,
        device: torch.device | str | None,
        seed: int | None,
        **settings: object,
    ) -> None:
        super().__init__(params, {**settings, "lr": settings["learning_rate"]})
        self.model, self.fitness_fn = model, fitness_fn
        self.device = torch.device(device) if device else next(model.parameters()).device
        if device:
            model.to(self.device)
        if seed is not None:
            torch.manual_seed(seed)  # for a fitness function or a subclass that draws
        self._seed, self._drawn = run_seed(seed), 0
        self.generation = 0
        self.fitness_history: list[float] = []
        self.best_fitness: float | None = None

    @abstractmethod
    def _advance(self) -> Floats:
        """Play a generation and move the model; the members' fitness, `[members]`."""

    @abstractmethod
    def _best(self) -> object:
        """The weights of the best member, for a checkpoint."""

    @abstractmethod
    def _restore_best(self, best: Any) -> None:
        """Take them from a checkpoint."""

    def step(self, closure: object = None) -> dict[str, float]:  # type: ignore[override]
        """Play one generation, and move the model by it.

        Args:
            closure: not called; for those who hand one to every optimiser.

        Returns:
            `generation`, and `mean_fitness`, `best_fitness` and `std_fitness` of its members; those without a
            finite one do not count.
        """
        self.learning_rate = self.param_groups[0]["lr"]
        fitness = self._advance()
        counted = fitness[np.isfinite(fitness)]
        mean, best = (float(f(counted)) if counted.size else math.nan for f in (np.mean, np.max))
        self.generation += 1
        self.fitness_history.append(mean)
        std = float(np.std(counted, ddof=1)) if counted.size > 1 else math.nan
        return {
            "generation": self.generation,
            "mean_fitness": mean,
            "best_fitness": best,
            "std_fitness": std,
        }

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Nothing: there are no gradients."""

    def train(self, num_generations: int, verbose: bool = True) -> dict[str, Any]:
        """So many generations more.

        Args:
            num_generations: how many.
            verbose: whether to print a line for each.

        Returns:
            `generation`, `best_fitness` of all so far, and `fitness_history`.
        """
        for _ in range(num_generations):
            now = self.step()
            if verbose:
                sys.stdout.write(
                    f"generation {now['generation']}: mean fitness {now['mean_fitness']:.4f}, "
                    f"best {now['best_fitness']:.4f}\n"
                )
        return {
            "generation": self.generation,
            "best_fitness": self.best_fitness,
            "fitness_history": self.fitness_history,
        }

    def state_dict(self) -> dict[str, Any]:
        """What torch's optimisers keep; beside it, as `germline`: history, best member, seed.

        As with any optimiser, the model's own weights are the model's to save.
        """
        return {
            **super().state_dict(),
            _OURS: {
                "generation": self.generation,
                "fitness_history": list(self.fitness_history),
                "best_fitness": self.best_fitness,
                "best": self._best(),
                "seed": self._seed,
                "drawn": self._drawn,
            },
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state, also from one that eggroll-trainer saved, which has no history."""
        groups = [{"lr": group["learning_rate"], **group} for group in state_dict["param_groups"]]
        super().load_state_dict({"state": state_dict["state"], "param_groups": groups})
        if _OURS in state_dict:
            ours = state_dict[_OURS]
            self.generation, self.best_fitness = ours["generation"], ours["best_fitness"]
            self.fitness_history = list(ours["fitness_history"])
            self._seed, self._drawn = ours["seed"], ours["drawn"]
            self._restore_best(ours["best"])

    def _is_best(self, fitness: float) -> bool:
        """Whether a member is the best so far; if so it is noted."""
        if math.isfinite(fitness) and (self.best_fitness is None or fitness > self.best_fitness):
            self.best_fitness = float(fitness)
            return True
        return False


def number(fitness: object) -> float:
    """What a fitness function gave, as one number.

    Raises:
        TypeError: if it is none.
    """
    try:
        return float(fitness)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"fitness_fn gave {fitness!r}; allowed: one number") from error
