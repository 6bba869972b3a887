"""Population-aware convolutions.

A convolution's weight is a matrix `[out, in * kernel]`. Its noise acts as `rank` filters B, then a 1x1 mix
A: ``conv(x, W + s A B^T) = conv(x, W) + s A conv(x, B)``. The filters differ from slot to slot, and one
filter is too little for a convolution kernel to be quick. So the stride is first folded into the
channels (each input value moves once, none is copied twice), which leaves a convolution of stride 1 with a
small kernel; its taps are one batched product for every slot, and their shifted sum is the result.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from germline.eggroll.slots import Kept, MatrixNoise, Slots
from germline.eggroll.stand_in import EvolvedById, StandIn

Conv = nn.modules.conv._ConvNd


class Taps(NamedTuple):
    """A convolution with its stride folded away, as two axes; a one-dimensional one has a first axis of 1.

    Attributes:
        stride: what is folded into the channels.
        size: taps along each axis, of what remains.
        gap: distance between taps (the dilation).
    """

    stride: tuple[int, int]
    size: tuple[int, int]
    gap: tuple[int, int]

    @classmethod
    def of(cls, source: Conv) -> Taps:
        """The taps of a convolution of one or two dimensions."""
        stride, kernel, gap = (_two(v) for v in (source.stride, source.kernel_size, source.dilation))
        size = (-(-kernel[0] // stride[0]), -(-kernel[1] // stride[1]))
        return cls(stride, size, gap)

    def fold(self, x: Tensor, out_size: tuple[int, int]) -> Tensor:
        """`[rows, channels, h, w]` -> `[rows, channels * stride * stride, h', w']`, stride 1 from here on."""
        reach = [out + (size - 1) * gap for out, size, gap in zip(out_size, self.size, self.gap, strict=True)]
        if self.stride == (1, 1):
            return x
        sy, sx = self.stride
        need_y, need_x = reach[0] * sy, reach[1] * sx
        if need_y > x.shape[2] or need_x > x.shape[3]:
            x = functional.pad(x, (0, max(0, need_x - x.shape[3]), 0, max(0, need_y - x.shape[2])))
        split = torch.unflatten(
            torch.unflatten(x[:, :, :need_y, :need_x], 3, (reach[1], sx)), 2, (reach[0], sy)
        )
        return split.permute(0, 1, 3, 5, 2, 4).reshape(len(x), -1, reach[0], reach[1])

    def filters(self, b: Tensor, kernel: tuple[int, int]) -> Tensor:
        """Factors `[slots, rank, in * kernel]` as taps, `[slots, taps * rank, in * stride * stride]`."""
        ky, kx = kernel
        (sy, sx), (ty, tx) = self.stride, self.size
        inputs = b.shape[2] // (ky * kx)
        shaped = functional.pad(b.view(*b.shape[:2], inputs, ky, kx), (0, tx * sx - kx, 0, ty * sy - ky))
        taps = shaped.view(*b.shape[:2], inputs, ty, sy, tx, sx).permute(0, 3, 5, 1, 2, 4, 6)
        return taps.reshape(b.shape[0], ty * tx * b.shape[1], inputs * sy * sx)

    def gather(self, products: Tensor, rank: int, out_size: tuple[int, int], out: Tensor) -> None:
        """Add the taps' products `[rows, taps * rank, h', w']`, each shifted, to `out [rows, rank, ...]`."""
        ty, tx = self.size
        by_tap = torch.unflatten(products, 1, (ty, tx, rank))
        for y in range(ty):
            for x in range(tx):
                top, left = y * self.gap[0], x * self.gap[1]
                out += by_tap[:, y, x, :, top : top + out_size[0], left : left + out_size[1]]


class _Convolution(StandIn):
    """What both kinds share: the centre's weight and bias."""

    @property
    def _source(self) -> Conv:
        return cast(Conv, self.source_layer)

    def refresh(self) -> None:
        """Take over the centre's weights."""
        self._weight, self._bias = self.weight_of_centre(), self.centre("bias")


