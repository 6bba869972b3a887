"""Which policies can be played in integers, and how: see :mod:`germline.integer` for what that means."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from germline import integer
from germline.integer import Activation, Scale, Sight
from germline.weights import Layout
from worker.networks.policies.motion import Motion
from worker.networks.policies.stages import Stage, Staged, is_plain

_PIXEL_SCALE = 1 / 255


class IntegerPlan(NamedTuple):
    """A plain line of layers, and how it sees."""

    stages: tuple[Stage, ...]
    sight: Sight
    activation: Activation


class IntegerStage(NamedTuple):
    """A layer of one network: weights in the layout's order, sums to be shifted to the right.

    Attributes:
        weight: `[outputs, ...]` float32, whole numbers of at most 63.
        bias: `[outputs]` int64.
        shift: see :class:`germline.integer.IntegerLayer`.
    """

    weight: Tensor
    bias: Tensor
    shift: int


def integer_plan(policy: nn.Module) -> IntegerPlan | None:
    """How to play a policy in integers; None if it is no chain of layers that the contract knows."""
    if type(policy) is Motion:  # whose stages are its forward; a subclass may have another
        return IntegerPlan(policy.integer_stages, "motion", "relu")
    if not (isinstance(policy, Staged) and is_plain(policy)):
        return None
    if policy.input_scale == _PIXEL_SCALE and policy.activation == "relu":
        return IntegerPlan(policy.stages, "pixels", "relu")
    if policy.input_scale == 1:
        return IntegerPlan(policy.stages, "numbers", policy.activation)
    return None


@torch.no_grad()
def quantised(plan: IntegerPlan, layout: Layout, weights: Tensor) -> list[IntegerStage]:
    """The layers of a network, `[layout.size]` float32, as in :func:`germline.integer.quantise_network`.

    Raises:
        ValueError: if a weight is not finite.
    """
    views = layout.named_views(weights)
    scale, stages = integer.seen_scale(plan.sight), []
    for number, stage in enumerate(plan.stages):
        weight, exponent = _rounded(views[f"{stage.name}.weight"])
        bias = scale.bias(views[f"{stage.name}.bias"].cpu().numpy(), exponent)
        is_last = number == len(plan.stages) - 1
        shift = 0 if is_last else _shift(plan.activation, scale, weight, exponent)
        stages.append(IntegerStage(weight, torch.from_numpy(bias), shift))
        scale = scale.after(plan.activation, exponent, shift)
    return stages


def _rounded(weight: Tensor) -> tuple[Tensor, int]:
    low, high = torch.aminmax(weight)
    exponent = integer.exponent_of(max(-low.item(), high.item()))
    return torch.mul(weight, 2.0**exponent).round_(), exponent


def _shift(activation: Activation, scale: Scale, weight: Tensor, exponent: int) -> int:
    if activation == "tanh":
        return scale.tanh_shift(exponent)
    sample = weight[: integer.SAMPLED_OUTPUTS].double()
    return scale.relu_shift(int(sample.square().sum().item()), len(sample))
