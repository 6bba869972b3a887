"""One network with given weights in every slot: to play a centre, which has no genome."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from germline.eggroll import centre_file
from germline.genome import Genome
from germline.weights import Layout
from worker.networks.population import DensePopulation, Individual
from worker.tasks.base import SetupError, Spaces


def centre_weights(network: nn.Module, centre: bytes) -> Tensor:
    """The weights of a centre's file in one row, `[size]` float32. Raises SetupError if it is another's."""
    named, layout = centre_file.read(centre).parameters, Layout.of(network)
    shapes = {parameter.name: parameter.shape for parameter in layout.parameters}
    found = {name: tuple(value.shape) for name, value in named.items()}
    if found != shapes:
        raise SetupError(f"the centre's parameters are {found}; this network's are {shapes}")
    return torch.cat([named[name].flatten() for name in shapes])


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
