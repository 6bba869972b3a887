"""Any torch module, by its own ``forward``, one network after the other."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from germline.weights import Layout
from worker.networks.forward.base import ActiveRows, Outputs
from worker.networks.forward.memory import Memory
from worker.networks.policies.recurrent import Recurrent
from worker.tasks.base import Observations


class ModuleForward:
    """A copy of the module for each slot, its parameters views of one matrix; a :class:`Forward`.

    A slot with any active row is fed all of its rows, so shapes, and with them the order of sums, never
    change.
    """

    def __init__(
        self, policy: nn.Module, layout: Layout, slots: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Copy the module `slots` times."""
        self._dtype, self._device = dtype, device
        self._flat = torch.zeros(slots, layout.size, dtype=dtype, device=device)
        self._modules = [_with_parameters(policy, layout, row, dtype, device) for row in self._flat]
        recurrent = [module for module in self._modules if isinstance(module, Recurrent)]
        self._memory = Memory(recurrent, dtype, device) if recurrent else None
        self._buffers = {name: buffer.clone() for name, buffer in self._modules[0].named_buffers()}

    @torch.inference_mode()
    def load(self, slot: int, weights: Tensor) -> None:
        """Copy the weights, and put buffers back to how the policy was built."""
        self._flat[slot].copy_(weights)
        for name, buffer in self._modules[slot].named_buffers():
            buffer.copy_(self._buffers[name])
        if self._memory:
            self._memory.forget(slot)

    def begin(self, slot: int, row: int) -> None:
        """An episode begins."""
        if self._memory:
            self._memory.begin(slot, row)

    @torch.inference_mode()
    def __call__(self, observations: Observations, active: ActiveRows) -> Outputs:
        """Feed each slot that has an active row."""
        seen = torch.from_numpy(observations).to(self._device)
        if seen.is_floating_point():
            seen = seen.to(self._dtype)
        playing = np.flatnonzero(active.any(axis=1)).tolist()
        answers = {slot: self._answer(slot, seen[slot]) for slot in playing}
        sample = next(iter(answers.values()))
        outputs = torch.zeros(len(active), *sample.shape, dtype=torch.float32, device=self._device)
        for slot, answer in answers.items():
            outputs[slot] = answer
        return outputs.cpu().numpy()

    def _answer(self, slot: int, observations: Tensor) -> Tensor:
        if self._memory:
            return self._memory.step(slot, observations)
        answer: Tensor = self._modules[slot](observations)
        return answer


def _with_parameters(
    policy: nn.Module, layout: Layout, flat: Tensor, dtype: torch.dtype, device: torch.device
) -> nn.Module:
    """A copy of the module whose trainable parameters are views of a flat vector."""
    module = copy.deepcopy(policy).to(device=device, dtype=dtype).requires_grad_(False).eval()
    for name, view in layout.named_views(flat).items():
        module.get_parameter(name).data = view  # in whatever places a tied one stands
    return module
