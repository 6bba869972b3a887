"""Networks as a plain line of layers, which the fast forward passes can read.

A policy that is nothing but convolutions and linear layers, with one activation between them, says so by
giving its :class:`Stage` list. Any other module works too, by its own ``forward``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional


class Stage(NamedTuple):
    """One layer.

    Attributes:
        name: the name of its module, so `name + ".weight"` is its weight.
        stride: of a convolution; 0 for a linear layer, whose input is flattened.
        padding: zeros to the left, right, top and bottom of a convolution's input.
    """

    name: str
    stride: int
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)


Activation = Literal["relu", "tanh"]


@runtime_checkable
class Staged(Protocol):
    """A policy that is a plain line of layers, over observations scaled by `input_scale`."""

    stages: tuple[Stage, ...]
    activation: Activation
    input_scale: float


def is_plain(policy: nn.Module) -> bool:
    """Whether a policy is a plain line of layers, each with a weight and a bias of its own that evolve."""
    evolved = {name for name, parameter in policy.named_parameters() if parameter.requires_grad}
    return isinstance(policy, Staged) and all(
        {f"{stage.name}.weight", f"{stage.name}.bias"} <= evolved for stage in policy.stages
    )


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, so that a convolution gives ceil(size / stride); an odd one goes behind."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def activate(activation: Activation, values: Tensor) -> Tensor:
    """Apply an activation, in place where autograd does not watch."""
    return torch.relu_(values) if activation == "relu" else torch.tanh_(values)


class StagedPolicy(nn.Module):
    """A staged policy's own, plain forward pass; the fast ones must agree with it."""

    stages: tuple[Stage, ...]
    activation: Activation = "relu"
    input_scale: float = 1.0

    def forward(self, observations: Tensor) -> Tensor:
        """`[rows, *observation_shape]` -> `[rows, outputs]`."""
        hidden = observations.to(self.get_parameter(self.stages[0].name + ".weight").dtype) * self.input_scale
        for number, stage in enumerate(self.stages):
            hidden = functional.pad(hidden, stage.padding) if stage.stride else hidden.flatten(1)
            hidden = self.get_submodule(stage.name)(hidden)
            if number < len(self.stages) - 1:
                hidden = torch.relu(hidden) if self.activation == "relu" else torch.tanh(hidden)
        return hidden
