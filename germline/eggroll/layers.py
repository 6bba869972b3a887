"""Population-aware layers: one product for all members, and a skinny one for what is each member's own.

``x (W + s E)^T = x W^T + s (x B) A^T / sqrt(rank)``: EGGROLL, arXiv 2511.16652, section 4.2. Each layer
here stands in for one of torch, takes rows of many members (:mod:`germline.eggroll.slots`) and gives theirs.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from germline.eggroll.slots import Kept, MatrixNoise, Slots, UntraceableError
from germline.eggroll.stand_in import EvolvedById, StandIn


class LinearMap:
    """The product with one matrix, and one bias, that differ from member to member."""

    def __init__(self, layer: StandIn, weight: str = "weight", bias: str = "bias") -> None:
        self._layer, self._names = layer, (weight, bias)
        self._slots = layer.slots
        self._noise = layer.matrix_noise(weight, bias)
        self._kept = Kept()
        self.refresh()

    def refresh(self) -> None:
        """Take over the centre's weights."""
        weight, bias = self._names
        self._weight, self._bias = self._layer.weight_of_centre(weight), self._layer.centre(bias)
        self._kept.forget()
        if self._noise:
            self._noise.refresh(self._bias)

    def __call__(self, x: Tensor) -> Tensor:
        """`[rows, ..., inputs]` -> `[members * batch, ..., outputs]`; the rows may be one shared batch."""
        x = x.to(self._weight.dtype)
        if self._noise is None:
            return functional.linear(x, self._weight, self._bias)
        if self._slots.is_shared(x.shape[0]):
            return self._of_shared(x, self._noise)
        out = functional.linear(x, self._weight)
        self._add_noise(out, x, self._noise)
        return out

    def _add_noise(self, out: Tensor, x: Tensor, noise: MatrixNoise) -> None:
        """Add every member's own part to `out`, in place."""
        slots = self._slots
        by_slot = x.reshape(slots.count, -1, x.shape[-1])
        low = noise.with_ones(torch.bmm(by_slot, noise.b().transpose(1, 2)))
        by_member = out.view(slots.members, -1, out.shape[-1])
        by_member.baddbmm_(low.view(slots.members, -1, low.shape[-1]), noise.a())

    def _of_shared(self, x: Tensor, noise: MatrixNoise) -> Tensor:
        """The same for one batch that all members see: the centre's product is computed once."""
        slots = self._slots
        base = self._shared_product(x)
        flat = base.reshape(1, -1, base.shape[-1]).expand(slots.members, -1, -1)
        out = torch.baddbmm(flat, self._shared_low(x, noise), noise.a())
        return out.view(-1, *base.shape[1:])

    def _shared_product(self, x: Tensor) -> Tensor:
        base = self._kept.look_up(x) if self._slots.keep_shared else None
        if base is None:
            base = functional.linear(x, self._weight)
            self._kept.keep(x, base)
        return base

    def _shared_low(self, x: Tensor, noise: MatrixNoise) -> Tensor:
        """``x B`` of every slot as one product, `[members, rows of a member, rank + 2]`."""
        b = noise.b()
        low = (x.reshape(-1, x.shape[-1]) @ b.flatten(0, 1).T).view(-1, *b.shape[:2]).transpose(0, 1)
        return noise.with_ones(low).repeat_interleave(self._slots.signs, 0)


class Linear(StandIn):
    """Stands in for `nn.Linear`."""

    def __init__(self, source: nn.Linear, evolution: EvolvedById, slots: Slots) -> None:
        super().__init__(source, evolution, slots)
        self._map = LinearMap(self)
        self.refresh = self._map.refresh  # type: ignore[method-assign]

    def forward(self, x: Tensor) -> Tensor:
        """`[rows, ..., in_features]` -> `[rows, ..., out_features]`."""
        return self._map(x)


