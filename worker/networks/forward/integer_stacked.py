"""Integer play of all networks at once: for a GPU, and for small networks on a CPU.

The integers are held as float32 numbers. A product of such matrices is exact in any order, on any device and
with any number format for its factors (float32, TF32, bfloat16), as long as no partial sum reaches 2^24; a
longer sum is cut into pieces that stay below it, and the pieces are added as integers.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from germline import integer
from germline.weights import Layout
from worker.networks.forward.base import ActiveRows, Forward, Outputs
from worker.networks.forward.integer_plan import IntegerPlan, quantised
from worker.networks.forward.integer_sight import motion
from worker.networks.policies.stages import Stage
from worker.tasks.base import Observations

_EXACT = 1 << 24
_MOST_SEEN: dict[integer.Sight, int] = {"pixels": 255, "motion": 128, "numbers": integer.MOST_NUMBER}


class _Layer:
    """One layer of every slot."""

    def __init__(
        self, stage: Stage, shape: tuple[int, ...], slots: int, most_input: int, device: torch.device
    ) -> None:
        self.stage, self.kernel = stage, shape[2:]
        outputs, inputs = shape[0], int(np.prod(shape[1:]))
        self.pieces = -(-inputs * most_input * integer.MOST_WEIGHT // _EXACT)
        self._short = -inputs % self.pieces
        self._weight = torch.zeros(
            slots, self.pieces, (inputs + self._short) // self.pieces, outputs, device=device
        )
        self._bias = torch.zeros(slots, 1, outputs, dtype=torch.int64, device=device)
        self._shift = torch.zeros(slots, 1, 1, dtype=torch.int64, device=device)

    def load(self, slot: int, weight: Tensor, bias: Tensor, shift: int) -> None:
        """Take a slot's layer; what rounds a shift to the right comes with the bias."""
        lines = functional.pad(weight.flatten(1), (0, self._short))
        self._weight[slot] = lines.view(len(lines), self.pieces, -1).permute(1, 2, 0)
        self._bias[slot] = bias + ((1 << shift) >> 1 if shift > 0 else 0)
        self._shift[slot] = shift

    def sums(self, lines: Tensor) -> Tensor:
        """`[slots, k, inputs]` float32 -> `[slots, k, outputs]` int64, with biases."""
        slots, count, _ = lines.shape
        padded = functional.pad(lines, (0, self._short)).view(slots, count, self.pieces, -1)
        products = torch.matmul(padded.transpose(1, 2), self._weight)
        return products.long().sum(dim=1) + self._bias

    def shifted(self, sums: Tensor) -> Tensor:
        """Sums, shifted as each slot's layer wants; to the left where the shift is negative."""
        return (sums << (-self._shift).clamp_min(0)) >> self._shift.clamp_min(0)


class StackedIntegers(Forward):
    """Networks of whole numbers, all in one batched product for each layer: a :class:`.base.Forward`."""

    def __init__(self, plan: IntegerPlan, layout: Layout, slots: int, device: torch.device) -> None:
        """Prepare `slots` empty slots."""
        self._plan, self._layout, self._device = plan, layout, device
        shapes = {parameter.name: parameter.shape for parameter in layout.parameters}
        self._layers = []
        most = _MOST_SEEN[plan.sight]
        for stage in plan.stages:
            self._layers.append(_Layer(stage, shapes[f"{stage.name}.weight"], slots, most, device))
            most = integer.MOST_ACTIVATION
        self._tanh = torch.from_numpy(integer.tanh_table()).to(device)

    def load(self, slot: int, weights: Tensor) -> None:
        """Round the weights of a slot."""
        for layer, rounded in zip(self._layers, quantised(self._plan, self._layout, weights), strict=True):
            layer.load(slot, rounded.weight, rounded.bias.to(self._device), rounded.shift)

    @torch.inference_mode()
    def __call__(self, observations: Observations, active: ActiveRows) -> Outputs:
        """Feed every row, the active ones among them."""
        slots, rows = active.shape
        hidden = self._see(observations.reshape(slots * rows, *observations.shape[2:]))
        for layer in self._layers[:-1]:
            lines, places = _lines(layer, hidden)
            sums = layer.sums(lines.reshape(slots, -1, lines.shape[-1]))
            activations = self._activate(layer.shifted(sums)).float()
            hidden = _pictures(activations.view(slots * rows, -1, activations.shape[-1]), places)
        answers = self._layers[-1].sums(hidden.reshape(slots, rows, -1))
        return np.asarray(answers.cpu().numpy())

    def _see(self, observations: Observations) -> Tensor:
        """`[k, *shape]`, as :func:`germline.integer.see` has it, float32."""
        seen = torch.from_numpy(observations).to(self._device)
        if self._plan.sight == "motion":
            return motion(seen).float()
        if self._plan.sight == "pixels":
            return seen.float()
        bound = integer.MOST_NUMBER / (1 << integer.NUMBER_BITS)
        finite = seen.double().nan_to_num().clamp(-bound, bound)
        return finite.mul(1 << integer.NUMBER_BITS).round().float()

    def _activate(self, shifted: Tensor) -> Tensor:
        if self._plan.activation == "relu":
            return shifted.clamp_(0, integer.MOST_ACTIVATION)
        return self._tanh[shifted.clamp_(-128, 127) + 128]


def _lines(layer: _Layer, hidden: Tensor) -> tuple[Tensor, tuple[int, int] | None]:
    """What a layer multiplies, `[k, places, inputs]`, and how a convolution's places lie."""
    stride = layer.stage.stride
    if not stride:
        return hidden.flatten(1)[:, None], None
    padded = functional.pad(hidden, layer.stage.padding)
    height, width = ((n - k) // stride + 1 for n, k in zip(padded.shape[2:], layer.kernel, strict=True))
    return functional.unfold(padded, layer.kernel, stride=stride).transpose(1, 2), (height, width)


def _pictures(activations: Tensor, places: tuple[int, int] | None) -> Tensor:
    """`[k, places, outputs]` -> `[k, outputs, height, width]`, or `[k, outputs]` of a linear layer."""
    if places is None:
        return activations[:, 0]
    return activations.transpose(1, 2).reshape(len(activations), -1, *places)
