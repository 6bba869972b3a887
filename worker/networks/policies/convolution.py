"""A convolutional network for images of any shape: it halves them until little is left to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from worker.networks.policies.stages import Stage, StagedPolicy, same_padding
from worker.tasks.base import SetupError

_KERNEL = 3
_FIRST_MAPS = 16
_MOST_MAPS = 64
_SMALL = 8  # rows and columns at which maps are small enough for a linear layer
_MOST_CHANNELS = 4  # of an image whose channels come last: grey, colour, and one more


class Convolution(StagedPolicy):
    """3x3 convolutions that each halve the image until it has at most 8 rows and columns; linear layers then.

    An image is `[rows, columns]`, `[channels, rows, columns]` or, where the last number is 4 or less and the
    first is more, `[rows, columns, channels]`. Whole numbers of 8 bits are divided by 255.
    """

    def __init__(
        self,
        *,
        observation_shape: tuple[int, ...],
        outputs: int,
        observation_dtype: str = "uint8",
        hidden: Sequence[int] = (128,),
    ) -> None:
        """Build it; `hidden` are the widths of the linear layers. Raises SetupError for what is no image."""
        super().__init__()
        self.input_scale = 1 / 255 if observation_dtype == "uint8" else 1.0
        self._channels_last = _has_channels_last(observation_shape)
        self.preprocessing = self._described()
        channels, *size = _as_maps(observation_shape)
        line: list[Stage] = []
        self.maps, self.layers = nn.ModuleList(), nn.ModuleList()
        width = _FIRST_MAPS
        while max(size) > _SMALL or not line:
            stride = 2 if max(size) > _SMALL else 1
            self.maps.append(nn.Conv2d(channels, width, _KERNEL, stride=stride))
            sides = [same_padding(extent, _KERNEL, stride) for extent in reversed(size)]
            line.append(Stage(f"maps.{len(line)}", stride, (*sides[0], *sides[1])))
            channels, width = width, min(2 * width, _MOST_MAPS)
            size = [-(-extent // stride) for extent in size]
        widths = [channels * math.prod(size), *hidden, outputs]
        self.layers.extend(nn.Linear(a, b) for a, b in pairwise(widths))
        line.extend(Stage(f"layers.{number}", 0) for number in range(len(self.layers)))
        self._line = tuple(line)
        if len(observation_shape) == 3 and not self._channels_last:
            self.stages = self._line  # the fast forward passes may read it: nothing is turned around first

    def _described(self) -> str:
        scaled = f"multiplied by {self.input_scale!r}" if self.input_scale != 1 else "none"
        return f"channels first, then {scaled}" if self._channels_last else scaled

    def germline_init(self, name: str) -> tuple[float, float]:
        """Normal weights that keep a signal's size through ReLUs (He et al. 2015), zero biases."""
        weight = self.get_parameter(name)
        return (0.0, 0.0) if weight.ndim < 2 else (0.0, math.sqrt(2 / math.prod(weight.shape[1:])))

    def forward(self, observations: Tensor) -> Tensor:
        """`[rows, *observation_shape]` -> `[rows, outputs]`."""
        seen = observations.unsqueeze(1) if observations.ndim == 3 else observations
        seen = seen.permute(0, 3, 1, 2) if self._channels_last else seen
        values = seen.to(self.get_parameter("maps.0.weight").dtype) * self.input_scale
        for number, stage in enumerate(self._line):
            values = nn.functional.pad(values, stage.padding) if stage.stride else values.flatten(1)
            values = self.get_submodule(stage.name)(values)
            values = torch.relu(values) if number < len(self._line) - 1 else values
        return values


def _has_channels_last(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[2] <= _MOST_CHANNELS < shape[0]


def _as_maps(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, rows and columns. Raises SetupError."""
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    if len(shape) != 3:
        raise SetupError(
            f"policy.name is 'convolution', which sees images, [rows, columns] with or without channels; the "
            f"task's observations have shape {shape}"
        )
    return (shape[2], shape[0], shape[1]) if _has_channels_last(shape) else (shape[0], shape[1], shape[2])
