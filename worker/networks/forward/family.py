"""Relatives of a few base networks on a CPU: what is large they share, what is small each has for itself.

A relative is a base plus `scale` times low-rank noise: a member of an evolution strategy's epoch around its
centre, or one child of a litter around its parent. Small matrices (convolutions, heads) are written out for
every slot and played by one batched kernel; it is not they that cost. A large matrix is read once for all
slots of its base, and each slot adds its own skinny product: ``x (W + s A B^T)^T = x W^T + s (x B) A^T``
(EGGROLL, arXiv 2511.16652, section 4.2).

Passes have fixed shapes, so what a row gets depends on its slot's network and its observation alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from germline.eggroll import Drawn, Space, materialise
from germline.eggroll.space import Evolved
from germline.pairs import NoiseKey
from worker.networks.forward.base import ActiveRows, Outputs
from worker.networks.forward.family_lines import Order, Own, Shared
from worker.networks.forward.family_maps import Convolution, FirstConvolution
from worker.networks.policies.stages import Stage, Staged, activate, is_plain
from worker.tasks.base import Observations, Spaces

LARGE = 100_000  # weights of a matrix that slots share
_PASS_ROWS = 16  # rows of one pass: more are no faster, and a pass with one active row costs as much as all
_ONLY_BASE_ROWS = 32  # rows of one product with a large matrix: reading it costs half its arithmetic
_BASE_ROWS = 8  # the same where there are several bases


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
        self._policy, self._spaces, self._dtype = policy, spaces, dtype
        self._named = {parameter.name: parameter for parameter in space}
        self._windows = _windows(slots, max(1, min(slots, _PASS_ROWS // rows)))
        self._maps = list(self._make_maps())
        block_rows = min(slots * rows, _BASE_ROWS if bases > 1 else _ONLY_BASE_ROWS)
        self._lines = list(self._make_lines(block_rows))
        large = {layer.weight for layer in self._lines if isinstance(layer, Shared)}
        self._small = Space(tuple(p for p in space if p not in large), space.size, space.rank)
        self._row = torch.zeros(space.size)
        self._features = torch.zeros(slots, rows, self._lines[0].weight.shape[1], dtype=dtype)

    def set_base(self, base: int, weights: Tensor) -> None:
        """Take a base's weights, `[size]` float32."""
        for layer in self._lines:
            if isinstance(layer, Shared):
                layer.set_base(base, weights)

    def bind(self, slot: int, base: int, weights: Tensor, key: NoiseKey, scale: float) -> None:
        """Make a slot a relative of a base: `weights`, the base's, plus `scale` times the noise of `key`."""
        materialise(self._row, weights, self._small, key, scale)
        drawn = Drawn(key, 1, self._row.device)
        for layer in (*self._maps, *self._lines):
            layer.load(slot, self._row)
            if isinstance(layer, Shared):
                layer.bind(slot, base, drawn, scale)

    @torch.inference_mode()
    def __call__(self, observations: Observations, active: ActiveRows) -> Outputs:
        """Outputs of the active rows, `[slots, rows, outputs]`; a pass without any is left out."""
        hidden = torch.from_numpy(observations)
        hidden = self._see(hidden, active) if self._maps else hidden.flatten(2)
        for number, layer in enumerate(self._lines):
            hidden = layer(activate(self._policy.activation, hidden) if number else hidden, active)
        outputs: Outputs = hidden.numpy()
        return outputs

    def _see(self, observations: Tensor, active: ActiveRows) -> Tensor:
        """What the convolutions make of the observations, `[slots, rows, n]`, channels last."""
        for window in self._windows:
            if active[window].any():
                hidden = observations[window]
                for layer in self._maps:
                    hidden = layer(hidden, window)
                maps = torch.unflatten(hidden, 1, (window.stop - window.start, -1)).permute(1, 0, 3, 4, 2)
                self._features[window].view(maps.shape).copy_(maps)
        return self._features

    def _make_maps(self) -> Iterator[Convolution]:
        activation, scale = self._policy.activation, self._policy.input_scale
        for number, stage in enumerate(stage for stage in self._policy.stages if stage.stride):
            spot = (stage, *self._parameters(stage), activation, self.slots, self._dtype)
            yield Convolution(*spot) if number else FirstConvolution(*spot, spaces=self._spaces, scale=scale)

    def _make_lines(self, block_rows: int) -> Iterator[Own | Shared]:
        """Make the linear layers; those behind convolutions find what is scaled already, channels last."""
        order = Order(scale=self._policy.input_scale)
        if self._maps:
            order = Order(channels=self._maps[-1].weight.shape[0])
        for stage in self._policy.stages:
            if not stage.stride:
                weight, bias = self._parameters(stage)
                if weight.size > LARGE:
                    yield Shared(weight, bias, self.slots, self.rows, self._dtype, order, block_rows)
                else:
                    yield Own(weight, bias, self.slots, order)
                order = Order()

    def _parameters(self, stage: Stage) -> tuple[Evolved, Evolved]:
        return self._named[stage.name + ".weight"], self._named[stage.name + ".bias"]


def plays(policy: nn.Module, device: torch.device) -> bool:
    """Whether a policy's relatives can be played this way."""
    if device.type != "cpu" or not isinstance(policy, Staged) or not is_plain(policy):
        return False
    sizes = {name: value.numel() for name, value in policy.named_parameters()}
    # A large convolution would have to be written out for every slot.
    return all(not stage.stride or sizes[stage.name + ".weight"] <= LARGE for stage in policy.stages)


def _windows(slots: int, size: int) -> list[slice]:
    """The passes; the last one reaches back rather than be smaller: other shapes may add in other orders."""
    firsts = [min(first, slots - size) for first in range(0, slots, size)]
    return [slice(first, first + size) for first in firsts]
