"""The convolutions of relatives: every slot has its own filters, and one kernel plays a window of slots.

Activations are maps `[rows, slots * channels, height, width]`, channels last in memory. A slot is a group of
channels, so one grouped convolution serves all slots, and nothing is written out for each place of a map.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from germline.eggroll.space import Evolved
from worker.networks.forward.kernels import GroupedConvolution
from worker.networks.policies.stages import Activation, Stage
from worker.tasks.base import Spaces

_WORD = 4  # bytes that move as one when pixels become channels


class Convolution:
    """A convolution of every slot, with the activation behind it."""

    def __init__(
        self,
        stage: Stage,
        weight: Evolved,
        bias: Evolved,
        activation: Activation,
        slots: int,
        dtype: torch.dtype,
    ) -> None:
        """Allocate the filters."""
        self.weight, self._bias, self._activation = weight, bias, activation
        self._padding, self._strides = stage.padding, (stage.stride, stage.stride)
        shape = self._arranged(torch.empty(weight.shape)).shape
        self._filters = torch.zeros(slots, *shape, dtype=dtype)
        self._biases = torch.zeros(slots, shape[0], dtype=dtype)
        self._kernels: dict[tuple[int, int], GroupedConvolution] = {}

    def load(self, slot: int, row: Tensor) -> None:
        """Take a slot's filters from a flat vector."""
        self._filters[slot].copy_(self._arranged(self.weight.view(row)))
        self._biases[slot].copy_(self._bias.view(row).flatten())
        self._kernels = {span: k for span, k in self._kernels.items() if not span[0] <= slot < span[1]}

    def __call__(self, hidden: Tensor, window: slice) -> Tensor:
        """Play the maps of a window of slots."""
        if any(self._padding):
            hidden = functional.pad(hidden, self._padding)
        span = (window.start, window.stop)
        if span not in self._kernels:
            self._kernels[span] = self._kernel(window, tuple(hidden.shape))
        return self._kernels[span](hidden)

    def _arranged(self, weight: Tensor) -> Tensor:
        return weight

    def _kernel(self, window: slice, shape: tuple[int, ...]) -> GroupedConvolution:
        filters, biases = self._filters[window], self._biases[window]
        return GroupedConvolution(
            filters.flatten(0, 1), biases.flatten(), self._strides, self._activation, shape, len(filters)
        )


class FirstConvolution(Convolution):
    """The one that sees observations.

    Four neighbouring bytes of a frame become four channels where strides allow it: they move as one word on
    their way into the channels' order, and the kernel likes sixteen channels better than four.
    """

    def __init__(
        self,
        stage: Stage,
        weight: Evolved,
        bias: Evolved,
        activation: Activation,
        slots: int,
        dtype: torch.dtype,
        *,
        spaces: Spaces,
        scale: float,
    ) -> None:
        """Allocate the filters; they, and not the observations, are multiplied by `scale`."""
        left, right, _, _ = stage.padding
        extents = (spaces.observation_shape[-1] + left + right, weight.shape[-1], stage.stride)
        moves = spaces.observation_dtype == np.uint8 and math.gcd(*extents) % _WORD == 0
        self._word, self._scale, self._dtype = _WORD if moves else 1, scale, dtype
        super().__init__(stage, weight, bias, activation, slots, dtype)
        self._strides = (stage.stride, stage.stride // self._word)
        self._frame, self._padding = stage.padding, (0, 0, 0, 0)

    def __call__(self, hidden: Tensor, window: slice) -> Tensor:
        """Play observations, `[slots, rows, channels, height, width]`, of a window of slots."""
        return super().__call__(self._maps(hidden), window)

    def _maps(self, seen: Tensor) -> Tensor:
        """`[slots, rows, channels, height, width]` -> `[rows, slots * channels * 4, height, width / 4]`."""
        # Read in order first: the processor does not foresee what is read word by word from many frames.
        if any(self._frame):
            seen = functional.pad(seen, self._frame).contiguous()
        else:
            seen = seen.clone(memory_format=torch.contiguous_format)
        words = seen.view(torch.int32) if self._word > 1 else seen
        placed = words.permute(1, 3, 4, 0, 2).contiguous()
        pixels = placed.view(torch.uint8) if self._word > 1 else placed
        return pixels.flatten(3).to(self._dtype).permute(0, 3, 1, 2)

    def _arranged(self, weight: Tensor) -> Tensor:
        out, channels, high, wide = weight.shape
        words = weight.view(out, channels, high, wide // self._word, self._word)
        return words.permute(0, 1, 4, 2, 3).flatten(1, 2) * self._scale
