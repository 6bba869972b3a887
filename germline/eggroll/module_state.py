"""What a fitness function may change in a model, and how it is put back: buffers and training flags."""

from __future__ import annotations

import torch
from torch import nn


class ModuleState:
    """A module's buffers and training flags as they were."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._buffers = {name: value.clone() for name, value in module.named_buffers()}
        self._flags = [(each, each.training) for each in module.modules()]

    @torch.no_grad()
    def put_back(self) -> None:
        """Make the module what it was; who came later stays as it is."""
        for name, buffer in self._module.named_buffers() if self._buffers else ():
            if name in self._buffers:
                buffer.copy_(self._buffers[name])
        for each, flag in self._flags:
            each.training = flag
