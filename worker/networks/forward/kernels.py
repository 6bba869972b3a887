"""oneDNN's kernels, with weights packed once in the order that they read.

Plain torch packs the weights anew in every call, which costs more than the arithmetic of a few rows. Where
the processor or this torch lacks the kernels, plain torch does the same, slower.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from worker.networks.policies.stages import Activation, activate

pack_convolution = torch.ops.mkldnn._reorder_convolution_weight.default
pack_linear = torch.ops.mkldnn._reorder_linear_weight.default
convolve = torch.ops.mkldnn._convolution_pointwise.default
multiply = torch.ops.mkldnn._linear_pointwise.default


def available(dtype: torch.dtype) -> bool:
    """Whether this processor and this torch have the kernels."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype is torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def slot_products(biases: Tensor, hidden: Tensor, matrices: Tensor) -> Tensor:
    """Each slot's rows times its matrix, plus its bias: `[slots, rows, inputs]` -> `[slots, rows, outputs]`.

    A slot alone gets a companion: on several threads, a single product is cut and added up in another order.
    """
    if len(hidden) > 1:
        return torch.baddbmm(biases, hidden, matrices)
    twice = (each.expand(2, -1, -1) for each in (biases, hidden, matrices))
    return torch.baddbmm(*twice)[:1]


class GroupedConvolution:
    """A convolution with an activation behind it, of each group of channels by its own filters."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        strides: tuple[int, int],
        activation: Activation,
        input_shape: tuple[int, ...],
        groups: int,
    ) -> None:
        """Pack the filters, `[groups * outputs, inputs, high, wide]`, for inputs of one shape."""
        self._bias, self._strides, self._groups = bias, list(strides), groups
        self._activation = activation
        self._is_packed = available(weight.dtype)
        packing = ([0, 0], self._strides, [1, 1], groups, list(input_shape))
        self._weight = pack_convolution(weight, *packing) if self._is_packed else weight

    def __call__(self, hidden: Tensor) -> Tensor:
        """`[rows, groups * inputs, ..]`, channels last in memory, to `[rows, groups * outputs, ..]`, too."""
        weight, bias, strides = self._weight, self._bias, self._strides
        if not self._is_packed:
            plain = functional.conv2d(hidden, weight, bias, strides, groups=self._groups)
            return activate(self._activation, plain)
        result: Tensor = convolve(
            hidden, weight, bias, [0, 0], strides, [1, 1], self._groups, self._activation, [], ""
        )
        return result


FEWEST_ROWS = 2
"""Of a product with one matrix: one row would take another kernel, with sums in another order."""


class Product:
    """A product of blocks of so many rows, two or more, with one matrix."""

    def __init__(self, matrix: Tensor, rows: int) -> None:
        """Pack the matrix, `[outputs, inputs]`."""
        self._is_packed = available(matrix.dtype)
        self._matrix = pack_linear(matrix, rows) if self._is_packed else matrix

    def __call__(self, block: Tensor) -> Tensor:
        """`[rows, inputs]` -> `[rows, outputs]`."""
        if not self._is_packed:
            return functional.linear(block, self._matrix)
        result: Tensor = multiply(block, self._matrix, None, "none", [], "")
        return result
