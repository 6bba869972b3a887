"""The smallest network: one linear layer, for observations that already say what matters."""

from __future__ import annotations

import math

from torch import nn

from worker.networks.policies.stages import Stage, StagedPolicy


class Linear(StagedPolicy):
    """Each answer is a weighted sum of the numbers seen, as in Mania et al. 2018 (arXiv 1803.07055)."""

    stages = (Stage("layer", 0),)

    def __init__(self, *, observation_shape: tuple[int, ...], outputs: int) -> None:
        """Build it."""
        super().__init__()
        self.layer = nn.Linear(math.prod(observation_shape), outputs)

    def germline_init(self, name: str) -> tuple[float, float]:
        """Normal weights by which an answer is about as large as what is seen, zero biases."""
        inputs = self.layer.in_features
        return (0.0, 0.0) if name == "layer.bias" else (0.0, 1 / math.sqrt(inputs))
