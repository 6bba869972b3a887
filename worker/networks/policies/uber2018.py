"""The large network of Such et al. 2018 (arXiv 1712.06567), over 4 million weights.

The layers of Mnih et al. 2015 with TensorFlow's "SAME" padding, so the maps are 21x21, 11x11 and 11x11.
"""

from __future__ import annotations

import math

from torch import nn

from worker.networks.policies.dqn2015 import check_frames
from worker.networks.policies.stages import Stage, StagedPolicy, same_padding

_HEAD_SHARE = 0.1


class Uber2018(StagedPolicy):
    """Three padded convolutions and two linear layers, over four 84x84 grey frames."""

    input_scale = 1 / 255

    def __init__(self, *, observation_shape: tuple[int, ...], outputs: int) -> None:
        """Build it. Raises SetupError unless the observation is 4x84x84."""
        super().__init__()
        check_frames("uber2018", observation_shape)
        self.conv1 = nn.Conv2d(4, 32, 8, stride=4)
        self.conv2 = nn.Conv2d(32, 64, 4, stride=2)
        self.conv3 = nn.Conv2d(64, 64, 3, stride=1)
        self.hidden = nn.Linear(64 * 11 * 11, 512)
        self.head = nn.Linear(512, outputs)
        self.stages = (
            Stage("conv1", 4, same_padding(84, 8, 4) * 2),
            Stage("conv2", 2, same_padding(21, 4, 2) * 2),
            Stage("conv3", 1, same_padding(11, 3, 1) * 2),
            Stage("hidden", 0),
            Stage("head", 0),
        )

    def germline_init(self, name: str) -> tuple[float, float]:
        """As published: normal weights of variance 1 / fan in (SI 7.2), a tenth of it at the head, no biases.

        The head's tenth stands in the authors' code alone (``models/dqn.py``). It changes no founder's
        actions, and makes a mutation of the head count ten times as much.
        """
        weight = self.get_parameter(name)
        if weight.ndim < 2:
            return 0.0, 0.0
        deviation = 1 / math.sqrt(math.prod(weight.shape[1:]))
        return 0.0, deviation * (_HEAD_SHARE if name == "head.weight" else 1.0)


class Uber2018Glorot(Uber2018):
    """The network of the first version, which started otherwise than the published one."""

    def germline_init(self, name: str) -> tuple[float, float]:
        """Xavier normal weights (Glorot & Bengio 2010, eq. 16), zero biases."""
        weight = self.get_parameter(name)
        if weight.ndim < 2:
            return 0.0, 0.0
        taps = math.prod(weight.shape[2:])
        return 0.0, math.sqrt(2 / ((weight.shape[0] + weight.shape[1]) * taps))
