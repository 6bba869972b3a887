"""The linear layers of relatives. Activations are `[slots, rows, n]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from germline.eggroll import Drawn
from germline.eggroll.space import Evolved
from worker.networks.forward.base import ActiveRows
from worker.networks.forward.kernels import FEWEST_ROWS, Product, slot_products

_LINE = 16  # outputs are padded to whole lines: a kernel's ragged edge adds in another order, row by row


class Order(NamedTuple):
    """How a linear layer's inputs come.

    Attributes:
        channels: of the map that it flattens, which comes channels last; 1 for anything else.
        scale: a factor of the inputs that the weights take over.
    """

    channels: int = 1
    scale: float = 1.0

    def arranged(self, weight: Tensor) -> Tensor:
        """A matrix, `[any, inputs]`, with its inputs in this order."""
        return torch.unflatten(weight, 1, (self.channels, -1)).transpose(1, 2).flatten(1)


class Own:
    """A small linear layer: every slot has its matrix, in float32: it is small, and it decides."""

    def __init__(self, weight: Evolved, bias: Evolved, slots: int, order: Order) -> None:
        """Allocate the matrices."""
        self.weight, self._bias, self._order = weight, bias, order
        self._outputs, inputs = weight.shape
        columns = _whole_lines(self._outputs)
        self._matrices = torch.zeros(slots, inputs, columns)
        self._biases = torch.zeros(slots, 1, columns)

    def load(self, slot: int, row: Tensor) -> None:
        """Take a slot's weight and bias from a flat vector."""
        weight = self._order.arranged(self.weight.view(row)) * self._order.scale
        self._matrices[slot, :, : self._outputs].copy_(weight.T)
        self._biases[slot, 0, : self._outputs].copy_(self._bias.view(row))

    def __call__(self, hidden: Tensor, active: ActiveRows) -> Tensor:
        """Play all rows."""
        return slot_products(self._biases, hidden.float(), self._matrices)[..., : self._outputs]


class _Block(NamedTuple):
    """Rows that one product multiplies with their base's matrix; `filled` repeats the last one."""

    base: int
    rows: npt.NDArray[np.intp]
    filled: Tensor


class Shared:
    """A large linear layer: its matrix is the base's, and every slot adds a skinny product."""

    def __init__(
        self,
        weight: Evolved,
        bias: Evolved,
        slots: int,
        rows: int,
        dtype: torch.dtype,
        order: Order,
        block_rows: int,
    ) -> None:
        """Allocate the factors; a product takes `block_rows` rows of one base."""
        self.weight, self._bias, self._order = weight, bias, order
        self._rows, self._block_rows, self._dtype = rows, max(block_rows, FEWEST_ROWS), dtype
        self._outputs, inputs = weight.shape
        self._columns, rank = _whole_lines(self._outputs), weight.noise.rank
        self._bases: dict[int, Product] = {}
        self._base_of_slot = [0] * slots
        self._blocks = self._shared_out()
        self._biases = torch.zeros(slots, 1, self._columns)
        self._a = torch.zeros(slots, rank, self._columns)
        self._b = torch.zeros(slots, 1, rank, inputs, dtype=dtype)

    def set_base(self, base: int, weights: Tensor) -> None:
        """Take the matrix of a base."""
        matrix = self.weight.view(weights).mul(self._order.scale).to(self._dtype)
        padded = functional.pad(self._order.arranged(matrix), (0, 0, 0, self._columns - self._outputs))
        self._bases[base] = Product(padded, self._block_rows)

    def load(self, slot: int, row: Tensor) -> None:
        """Take a slot's bias from a flat vector."""
        self._biases[slot, 0, : self._outputs].copy_(self._bias.view(row))

    def bind(self, slot: int, base: int, drawn: Drawn, scale: float) -> None:
        """Take a slot's factors."""
        a, b = drawn.factors(self.weight.noise)
        self._a[slot, :, : self._outputs].copy_(a[0].T * (self._order.scale * scale / math.sqrt(a.shape[-1])))
        self._b[slot, 0].copy_(self._order.arranged(b[0].T))
        if self._base_of_slot[slot] != base:
            self._base_of_slot[slot] = base
            self._blocks = self._shared_out()

    def __call__(self, hidden: Tensor, active: ActiveRows) -> Tensor:
        """Play all rows of blocks that have an active one."""
        flat = hidden.to(self._dtype)
        low = (flat.unsqueeze(2) * self._b).sum(-1).float()
        products = self._products(flat.flatten(0, 1), active.ravel())
        result = products.view(*flat.shape[:2], -1) + self._biases
        for k in range(low.shape[-1]):  # skinnier than a matrix product is made for
            result.addcmul_(low[..., k : k + 1], self._a[:, k : k + 1])
        return result[..., : self._outputs]

    def _products(self, flat: Tensor, active: npt.NDArray[np.bool_]) -> Tensor:
        """Every row times its base's matrix, in blocks of one shape."""
        first = self._blocks[0]
        if len(first.rows) == len(flat) >= FEWEST_ROWS:
            return self._bases[first.base](flat)
        out = flat.new_zeros(len(flat), self._columns)
        for block in self._blocks:
            if active[block.rows].any():
                products = self._bases[block.base](flat.index_select(0, block.filled))
                out.index_copy_(0, block.filled, products)
        return out

    def _shared_out(self) -> list[_Block]:
        bases: Sequence[int] = np.repeat(self._base_of_slot, self._rows).tolist()
        blocks = []
        for base in dict.fromkeys(bases):
            mine = np.flatnonzero(np.equal(bases, base))
            for first in range(0, len(mine), self._block_rows):
                rows = mine[first : first + self._block_rows]
                filled = np.pad(rows, (0, self._block_rows - len(rows)), mode="edge")
                blocks.append(_Block(base, rows, torch.from_numpy(filled)))
        return blocks


def _whole_lines(outputs: int) -> int:
    return -(-outputs // _LINE) * _LINE
