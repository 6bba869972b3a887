"""All networks in one batched product for each layer: for a GPU, and for small networks on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from germline.weights import Layout
from worker.networks.forward.base import ActiveRows, Forward, Outputs
from worker.networks.forward.kernels import slot_products
from worker.networks.policies.stages import Stage, Staged, activate
from worker.tasks.base import Observations

_WIDTH = 16  # outputs of a product come in whole vectors of the processor


class StackedForward(Forward):
    """Staged networks as stacks of matrices, `[slots, inputs, outputs]`; a :class:`Forward`.

    Shapes are always the full ones, so a row's sums never depend on how many rows are active. Outputs are
    padded to whole vectors: the odd ones would be summed in an order that depends on a row's place.
    """

    def __init__(
        self,
        policy: Staged,
        layout: Layout,
        shape: tuple[int, ...],
        slots: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """Allocate the stacks for observations of this shape."""
        self._policy, self._layout, self._dtype, self._device = policy, layout, dtype, device
        self._shapes = {p.name: p.shape for p in layout.parameters}
        self._maps = _map_sizes(policy, layout, shape)
        self._weights, self._biases = [], []
        for stage in policy.stages:
            weight = self._shapes[stage.name + ".weight"]
            inputs = layout_inputs(weight)
            padded = -(-weight[0] // _WIDTH) * _WIDTH
            self._weights.append(torch.zeros(slots, inputs, padded, dtype=dtype, device=device))
            self._biases.append(torch.zeros(slots, 1, padded, dtype=dtype, device=device))

    @torch.inference_mode()
    def load(self, slot: int, weights: Tensor) -> None:
        """Write the weights of a slot, in the order in which the layers see their inputs: channels last."""
        views = self._layout.named_views(weights)
        for number, stage in enumerate(self._policy.stages):
            weight = views[stage.name + ".weight"]
            if stage.stride:
                weight = weight.permute(0, 2, 3, 1)
            elif number and self._policy.stages[number - 1].stride:
                channels, height, width = self._maps[number - 1]
                weight = weight.view(-1, channels, height, width).permute(0, 2, 3, 1)
            outputs = weight.shape[0]
            self._weights[number][slot, :, :outputs].copy_(weight.reshape(outputs, -1).T)
            self._biases[number][slot, 0, :outputs].copy_(views[stage.name + ".bias"])

    @torch.inference_mode()
    def __call__(self, observations: Observations, active: ActiveRows) -> Outputs:
        """Feed every row to its slot's network."""
        slots, rows = active.shape
        hidden = torch.from_numpy(observations).to(self._device, non_blocking=True).to(self._dtype)
        hidden.mul_(self._policy.input_scale)
        if hidden.ndim == 5:
            hidden = hidden.permute(0, 1, 3, 4, 2)
        for number, stage in enumerate(self._policy.stages):
            product = self._convolution if stage.stride else self._linear
            hidden = product(number, stage, hidden)
            if number < len(self._policy.stages) - 1:
                hidden = activate(self._policy.activation, hidden)
        return hidden.reshape(slots, rows, -1).float().cpu().numpy()

    def _convolution(self, number: int, stage: Stage, hidden: Tensor) -> Tensor:
        """`[slots, rows, height, width, channels]` -> the same with the new map: patches times matrices."""
        slots, rows = hidden.shape[:2]
        kernel = self._shapes[stage.name + ".weight"][2:]
        if any(stage.padding):
            hidden = functional.pad(hidden, (0, 0, *stage.padding))
        patches = hidden.unfold(2, kernel[0], stage.stride).unfold(3, kernel[1], stage.stride)
        height, width = patches.shape[2:4]
        columns = patches.permute(0, 1, 2, 3, 5, 6, 4).reshape(slots, rows * height * width, -1)
        result = slot_products(self._biases[number], columns, self._weights[number])
        return self._unpadded(stage, result.view(slots, rows, height, width, -1))

    def _linear(self, number: int, stage: Stage, hidden: Tensor) -> Tensor:
        slots, rows = hidden.shape[:2]
        result = slot_products(self._biases[number], hidden.reshape(slots, rows, -1), self._weights[number])
        return self._unpadded(stage, result)

    def _unpadded(self, stage: Stage, result: Tensor) -> Tensor:
        return result[..., : self._shapes[stage.name + ".weight"][0]]


def layout_inputs(weight_shape: tuple[int, ...]) -> int:
    """How many inputs one output of a layer has."""
    inputs = 1
    for size in weight_shape[1:]:
        inputs *= size
    return inputs


def _map_sizes(policy: Staged, layout: Layout, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Channels, height and width of each convolution's result."""
    sizes: list[tuple[int, ...]] = []
    size = shape
    weights = {p.name: p.shape for p in layout.parameters}
    for stage in policy.stages:
        if not stage.stride:
            break
        left, right, top, bottom = stage.padding
        weight = weights[stage.name + ".weight"]
        height = (size[1] + top + bottom - weight[2]) // stage.stride + 1
        width = (size[2] + left + right - weight[3]) // stage.stride + 1
        size = (weight[0], height, width)
        sizes.append(size)
    return sizes
