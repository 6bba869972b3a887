"""Plain weights without a network, for function tasks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Vector(nn.Module):
    """As many weights as the function takes; a founder's are standard normal."""

    def __init__(self, *, dimension: int) -> None:
        """Hold `dimension` weights."""
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(dimension))

    def germline_init(self, name: str) -> tuple[float, float]:
        """Standard normal."""
        return 0.0, 1.0

    def forward(self, observations: Tensor) -> Tensor:
        """The weights themselves; function tasks have no observations."""
        return self.vector
