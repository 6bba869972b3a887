"""A network with a long memory, for tasks where what was seen long ago still counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Lstm(nn.Module):
    """A linear layer, long short-term memory (Hochreiter and Schmidhuber 1997), and a linear layer.

    A :class:`.recurrent.Recurrent` policy. Forget gates start open (Gers et al. 2000), so that a founder
    remembers at all.
    """

    def __init__(self, *, observation_shape: tuple[int, ...], outputs: int, units: int = 32) -> None:
        """Build it; it remembers two numbers for each of its `units`."""
        super().__init__()
        self.units = units
        self.inner = nn.Linear(math.prod(observation_shape), units)
        self.memory = nn.LSTMCell(units, units)
        self.head = nn.Linear(units, outputs)
        with torch.no_grad():
            self.memory.bias_ih[units : 2 * units] = 1.0  # the second quarter: torch's order of gates

    def initial_state(self, rows: int) -> Tensor:
        """Nothing is remembered at first: `[rows, 2 * units]` zeros."""
        return torch.zeros(rows, 2 * self.units)

    def forward(self, observations: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`[rows, *observation_shape]` and `[rows, 2 * units]` -> `[rows, outputs]` and the next state."""
        seen = observations.flatten(1).to(self.inner.weight.dtype)
        hidden, cell = state.chunk(2, dim=1)
        hidden, cell = self.memory(torch.tanh(self.inner(seen)), (hidden, cell))
        return self.head(hidden), torch.cat((hidden, cell), dim=1)