class Convolution(_Convolution):
    """Stands in for `nn.Conv1d` and `nn.Conv2d` with one group."""

    def __init__(self, source: Conv, evolution: EvolvedById, slots: Slots) -> None:
        super().__init__(source, evolution, slots)
        self._one_dimensional = isinstance(source, nn.Conv1d)
        self._taps = Taps.of(source)
        arrange = partial(self._taps.filters, kernel=_two(source.kernel_size))
        self._noise = self.matrix_noise("weight", "bias", arrange)
        self._kept = Kept()
        self.refresh()

    def refresh(self) -> None:
        """Take over the centre's weights."""
        super().refresh()
        self._weight = self._weight.unsqueeze(2) if self._one_dimensional else self._weight
        self._kept.forget()
        if self._noise:
            self._noise.refresh(self._bias)

    def forward(self, x: Tensor) -> Tensor:
        """`[rows, channels, ...]` -> `[rows, out_channels, ...]`."""
        kept = self._kept.look_up(x) if self.slots.keep_shared else None
        rows = padded(x.to(self._weight.dtype), self._source).contiguous()
        rows = rows.unsqueeze(2) if self._one_dimensional else rows
        base = self._centre_product(rows) if kept is None else kept
        if kept is None and self.slots.is_shared(len(x)):
            self._kept.keep(x, base)
        out = self.slots.spread(base)
        if self._noise:
            self._add_noise(out, rows, self._noise)
        return out.squeeze(2) if self._one_dimensional else out

    def _centre_product(self, x: Tensor) -> Tensor:
        stride, gap = _two(self._source.stride), _two(self._source.dilation)
        return functional.conv2d(x, self._weight, None if self._noise else self._bias, stride, 0, gap)

    def _add_noise(self, out: Tensor, x: Tensor, noise: MatrixNoise) -> None:
        """Add every member's own part to `out [members * batch, out_channels, h, w]`, in place."""
        slots, size = self.slots, (out.shape[2], out.shape[3])
        a = noise.a().transpose(1, 2).unsqueeze(1).expand(-1, slots.batch, -1, -1).flatten(0, 1)
        low = out.new_ones(len(out), a.shape[2], *size)
        if noise.rank:
            self._filter(low[:, : noise.rank].zero_(), x, noise.b())
        out.view(len(out), out.shape[1], -1).baddbmm_(a, low.flatten(2))

    def _filter(self, low: Tensor, x: Tensor, filters: Tensor) -> None:
        """Every slot's `rank` filters over its rows, added into `low [members * batch, rank, h, w]`."""
        slots, size = self.slots, (low.shape[2], low.shape[3])
        folded = self._taps.fold(x, size)
        flat = folded.flatten(2)
        if slots.is_shared(len(x)):
            products = torch.matmul(filters.unsqueeze(1), flat).repeat_interleave(slots.signs, 0)
        else:
            rows_of_slot = slots.signs * slots.batch
            products = torch.bmm(filters.repeat_interleave(rows_of_slot, 0), flat)
        shaped = products.reshape(len(low), -1, folded.shape[2], folded.shape[3])
        self._taps.gather(shaped, low.shape[1], size, low)


class MemberConvolution(_Convolution):
    """Stands in for every other convolution: grouped, strided and dilated, or of three dimensions.

    Each pass writes every member's weights out, and members become groups of one convolution.
    """

    def __init__(self, source: Conv, evolution: EvolvedById, slots: Slots) -> None:
        super().__init__(source, evolution, slots)
        self._conv = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[
            len(source.kernel_size)
        ]
        self._noise, self._bias_noise = self.matrix_noise(), self.dense_noise("bias")
        self.refresh()

    def forward(self, x: Tensor) -> Tensor:
        """`[rows, channels, ...]` -> `[rows, out_channels, ...]`."""
        slots, source = self.slots, self._source
        x = padded(slots.spread(x.to(self._weight.dtype)), source)
        by_member = torch.unflatten(x, 0, (slots.members, slots.batch)).transpose(0, 1).flatten(1, 2)
        groups = slots.members * source.groups
        weight, bias = self._weights(), self._biases()
        out = self._conv(by_member, weight, bias, source.stride, 0, source.dilation, groups)
        return torch.unflatten(out, 1, (slots.members, -1)).transpose(0, 1).flatten(0, 1)

    def _weights(self) -> Tensor:
        """`[members * out_channels, in_channels / groups, ...]`."""
        weight = self._weight.unsqueeze(0).expand(self.slots.members, *self._weight.shape)
        if self._noise:
            b = self._noise.b().repeat_interleave(self.slots.signs, 0)
            a = self._noise.a()[:, : self._noise.rank]
            weight = weight + torch.bmm(a.transpose(1, 2), b).view(weight.shape)
        return weight.flatten(0, 1)

    def _biases(self) -> Tensor | None:
        """`[members * out_channels]`."""
        if self._bias is None:
            return None
        bias = self._bias.expand(self.slots.members, -1)
        return (bias + self._bias_noise.of_members() if self._bias_noise else bias).flatten()


def convolution(source: Conv, evolution: EvolvedById, slots: Slots) -> StandIn:
    """The stand-in for a convolution: by filters where that works, else by members."""
    dilated = any(gap > 1 and stride > 1 for gap, stride in zip(source.dilation, source.stride, strict=True))
    if isinstance(source, nn.Conv3d) or source.groups > 1 or dilated:
        return MemberConvolution(source, evolution, slots)
    return Convolution(source, evolution, slots)


def padded(x: Tensor, source: Conv) -> Tensor:
    """The rows with the convolution's own padding around them."""
    around = source._reversed_padding_repeated_twice
    if not any(around):
        return x
    mode = "constant" if source.padding_mode == "zeros" else source.padding_mode
    return functional.pad(x, around, mode=mode)


def _two(values: tuple[int, ...]) -> tuple[int, int]:
    """Settings of one axis or two as those of two axes."""
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])
