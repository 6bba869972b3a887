"""Observations as a first layer of int8 gets them; the numbers are those of :func:`germline.integer.see`."""

from __future__ import annotations

import torch
from torch import Tensor

from germline.integer import Sight

OFFSETS: dict[Sight, int] = {"pixels": 128, "motion": 0}
"""What is subtracted from what the contract's networks see, so that it fits a signed byte."""


def see_bytes(sight: Sight, observations: Tensor) -> Tensor:
    """`[rows, stack, height, width]` uint8 -> the same in int8."""
    if sight == "pixels":
        return (observations ^ OFFSETS[sight]).view(torch.int8)
    return motion(observations).to(torch.int8)


def motion(pixels: Tensor) -> Tensor:
    """Each picture of the stack minus the stack's mean, rounded, -128 to 127; int16."""
    stack = pixels.shape[1]
    wide = pixels.to(torch.int16)
    apart = (wide * stack).sub_(wide.sum(dim=1, keepdim=True, dtype=torch.int16) - stack // 2)
    if stack & (stack - 1):
        return apart.div_(stack, rounding_mode="floor").clamp_(-128, 127)
    return apart.bitwise_right_shift_(stack.bit_length() - 1).clamp_(
        -128, 127
    )  # the same, a third of the time
