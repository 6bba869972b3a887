"""A small network with a memory, for tasks that do not show everything at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Gru(nn.Module):
    """A linear layer, gated units that remember (Cho et al. 2014), and a linear layer.

    A :class:`.recurrent.Recurrent` policy: it keeps nothing itself.
    """

    def __init__(self, *, observation_shape: tuple[int, ...], outputs: int, units: int = 32) -> None:
        """Build it; `units` is how many numbers it remembers."""
        super().__init__()
        self.units = units
        self.inner = nn.Linear(math.prod(observation_shape), units)
        self.memory = nn.GRUCell(units, units)
        self.head = nn.Linear(units, outputs)

    def initial_state(self, rows: int) -> Tensor:
        """Nothing is remembered at first: `[rows, units]` zeros."""
        return torch.zeros(rows, self.units)

    def forward(self, observations: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`[rows, *observation_shape]` and `[rows, units]` -> `[rows, outputs]` and the next state."""
        seen = observations.flatten(1).to(self.inner.weight.dtype)
        state = self.memory(torch.tanh(self.inner(seen)), state)
        return self.head(state), state
