"""A small network for first runs on games: it sees what moves, and nothing else."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from worker.networks.policies.stages import Stage
from worker.tasks.base import SetupError

_SMALLEST = 36  # rows and columns that the two convolutions need at least


class Motion(nn.Module):
    """Two convolutions (those of Mnih et al. 2013, arXiv 1312.5602) and two linear layers, 345,000 weights.

    A fresh network that sees whole pictures gives nearly the same answer to all of them: the still background
    outweighs a ball of four pixels. A first population then plays alike to the last move, and selection has
    nothing to choose from. Each picture minus the mean of the stack leaves what moves; without biases at the
    start, every answer depends on it.
    """

    integer_stages = (Stage("conv1", 4), Stage("conv2", 2), Stage("hidden", 0), Stage("head", 0))
    """Its layers, for integer play; as a plain line of layers it would miss the subtraction."""

    preprocessing = "each picture divided by 255, minus the mean of the stack's pictures"
    activation = "relu"

    def __init__(self, *, observation_shape: tuple[int, ...], outputs: int) -> None:
        """Build it. Raises SetupError unless an observation is a stack of at least two pictures."""
        super().__init__()
        stack, height, width = _picture_stack(observation_shape)
        self.conv1 = nn.Conv2d(stack, 16, 8, stride=4)
        self.conv2 = nn.Conv2d(16, 32, 4, stride=2)
        rows, columns = (((size - 8) // 4 + 1 - 4) // 2 + 1 for size in (height, width))
        self.hidden = nn.Linear(32 * rows * columns, 128)
        self.head = nn.Linear(128, outputs)

    def germline_init(self, name: str) -> tuple[float, float]:
        """Normal weights that keep a signal's size through ReLUs (He et al. 2015), zero biases."""
        weight = self.get_parameter(name)
        return (0.0, 0.0) if weight.ndim < 2 else (0.0, math.sqrt(2 / math.prod(weight.shape[1:])))

    def forward(self, observations: Tensor) -> Tensor:
        """`[rows, stack, height, width]` -> `[rows, outputs]`."""
        pictures = observations.float() / 255
        moved = (pictures - pictures.mean(dim=1, keepdim=True)).to(self.conv1.weight.dtype)
        seen = torch.relu(self.conv2(torch.relu(self.conv1(moved))))
        answer: Tensor = self.head(torch.relu(self.hidden(seen.flatten(1))))
        return answer


def _picture_stack(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) != 3 or shape[0] < 2 or min(shape[1:]) < _SMALLEST:
        raise SetupError(
            f"policy.name is 'motion', which sees pictures, at least (2, {_SMALLEST}, {_SMALLEST}); "
            f"the task's observations have shape {shape}"
        )
    return shape[0], shape[1], shape[2]
