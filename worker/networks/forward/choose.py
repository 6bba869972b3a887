"""Which forward pass a policy gets on a device."""

from __future__ import annotations

import torch
from torch import nn

from germline.weights import Layout
from worker.networks.forward import kernels
from worker.networks.forward.base import Forward
from worker.networks.forward.integer_plan import integer_plan
from worker.networks.forward.integer_rows import IntegerRows
from worker.networks.forward.integer_sight import OFFSETS
from worker.networks.forward.integer_stacked import StackedIntegers
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
    """Build the fastest forward pass for `slots` networks with `rows` observations of `shape` each.

    Raises:
        ValueError: if the policy cannot be played in integers, and is to be.
    """
    if dtype is torch.int8:
        return _make_integer_forward(policy, layout, shape, slots, device)
    if not isinstance(policy, Staged) or not is_plain(policy):
        return ModuleForward(policy, layout, slots, dtype, device)
    if device.type != "cpu" or layout.size < SMALL:
        return StackedForward(policy, layout, shape, slots, dtype, device)
    if policy.activation == "relu" and kernels.available(dtype):
        return PackedForward(policy, layout, shape, slots, rows, dtype)
    return ModuleForward(policy, layout, slots, dtype, device)


def _make_integer_forward(
    policy: nn.Module, layout: Layout, shape: tuple[int, ...], slots: int, device: torch.device
) -> Forward:
    plan = integer_plan(policy)
    if plan is None:
        raise ValueError(f"{type(policy).__name__} cannot be played in integers; see integer_plan")
    if device.type == "cpu" and layout.size >= SMALL and plan.sight in OFFSETS:
        return IntegerRows(plan, layout, shape, slots)
    return StackedIntegers(plan, layout, slots, device)
