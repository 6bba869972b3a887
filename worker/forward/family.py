"""Relatives of a few base networks on a CPU: what is large they share, what is small each has for itself.

A relative is a base plus `scale` times low-rank noise: a member of an evolution strategy's epoch around its
centre, or one child of a litter around its parent. Small matrices (convolutions, heads) are written out for
every slot and multiplied in one batched product; it is not they that cost. A large matrix is read once for
all slots of its base, and each slot adds its own skinny product: ``x (W + s A B^T)^T = x W^T + s (x B) A^T``
(EGGROLL, arXiv 2511.16652, section 4.2).

Passes have fixed shapes, so what a row gets depends on its slot's network and its observation alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from germline.eggroll import Drawn, Space, materialise
from germline.eggroll.space import Evolved
from germline.pairs import NoiseKey
from worker.forward.base import ActiveRows, Outputs
from worker.policies.stages import Stage, Staged, activate
from worker.tasks.base import Observations, Spaces

LARGE = 100_000  # weights of a matrix that slots share
_PASS_ROWS = 16  # rows of one pass: more are no faster, and a pass with one active row costs as much as all
_BLOCK_ROWS = 8  # rows of one product with a large matrix
_WORD = 4  # bytes that move as one when frames are folded
_LINE = 16  # outputs are padded to whole lines: a kernel's ragged edge adds in another order, row by row


class FamilyForward:
    """Low-rank relatives of base networks that are plain lines of layers."""

    def __init__(
        self,
        policy: Staged,
        space: Space,
        spaces: Spaces,
        slots: int,
        rows: int,
        dtype: torch.dtype,
        *,
        bases: int = 1,
    ) -> None:
        """Allocate `slots` relatives, with `rows` observations each, of up to so many `bases`."""
        self.slots, self.rows = slots, rows
        self._per_pass = max(1, min(slots, _PASS_ROWS // rows))
        self._policy = policy
        named = {parameter.name: parameter for parameter in space}
        self._layers = [_layer(stage, named, slots, rows, dtype) for stage in policy.stages]
        _arrange_inputs(self._layers, spaces, policy.input_scale)
        for layer in self._layers:
            layer.block_rows = _BLOCK_ROWS if bases > 1 else 0
        small = [p for layer in self._layers for p in layer.written_out]
        self._small = Space(tuple(small), space.size, space.rank)
        self._row = torch.zeros(space.size)

    def set_base(self, base: int, weights: Tensor) -> None:
        """Take a base's weights, `[size]` float32."""
        for layer in self._layers:
            if isinstance(layer, _Shared):
                layer.set_base(base, weights)

    def bind(self, slot: int, base: int, weights: Tensor, key: NoiseKey, scale: float) -> None:
        """Make a slot a relative of a base: `weights`, the base's, plus `scale` times the noise of `key`."""
        materialise(self._row, weights, self._small, key, scale)
        drawn = Drawn(key, 1, self._row.device)
        for layer in self._layers:
            layer.load(slot, self._row)
            if isinstance(layer, _Shared):
                layer.bind(slot, base, drawn, scale)

    @torch.inference_mode()
    def __call__(self, observations: Observations, active: ActiveRows) -> Outputs:
        """Outputs of the active rows, `[slots, rows, outputs]`; a pass without any is left out."""
        outputs = np.zeros((self.slots, self.rows, self._layers[-1].outputs), np.float32)
        for first in range(0, self.slots, self._per_pass):
            window = slice(first, min(first + self._per_pass, self.slots))
            if active[window].any():
                outputs[window] = self._play(torch.from_numpy(observations[window]), window)
        return outputs

    def _play(self, observations: Tensor, window: slice) -> Outputs:
        hidden = observations.flatten(0, 1)
        for number, layer in enumerate(self._layers):
            hidden = layer(hidden, window)
            if number < len(self._layers) - 1:
                hidden = activate(self._policy.activation, hidden)
        answers: Outputs = hidden.reshape(-1, self.rows, hidden.shape[-1]).float().numpy()
        return answers


