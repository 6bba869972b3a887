"""One network with given weights in every slot: to play a centre, which has no genome."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from germline.genome import Genome
from worker.networks.population import DensePopulation, Individual
from worker.tasks.base import Spaces


class FixedPopulation(DensePopulation):
    """Plays the same weights whatever individual it is filled with."""

    def __init__(
        self,
        weights: Tensor,
        policy: nn.Module,
        spaces: Spaces,
        slots: int,
        rows: int,
        *,
        precision: str = "float32",
        device: torch.device | None = None,
    ) -> None:
        """Write `weights`, `[size]` float32, into every slot; the rest as for :class:`DensePopulation`."""
        super().__init__(policy, spaces, slots, rows, precision=precision, device=device, cache_bytes=0)
        for slot, row in enumerate(self._weights):
            row.copy_(weights)
            self._forward.load(slot, row)

    def fill(self, slot: int, genome: Individual, parent: Genome | None = None) -> None:
        """Nothing to do: it is there already."""
