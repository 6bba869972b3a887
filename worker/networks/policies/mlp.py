"""A multilayer perceptron, for observations that are short vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from worker.networks.policies.stages import Activation, Stage, StagedPolicy


class Mlp(StagedPolicy):
    """Linear layers with tanh between them."""

    activation: Activation = "tanh"

    def __init__(
        self, *, observation_shape: tuple[int, ...], outputs: int, hidden: Sequence[int] = (64, 64)
    ) -> None:
        """Build it; `hidden` are the widths of the hidden layers."""
        super().__init__()
        widths = [math.prod(observation_shape), *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.stages = tuple(Stage(f"layers.{number}", 0) for number in range(len(self.layers)))
