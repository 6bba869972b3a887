"""Integer play on a CPU: one network after the other, each layer one product of int8 matrices.

Activations lie channels last, so that a product's sums are the next layer's pictures as they come.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from germline.integer import MOST_ACTIVATION
from germline.weights import Layout
from worker.networks.forward.base import ActiveRows, Outputs
from worker.networks.forward.integer_plan import IntegerPlan, IntegerStage, quantised
from worker.networks.forward.integer_sight import OFFSETS, see_bytes
from worker.networks.forward.patches import patches, patches_of_planes
from worker.networks.policies.stages import Stage
from worker.tasks.base import Observations


class _Loaded(NamedTuple):
    """A layer of one network, ready for the product.

    Attributes:
        stage: says where its input lies.
        weight: `[inputs, outputs]` int8; the outputs' lines are what lies together.
        bias: `[outputs]` int32, with what rounds the shift.
        shift: of the sums.
    """

    stage: Stage
    weight: Tensor
    bias: Tensor
    shift: int


class IntegerRows:
    """Networks of int8 weights, each fed its own rows: a :class:`.base.Forward`."""

    def __init__(self, plan: IntegerPlan, layout: Layout, slots: int) -> None:
        """Prepare `slots` empty slots."""
        self._plan, self._layout = plan, layout
        shapes = {parameter.name: parameter.shape for parameter in layout.parameters}
        self._kernels = {stage.name: shapes[f"{stage.name}.weight"][2:] for stage in plan.stages}
        self._outputs = shapes[f"{plan.stages[-1].name}.weight"][0]
        self._networks: list[list[_Loaded]] = [[] for _ in range(slots)]

    def load(self, slot: int, weights: Tensor) -> None:
        """Round the weights of a slot."""
        layers = quantised(self._plan, self._layout, weights)
        numbered = enumerate(zip(self._plan.stages, layers, strict=True))
        self._networks[slot] = [self._lay_out(number, stage, layer) for number, (stage, layer) in numbered]

    def _lay_out(self, number: int, stage: Stage, layer: IntegerStage) -> _Loaded:
        """The first layer reads planes as the screen has them; later convolutions read channels last."""
        weight, bias = layer.weight, layer.bias
        if number == 0:  # what is subtracted from each pixel comes back by the bias
            bias = bias + OFFSETS[self._plan.sight] * weight.flatten(1).sum(dim=1, dtype=torch.float64).long()
        if number and stage.stride:
            weight = weight.permute(0, 2, 3, 1)
        lines = weight.reshape(len(weight), -1).to(torch.int8)
        half = (1 << layer.shift) >> 1
        return _Loaded(stage, lines.t(), (bias + half).int(), layer.shift)

    @torch.inference_mode()
    def __call__(self, observations: Observations, active: ActiveRows) -> Outputs:
        """Feed each slot its active rows."""
        outputs = np.zeros((*active.shape, self._outputs), np.int32)
        everything = torch.from_numpy(observations)
        for slot in np.flatnonzero(active.any(axis=1)).tolist():
            rows = active[slot]
            seen = everything[slot] if rows.all() else everything[slot][torch.from_numpy(rows)]
            outputs[slot, rows] = self._answer(self._networks[slot], seen).numpy()
        return outputs

    def _answer(self, network: list[_Loaded], seen: Tensor) -> Tensor:
        """`[k, *shape]` -> `[k, outputs]` int32."""
        hidden = see_bytes(self._plan.sight, seen)
        for number, layer in enumerate(network):
            sums = self._sums(layer, hidden, is_first=number == 0)
            if number == len(network) - 1:
                return sums
            hidden = sums.bitwise_right_shift_(layer.shift).clamp_(0, MOST_ACTIVATION).to(torch.int8)
        raise AssertionError("a network has layers")

    def _sums(self, layer: _Loaded, hidden: Tensor, *, is_first: bool) -> Tensor:
        """`[k, inputs]` -> `[k, outputs]`; of pictures `[k, height, width, outputs]`."""
        if not layer.stage.stride:
            if hidden.ndim == 4:  # evolution knows a picture's features plane by plane
                hidden = hidden.permute(0, 3, 1, 2)
            return torch._int_mm(hidden.reshape(len(hidden), -1), layer.weight).add_(layer.bias)
        kernel = self._kernels[layer.stage.name]
        if is_first:
            offset = -OFFSETS[self._plan.sight]
            hidden = functional.pad(hidden, layer.stage.padding, value=offset)
            taken = patches_of_planes(hidden, kernel, layer.stage.stride)
        else:
            hidden = functional.pad(hidden, (0, 0, *layer.stage.padding))
            taken = patches(hidden, kernel, layer.stage.stride)
        lines = taken.view(-1, taken.shape[-1])
        return torch._int_mm(lines, layer.weight).add_(layer.bias).view(*taken.shape[:3], -1)