class _Layer:
    """One layer of every slot. Activations are `[networks * rows, height, width, channels]`, or `[.., n]`."""

    def __init__(
        self, stage: Stage, weight: Evolved, bias: Evolved, slots: int, rows: int, dtype: torch.dtype
    ) -> None:
        self.stage, self.weight, self.bias = stage, weight, bias
        self.rows, self.dtype = rows, dtype
        self.outputs = weight.shape[0]
        self.written_out: tuple[Evolved, ...] = (weight, bias)
        self.map: tuple[int, int, int] | None = None
        """Channels, height and width of what it flattens, if that was a map."""
        self.scale = 1.0
        self.folds = self.is_planar = False
        self.block_rows = 0
        """Rows of one product where slots may have different bases; 0: all have the same."""
        self.columns = -(-self.outputs // _LINE) * _LINE
        self.biases = torch.zeros(slots, 1, self.columns, dtype=dtype)

    def load(self, slot: int, row: Tensor) -> None:
        """Take a slot's written-out parameters from a flat vector."""
        self.biases[slot, 0, : self.outputs].copy_(self.bias.view(row).flatten())

    def arranged(self, weight: Tensor) -> Tensor:
        """A weight as the matrix `[inputs, outputs]` whose inputs are in the order of the activations."""
        if self.stage.stride:
            return self._arranged_filter(weight).T
        if self.map is not None:
            weight = weight.view(-1, *self.map).permute(0, 2, 3, 1)
        return weight.reshape(len(weight), -1).T

    def _arranged_filter(self, weight: Tensor) -> Tensor:
        if not self.folds:
            return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
        step, (out, channels, high, wide) = self.stage.stride, weight.shape
        blocks = weight.view(out, channels, high // step, step, wide // step, step)
        return blocks.permute(0, 2, 4, 1, 3, 5).reshape(out, -1)

    def __call__(self, hidden: Tensor, window: slice) -> Tensor:
        """Play the rows of a window of slots."""
        raise NotImplementedError


class _Own(_Layer):
    """A small layer: every slot has its matrix."""

    def __init__(
        self, stage: Stage, weight: Evolved, bias: Evolved, slots: int, rows: int, dtype: torch.dtype
    ) -> None:
        super().__init__(stage, weight, bias, slots, rows, dtype)
        self._matrices = torch.zeros(slots, math.prod(weight.shape[1:]), self.columns, dtype=dtype)

    def load(self, slot: int, row: Tensor) -> None:
        """Take a slot's weight and bias."""
        super().load(slot, row)
        self._matrices[slot, :, : self.outputs].copy_(self.arranged(self.weight.view(row)).mul(self.scale))

    def __call__(self, hidden: Tensor, window: slice) -> Tensor:
        """Play the rows of a window of slots."""
        matrices, biases = self._matrices[window], self.biases[window]
        if not self.stage.stride:
            flat = hidden.reshape(len(matrices), self.rows, -1).to(self.dtype)
            return torch.baddbmm(biases, flat, matrices).flatten(0, 1)[:, : self.outputs]
        patches, high, wide = self._patches(hidden)
        result = torch.baddbmm(biases, patches.view(len(matrices), -1, patches.shape[-1]), matrices)
        return result.view(-1, high, wide, self.columns)[..., : self.outputs].contiguous()

    def _patches(self, hidden: Tensor) -> tuple[Tensor, int, int]:
        """What each place of the new map sees, `[rows * places, inputs]`, and the map's height and width."""
        step, kernel = self.stage.stride, self.weight.shape[2:]
        if self.folds:
            hidden = _folded(_padded_planes(hidden, self.stage), step).to(self.dtype)
            kernel, step = (kernel[0] // step, kernel[1] // step), 1
        else:
            hidden = hidden.permute(0, 2, 3, 1).to(self.dtype) if self.is_planar else hidden
            hidden = functional.pad(hidden, (0, 0, *self.stage.padding)).contiguous()
        count, height, width, channels = hidden.shape
        high, wide = (height - kernel[0]) // step + 1, (width - kernel[1]) // step + 1
        line = width * channels
        seen = hidden.as_strided(
            (count, high, wide, kernel[0], kernel[1] * channels),
            (height * line, step * line, step * channels, line, 1),
        )
        return seen.reshape(count * high * wide, -1), high, wide


class _Shared(_Layer):
    """A large linear layer: its matrix is the base's, and every slot adds a skinny product."""

    def __init__(
        self, stage: Stage, weight: Evolved, bias: Evolved, slots: int, rows: int, dtype: torch.dtype
    ) -> None:
        super().__init__(stage, weight, bias, slots, rows, dtype)
        rank, (_, inputs) = weight.noise.rank, weight.noise.matrix_shape
        self.written_out = (bias,)
        self._bases: dict[int, Tensor] = {}
        self._base_of_slot = [0] * slots
        self._a = torch.zeros(slots, rank, self.columns, dtype=dtype)
        self._b = torch.zeros(slots, 1, rank, inputs, dtype=dtype)

    def set_base(self, base: int, weights: Tensor) -> None:
        """Take the matrix of a base."""
        matrix = self.arranged(self.weight.view(weights)).T.mul(self.scale)
        padded = functional.pad(matrix, (0, 0, 0, self.columns - self.outputs))
        self._bases[base] = padded.to(self.dtype).contiguous()

    def bind(self, slot: int, base: int, drawn: Drawn, scale: float) -> None:
        """Take a slot's factors."""
        a, b = drawn.factors(self.weight)
        rank = self.weight.noise.rank
        self._base_of_slot[slot] = base
        self._a[slot, :, : self.outputs].copy_(a[0].T * (self.scale * scale / math.sqrt(rank)))
        self._b[slot, 0].copy_(self.arranged(b[0].T.reshape(rank, *self.weight.shape[1:])).T)

    def __call__(self, hidden: Tensor, window: slice) -> Tensor:
        """Play the rows of a window of slots."""
        slots = window.stop - window.start
        flat = hidden.reshape(slots, self.rows, -1).to(self.dtype)
        low = (flat.unsqueeze(2) * self._b[window]).sum(-1)
        own = torch.baddbmm(self.biases[window], low, self._a[window])
        products = self._products(flat.flatten(0, 1), self._base_of_slot[window])
        return products.add_(own.flatten(0, 1))[:, : self.outputs]

    def _products(self, flat: Tensor, bases: Sequence[int]) -> Tensor:
        """Every row times its base's matrix, in blocks of one shape."""
        if not self.block_rows:
            return functional.linear(flat, self._bases[bases[0]])
        out = flat.new_empty(len(flat), self.columns)
        for base in dict.fromkeys(bases):
            mine = [slot for slot, other in enumerate(bases) if other == base]
            rows = [slot * self.rows + row for slot in mine for row in range(self.rows)]
            for first in range(0, len(rows), self.block_rows):
                index = torch.tensor(rows[first : first + self.block_rows])
                block = flat.new_zeros(self.block_rows, flat.shape[1])
                block[: len(index)] = flat[index]
                out[index] = functional.linear(block, self._bases[base])[: len(index)]
        return out


def plays(policy: nn.Module, device: torch.device) -> bool:
    """Whether a policy's relatives can be played this way."""
    if device.type != "cpu" or not isinstance(policy, Staged):
        return False
    sizes = {name: value.numel() for name, value in policy.named_parameters()}
    # A large convolution would have to be written out for every slot.
    return all(not stage.stride or sizes[stage.name + ".weight"] <= LARGE for stage in policy.stages)


def _layer(
    stage: Stage, named: dict[str, Evolved], slots: int, rows: int, dtype: torch.dtype
) -> _Own | _Shared:
    weight, bias = named[stage.name + ".weight"], named[stage.name + ".bias"]
    kind = _Shared if weight.size > LARGE else _Own
    return kind(stage, weight, bias, slots, rows, dtype)


def _arrange_inputs(layers: Sequence[_Layer], spaces: Spaces, input_scale: float) -> None:
    """Tell the layers in which order their inputs come."""
    first = layers[0]
    first.scale = input_scale
    size = spaces.observation_shape
    for layer in layers:
        if not layer.stage.stride:
            layer.map = (size[0], size[1], size[2]) if len(size) == 3 else None
            size = (layer.outputs,)
            continue
        left, right, top, bottom = layer.stage.padding
        height, width = size[1] + top + bottom, size[2] + left + right
        high, wide = layer.weight.shape[2:]
        step = layer.stage.stride
        if layer is first:
            aligned = all(extent % step == 0 for extent in (height, width, high, wide))
            layer.folds = step == _WORD and aligned and spaces.observation_dtype == np.uint8
            layer.is_planar = not layer.folds
        size = (layer.outputs, (height - high) // step + 1, (width - wide) // step + 1)


def _padded_planes(frames: Tensor, stage: Stage) -> Tensor:
    """Frames, `[rows, channels, height, width]`, with a stage's zeros around them."""
    return functional.pad(frames, stage.padding) if any(stage.padding) else frames


def _folded(frames: Tensor, step: int) -> Tensor:
    """uint8 frames with the stride folded into the channels, four neighbouring bytes at a time.

    `[rows, channels, height, width]` -> `[rows, height / 4, width / 4, channels * 16]`.
    """
    rows, channels, height, width = frames.shape
    words = frames.contiguous().view(torch.int32).view(rows, channels, height // step, step, width // step)
    folded = words.permute(0, 2, 4, 1, 3).contiguous().view(torch.uint8)
    return folded.view(rows, height // step, width // step, channels * step * step)
