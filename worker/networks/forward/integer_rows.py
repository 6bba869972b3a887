"""Integer play on a CPU: of each network and layer one product of small whole numbers.

Activations lie channels last, so that a product's sums are the next layer's pictures as they come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from germline.integer import MOST_ACTIVATION
from germline.weights import Layout
from worker.networks.forward.base import ActiveRows, Forward, Outputs
from worker.networks.forward.integer_plan import IntegerPlan, IntegerStage, quantised
from worker.networks.forward.integer_products import ByFloats, ByIntegers, Product, floats_are_faster
from worker.networks.forward.integer_sight import OFFSETS, see_bytes
from worker.networks.forward.patches import ChannelsLast, Patches, first_patches
from worker.networks.policies.stages import Stage
from worker.tasks.base import Observations


class _Loaded(NamedTuple):
    """A layer of one network.

    Attributes:
        product: multiplies lines by its weights.
        bias: `[outputs]` int32, with what rounds the shift.
        shift: of the sums.
    """

    product: Product
    bias: Tensor
    shift: int


class _Part(NamedTuple):
    """A network, and the rows that are its own."""

    network: list[_Loaded]
    first: int
    end: int


class IntegerRows(Forward):
    """Networks of int8 weights, each fed its own rows: a :class:`.base.Forward`."""

    def __init__(
        self,
        plan: IntegerPlan,
        layout: Layout,
        shape: tuple[int, ...],
        slots: int,
        multiply: Callable[[Tensor], Product] | None = None,
    ) -> None:
        """Prepare `slots` empty slots for observations of this shape.

        Args:
            plan: the layers.
            layout: of the weights.
            shape: of an observation.
            slots: how many networks.
            multiply: makes a layer's product; by default whichever is faster on this processor.
        """
        self._multiply = multiply or (ByFloats if floats_are_faster() else ByIntegers)
        self._plan, self._layout = plan, layout
        self._offset = OFFSETS[plan.sight]
        self._layers = _layers(plan, layout, shape, self._offset)
        self._networks: list[list[_Loaded]] = [[] for _ in range(slots)]
        self._outputs = self._layers[-1].outputs

    def load(self, slot: int, weights: Tensor) -> None:
        """Round the weights of a slot."""
        stages = quantised(self._plan, self._layout, weights)
        network = [
            _Loaded(self._multiply(layer.weight_lines(stage)), _rounding_bias(stage), stage.shift)
            for layer, stage in zip(self._layers, stages, strict=True)
        ]
        # What is subtracted from each pixel comes back by the bias.
        sums = stages[0].weight.flatten(1).sum(dim=1, dtype=torch.float64).int()
        self._networks[slot] = [network[0]._replace(bias=network[0].bias + self._offset * sums), *network[1:]]

    @torch.inference_mode()
    def __call__(self, observations: Observations, active: ActiveRows) -> Outputs:
        """Feed each slot its active rows."""
        counts = active.sum(axis=1)
        slots = np.flatnonzero(counts).tolist()
        ends = counts.cumsum().tolist()
        parts = [_Part(self._networks[slot], ends[slot] - int(counts[slot]), ends[slot]) for slot in slots]
        outputs = np.zeros((*active.shape, self._outputs), np.int32)
        outputs[active] = self._answers(parts, torch.from_numpy(observations[active])).numpy()
        return outputs

    def _answers(self, parts: list[_Part], seen: Tensor) -> Tensor:
        """`[k, *shape]` -> `[k, outputs]` int32. What needs no weights is done for all networks at once."""
        hidden = see_bytes(self._plan.sight, seen)
        for number, layer in enumerate(self._layers[:-1]):
            sums = _sums(parts, number, layer, hidden)
            hidden = layer.pictures(sums.clamp_(0, MOST_ACTIVATION).to(torch.int8))
        return _sums(parts, len(self._layers) - 1, self._layers[-1], hidden)


def _sums(parts: list[_Part], number: int, layer: _Linear | _Convolution, hidden: Tensor) -> Tensor:
    """A layer's sums, shifted, `[k * places, outputs]` int32: each network's rows by its own weights."""
    lines = layer.lines(hidden)
    places = lines.shape[0] // hidden.shape[0]
    sums = torch.empty(lines.shape[0], layer.outputs, dtype=torch.int32)
    for network, first, end in parts:
        product, bias, shift = network[number]
        window = slice(first * places, end * places)
        product(lines[window], sums[window])
        sums[window].add_(bias).bitwise_right_shift_(shift)
    return sums


class _Linear:
    """A linear layer; of pictures it knows the features plane by plane, as evolution does."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.outputs = shape[0]

    def weight_lines(self, stage: IntegerStage) -> Tensor:
        return stage.weight

    def lines(self, hidden: Tensor) -> Tensor:
        if hidden.ndim == 4:
            hidden = hidden.permute(0, 3, 1, 2)
        return hidden.reshape(len(hidden), -1)

    def pictures(self, activations: Tensor) -> Tensor:
        return activations


class _Convolution:
    """A convolution, of planes if it is the first layer, else of pictures with channels last."""

    def __init__(
        self, stage: Stage, patches: Patches, outputs: int, *, is_first: bool, offset: int = 0
    ) -> None:
        self.outputs, self._patches, self._offset = outputs, patches, offset
        self._padding = (*stage.padding,) if is_first else (0, 0, *stage.padding)

    def weight_lines(self, stage: IntegerStage) -> Tensor:
        return self._patches.order(stage.weight)

    def lines(self, hidden: Tensor) -> Tensor:
        if any(self._padding):
            hidden = functional.pad(hidden, self._padding, value=-self._offset)
        return self._patches(hidden)

    def pictures(self, activations: Tensor) -> Tensor:
        return activations.view(-1, *self._patches.places, self.outputs)


def _rounding_bias(stage: IntegerStage) -> Tensor:
    """Biases, with what rounds the shift."""
    return (stage.bias + ((1 << stage.shift) >> 1)).int()


def _layers(
    plan: IntegerPlan, layout: Layout, shape: tuple[int, ...], offset: int
) -> list[_Linear | _Convolution]:
    """The layers for observations of this shape, each knowing the size of its pictures."""
    shapes = {parameter.name: parameter.shape for parameter in layout.parameters}
    layers: list[_Linear | _Convolution] = []
    size = shape
    for stage in plan.stages:
        weight = shapes[f"{stage.name}.weight"]
        if not stage.stride:
            layers.append(_Linear(weight))
            continue
        left, right, top, bottom = stage.padding
        padded = (size[0], size[1] + top + bottom, size[2] + left + right)
        kernel, is_first = (weight[2], weight[3]), not layers
        patches = (first_patches if is_first else ChannelsLast)(padded, kernel, stage.stride)
        layers.append(
            _Convolution(stage, patches, weight[0], is_first=is_first, offset=offset if is_first else 0)
        )
        size = (weight[0], *patches.places)
    return layers
