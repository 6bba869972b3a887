"""Which forward pass a policy gets on a device."""

from __future__ import annotations

import torch
from torch import nn

from germline.weights import Layout
from worker.networks.forward import kernels
from worker.networks.forward.base import Forward
from worker.networks.forward.modules import ModuleForward
from worker.networks.forward.packed import PackedForward
from worker.networks.forward.stacked import StackedForward
from worker.networks.policies.stages import Staged, is_plain

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
    if not isinstance(policy, Staged) or not is_plain(policy):
        return ModuleForward(policy, layout, slots, dtype, device)
    if device.type != "cpu" or layout.size < SMALL:
        return StackedForward(policy, layout, shape, slots, dtype, device)
    if policy.activation == "relu" and kernels.available(dtype):
        return PackedForward(policy, layout, shape, slots, rows, dtype)
    return ModuleForward(policy, layout, slots, dtype, device)
