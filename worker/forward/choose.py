"""Which forward pass a policy gets on a device."""

from __future__ import annotations

import torch
from torch import nn

from germline.weights import Layout
from worker.forward import kernels
from worker.forward.base import Forward
from worker.forward.modules import ModuleForward
from worker.forward.packed import PackedForward
from worker.forward.stacked import StackedForward
from worker.policies.stages import Staged

SMALL = 200_000  # weights; below this a loop over networks costs more than their arithmetic


def make_forward(
    policy: nn.Module,
    layout: Layout,
    shape: tuple[int, ...],
    slots: int,
    rows: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Forward:
    """Build the fastest forward pass for `slots` networks with `rows` observations of `shape` each."""
    if not isinstance(policy, Staged):
        return ModuleForward(policy, layout, slots, dtype, device)
    if device.type != "cpu" or layout.size < SMALL:
        return StackedForward(policy, layout, shape, slots, dtype, device)
    if policy.activation == "relu" and kernels.available(dtype):
        return PackedForward(policy, layout, shape, slots, rows, dtype)
    return ModuleForward(policy, layout, slots, dtype, device)