class Embedding(StandIn):
    """Stands in for `nn.Embedding`: a row of the table is ``W[token] + s A[token] B^T``."""

    def __init__(self, source: nn.Embedding, evolution: EvolvedById, slots: Slots) -> None:
        super().__init__(source, evolution, slots)
        if source.max_norm is not None:
            raise UntraceableError("an Embedding with max_norm rewrites its weights while it looks them up")
        self._noise = self.matrix_noise()
        self.refresh()

    def refresh(self) -> None:
        """Take over the centre's table."""
        self._table = self.weight_of_centre()

    def forward(self, tokens: Tensor) -> Tensor:
        """`[rows, ...]` integers -> `[rows, ..., embedding_dim]`."""
        tokens = self.slots.spread(tokens)
        out = functional.embedding(tokens, self._table)
        if self._noise:
            a = self._noise.a()[:, : self._noise.rank]
            by_member = tokens.reshape(self.slots.members, 1, -1).expand(-1, a.shape[1], -1)
            low = torch.gather(a, 2, by_member).transpose(1, 2).reshape(self.slots.count, -1, a.shape[1])
            out.view(self.slots.count, -1, out.shape[-1]).baddbmm_(low, self._noise.b())
        return out


class Affine:
    """Gain and bias of a normalisation, each member's own: ``x * gain + bias``."""

    def __init__(self, layer: StandIn) -> None:
        self._layer, self._slots = layer, layer.slots
        self._noise = {name: layer.dense_noise(name) for name in ("weight", "bias")}
        self.refresh()

    def refresh(self) -> None:
        """Take over the centre's gain and bias."""
        self._centre = {name: self._layer.centre(name) for name in ("weight", "bias")}

    def __call__(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Apply to `[members * batch, ...]`; `shape` is that of a row's gain, broadcastable to a row."""
        gain, bias = self._of_members("weight", shape), self._of_members("bias", shape)
        by_member = x.view(self._slots.members, -1, *x.shape[1:])
        if gain is not None:
            by_member = by_member * gain if bias is None else torch.addcmul(bias, by_member, gain)
        return by_member.view(x.shape)

    def _of_members(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        """`[members, 1, *shape]`, or `[1, 1, *shape]` where all members have the same."""
        centre = self._centre[name]
        if centre is None:
            return None
        flat = centre.view(1, -1)
        noise = self._noise[name]
        if noise:
            flat = flat + noise.of_members()
        return flat.view(-1, 1, *shape)


class Normalisation(StandIn):
    """Stands in for layers that normalise rows one by one, then apply gain and bias."""

    def __init__(self, source: nn.Module, evolution: EvolvedById, slots: Slots) -> None:
        super().__init__(source, evolution, slots)
        self._affine = Affine(self)
        self.refresh = self._affine.refresh  # type: ignore[method-assign]

    def forward(self, x: Tensor) -> Tensor:
        """`[rows, ...]` -> the same shape."""
        x = self.slots.spread(x.to(self.slots.dtype))
        return self._affine(*self.normalise(x))

    def normalise(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """The rows, normalised, and the shape of their gain."""
        raise NotImplementedError


class LayerNorm(Normalisation):
    """Stands in for `nn.LayerNorm`."""

    def normalise(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Over the last axes."""
        source = cast(nn.LayerNorm, self.source_layer)
        gain = (*(1 for _ in x.shape[1 : x.ndim - len(source.normalized_shape)]), *source.normalized_shape)
        return functional.layer_norm(x, source.normalized_shape, None, None, source.eps), gain


class GroupNorm(Normalisation):
    """Stands in for `nn.GroupNorm`."""

    def normalise(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Over groups of channels."""
        source = cast(nn.GroupNorm, self.source_layer)
        return functional.group_norm(x, source.num_groups, None, None, source.eps), per_channel(x)


class BatchNorm(Normalisation):
    """Stands in for `nn.BatchNorm1d` to `3d`, as in evaluation: it reads running statistics, and writes none.

    Without running statistics it takes those of the batch: each member those of its own rows.
    """

    def normalise(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Over rows."""
        source = cast(nn.modules.batchnorm._BatchNorm, self.source_layer)
        if source.running_mean is not None and source.running_var is not None:
            mean, variance = source.running_mean.to(x.dtype), source.running_var.to(x.dtype)
            return functional.batch_norm(x, mean, variance, None, None, False, 0.0, source.eps), per_channel(
                x
            )
        by_member = x.view(self.slots.members, -1, *x.shape[1:])
        axes = [1, *range(3, by_member.ndim)]
        variance, mean = torch.var_mean(by_member, dim=axes, correction=0, keepdim=True)
        return ((by_member - mean) * torch.rsqrt(variance + source.eps)).view(x.shape), per_channel(x)


def per_channel(x: Tensor) -> tuple[int, ...]:
    """The shape of one value for each channel of a row."""
    return (x.shape[1], *(1 for _ in x.shape[2:]))
