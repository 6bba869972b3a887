"""`VanillaESTrainer`: dense Gaussian noise, and a step along what did better than the mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from germline import noise_torch
from germline.compat.eggroll_trainer.base import ESTrainer
from germline.noise import stream_id

_STREAM = "eggroll_trainer.vanilla"
_FLOOR = 1e-8


class VanillaESTrainer(ESTrainer):
    """A plain evolution strategy: ``centre += learning_rate * mean(z * noise)``.

    The noise is of the trainer's own seed, with equal bits on every device; torch's generator stays alone.
    """

    def sample_perturbations(self, population_size: int) -> Tensor:
        """Values of the standard normal distribution, `[population_size, d]`; others at every call."""
        count = population_size * self.current_params.numel()
        start, self._drawn = self._drawn, self._drawn + count
        values = noise_torch.draw(self._seed, stream_id(_STREAM), start, count, device=self.device)
        return values.view(population_size, -1).to(self.current_params.dtype)

    def compute_update(self, perturbations: Tensor, fitnesses: Tensor) -> Tensor:
        """The mean of the noise, weighted by standardised fitness; without a finite one by 0."""
        known = torch.where(fitnesses.isfinite(), fitnesses, math.nan)
        centred = torch.nan_to_num(known - known.nanmean(), nan=0.0)
        if len(centred) < 2 or not centred.any():
            return torch.zeros_like(perturbations[0])
        z = centred / (centred.std() + _FLOOR)
        return z.to(perturbations) @ perturbations / len(perturbations)
