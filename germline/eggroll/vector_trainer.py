"""Strategies of your own: say how to sample a population, and how it moves the centre."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from germline import noise_torch
from germline.eggroll.space import Freeze, Space
from germline.eggroll.trainer import Callback, FitnessFn, Trainer
from germline.noise import stream_id
from germline.pairs import MINUS, PLUS, Member


class VectorTrainer(Trainer):
    """A base for strategies of your own, on flat vectors: say how to `sample`, and how to `update`.

    Attributes:
        population: members of an epoch.
        centre: `[space.size]` float32.
    """

    def __init__(
        self,
        model: nn.Module,
        fitness_fn: FitnessFn,
        population: int,
        *,
        freeze: Freeze = (),
        callbacks: Iterable[Callback] = (),
    ) -> None:
        """As :class:`Trainer`; `population` members each epoch, at least 1."""
        super().__init__(model, fitness_fn, callbacks)
        if population < 1:
            raise ValueError(f"population is {population}; allowed: at least 1")
        self.space = Space.of(model, 1, freeze)
        self.population = population
        self.centre = self.space.read(model)
        self._start = self.centre.clone()
        self._epoch = 0
        self._offsets: Tensor | None = None

    @abstractmethod
    def sample(self, population: int) -> Tensor:
        """What each member adds to the centre, `[population, space.size]`."""

    @abstractmethod
    def update(self, offsets: Tensor, fitness: Tensor) -> Tensor:
        """How the centre moves, `[space.size]`, by offsets and their fitness, `[population]` float64."""

    @property
    def epoch(self) -> int:
        """How many epochs are complete."""
        return self._epoch

    def members(self) -> Sequence[Member]:
        """One for each row of a fresh sample."""
        self._offsets = self.sample(self.population)
        if self._offsets.shape != (self.population, self.space.size):
            raise ValueError(
                f"sample gave shape {tuple(self._offsets.shape)}; "
                f"expected {(self.population, self.space.size)}"
            )
        return [Member(self._epoch, i // 2, MINUS if i % 2 else PLUS) for i in range(self.population)]

    def weights(self, member: Member) -> Tensor:
        """The centre plus the member's row."""
        if self._offsets is None or member.epoch != self._epoch:
            raise ValueError(f"member {member} is not of the epoch that was sampled last")
        row = 2 * member.pair + (member.sign == MINUS)
        if not 0 <= row < self.population:
            raise ValueError(f"member {member} is none of the {self.population} that were sampled")
        return self.centre + self._offsets[row]

    def tell(self, fitness: npt.NDArray[np.float64]) -> None:
        """Let `update` move the centre."""
        if self._offsets is None:
            raise RuntimeError("there is nothing to tell before members() was called")
        self.centre = self.centre + self.update(self._offsets, torch.from_numpy(fitness)).to(self.centre)
        self.space.write(self.centre, self.model)
        self._epoch, self._offsets = self._epoch + 1, None

    def reset(self) -> None:
        """Begin again with the weights of the start."""
        self.centre, self._epoch, self._offsets = self._start.clone(), 0, None
        self.space.write(self.centre, self.model)
        self.history, self.best = [], None


class GaussianTrainer(VectorTrainer):
    """A plain strategy with dense Gaussian noise: ``centre += learning_rate * mean of z * noise``."""

    def __init__(
        self,
        model: nn.Module,
        fitness_fn: FitnessFn,
        population: int = 50,
        *,
        sigma: float = 0.1,
        learning_rate: float = 0.01,
        seed: int = 0,
        freeze: Freeze = (),
        callbacks: Iterable[Callback] = (),
    ) -> None:
        """As :class:`VectorTrainer`, with the noise's standard deviation, a step size, and a seed."""
        super().__init__(model, fitness_fn, population, freeze=freeze, callbacks=callbacks)
        for name, value in (("sigma", sigma), ("learning_rate", learning_rate)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}; allowed: finite and above 0")
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"seed is {seed}; allowed: 0 to 2**64 - 1")
        self.sigma, self.learning_rate, self.seed = sigma, learning_rate, seed

    def sample(self, population: int) -> Tensor:
        """Noise of the seed and the epoch."""
        drawn = noise_torch.draw(
            self.seed, stream_id("gaussian"), 0, population * self.space.size, epoch=self.epoch
        )
        return self.sigma * drawn.view(population, -1).to(self.centre.device)

    def update(self, offsets: Tensor, fitness: Tensor) -> Tensor:
        """Along the noise of those above the mean, over its spread; no finite score counts as the mean."""
        counted = torch.where(fitness.isfinite(), fitness, math.nan)
        centred = torch.nan_to_num(counted - counted.nanmean(), nan=0.0)
        spread = centred.square().mean().sqrt()
        if not spread > 0:
            return torch.zeros_like(self.centre)
        z = (centred / spread).to(offsets)
        return self.learning_rate * (z @ offsets) / (self.sigma * len(offsets))
