"""The stage on which members stand: which rows of a batch belong to whom, and what noise each slot holds.

A *slot* holds the noise of one pair. It serves two members (plus and minus: `signs` is 2) or one (`signs` is
1). Rows are member-major: all rows of slot 0's plus, then of its minus, then of slot 1's plus ...
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from germline.eggroll.space import Evolved
from germline.low_rank import Drawn


class UntraceableError(RuntimeError):
    """This network's forward pass cannot be shared between members; materialised weights can play it."""


class Slots:
    """What every population-aware layer of one network shares.

    Attributes:
        capacity: how many slots there are.
        signs: members of a slot, 2 or 1.
        dtype: what the layers compute in.
        device: where.
        first: first slot of the pass that is running.
        count: slots of that pass.
        batch: rows of each member in that pass.
        keep_shared: whether layers keep what they computed once for inputs that all members share.
    """

    def __init__(self, capacity: int, signs: int, dtype: torch.dtype, device: torch.device) -> None:
        self.capacity = capacity
        self.signs = signs
        self.dtype = dtype
        self.device = device
        self.first = 0
        self.count = capacity
        self.batch = 1
        self.keep_shared = False

    @property
    def members(self) -> int:
        """Members of the pass that is running."""
        return self.count * self.signs

    def is_shared(self, rows: int) -> bool:
        """Whether a tensor with so many rows is one batch that all members see.

        Raises:
            UntraceableError: if the rows fit neither one batch nor all members.
        """
        if rows == self.members * self.batch:
            return False
        if rows == self.batch:
            return True
        raise UntraceableError(
            f"a layer was given {rows} rows; {self.members} members of {self.batch} rows have "
            f"{self.members * self.batch}: the network mixes its rows"
        )

    def spread(self, x: Tensor) -> Tensor:
        """One copy for each member: `[batch, ...]` -> `[members * batch, ...]`; others as they are."""
        if not self.is_shared(x.shape[0]):
            return x
        return x.expand(self.members, *x.shape).reshape(-1, *x.shape[1:])

    def zeros(self, *shape: int) -> Tensor:
        """A tensor for noise."""
        return torch.zeros(shape, dtype=self.dtype, device=self.device)


class DenseNoise:
    """Scaled dense noise of one parameter for every member, `[capacity, signs, size]`."""

    def __init__(self, parameter: Evolved, slots: Slots) -> None:
        self._parameter = parameter
        self._slots = slots
        self._values = slots.zeros(slots.capacity, slots.signs, parameter.size)

    def bind(self, first: int, drawn: Drawn, scale: float) -> None:
        """Take over the noise of the drawn pairs."""
        write_signed(self._values[first : first + drawn.count], drawn.dense(self._parameter.noise), scale)

    def of_members(self) -> Tensor:
        """The noise of the pass that is running, `[members, size]`."""
        slots = self._slots
        return self._values[slots.first : slots.first + slots.count].flatten(0, 1)


class MatrixNoise:
    """The factors of one matrix: `a` scaled for every member, `b` as drawn for every slot.

    A bias rides along as more rows of `a` (its noise, and the centre's bias itself), to which factors of 1
    belong in place of products with `b`: one small product then adds it all. `arrange` says in which shape a
    layer wants `b`.
    """

    def __init__(
        self,
        weight: Evolved | None,
        bias: Evolved | None,
        slots: Slots,
        inputs: int,
        arrange: Callable[[Tensor], Tensor] = lambda b: b,
    ) -> None:
        self._weight, self._bias, self._slots, self._arrange = weight, bias, slots, arrange
        self.rank = weight.noise.rank if weight else 0
        outputs = weight.shape[0] if weight else (bias.size if bias else 0)
        self.rows = self.rank + 2
        self._a = slots.zeros(slots.capacity, slots.signs, self.rows, outputs)
        b = arrange(slots.zeros(1, self.rank, inputs))
        self._b = slots.zeros(slots.capacity, *b.shape[1:])

    def refresh(self, bias: Tensor | None) -> None:
        """Take over the centre's bias."""
        if bias is not None:
            self._a[:, :, self.rank + 1] = bias

    def bind(self, first: int, drawn: Drawn, scale: float) -> None:
        """Take over the noise of the drawn pairs."""
        window = slice(first, first + drawn.count)
        if self._weight:
            a, b = drawn.factors(self._weight.noise)
            write_signed(self._a[window, :, : self.rank], a.transpose(1, 2), scale / math.sqrt(self.rank))
            self._b[window] = self._arrange(b.transpose(1, 2))
        if self._bias:
            write_signed(self._a[window, :, self.rank], drawn.dense(self._bias.noise), scale)

    def a(self) -> Tensor:
        """`[members, rank + 2, outputs]` of the pass that is running: factors, bias noise, bias."""
        slots = self._slots
        return self._a[slots.first : slots.first + slots.count].flatten(0, 1)

    def b(self) -> Tensor:
        """`[slots, rank, inputs]`, or as arranged, of the pass that is running."""
        return self._b[self._slots.first : self._slots.first + self._slots.count]

    def with_ones(self, low: Tensor) -> Tensor:
        """`[..., rank]` -> `[..., rank + 2]`: the factors of 1 for the bias and its noise."""
        return torch.nn.functional.pad(low, (0, 2), value=1.0)


def write_signed(out: Tensor, values: Tensor, scale: float) -> None:
    """``out[:, 0] = values * scale`` and, if there are two signs, ``out[:, 1] = -out[:, 0]``."""
    torch.mul(values, scale, out=out[:, 0]) if out.dtype == values.dtype else out[:, 0].copy_(values * scale)
    if out.shape[1] == 2:
        torch.neg(out[:, 0], out=out[:, 1])


class Kept:
    """A result for shared inputs, kept while the very same inputs come again."""

    def __init__(self) -> None:
        self._inputs: Tensor | None = None
        self._version = 0
        self._result: Tensor | None = None

    def look_up(self, x: Tensor) -> Tensor | None:
        """What was computed for this tensor, or for another view of the same values."""
        kept = self._inputs
        if kept is None or kept.data_ptr() != x.data_ptr() or kept.dtype != x.dtype:
            return None
        same = kept.shape == x.shape and kept.stride() == x.stride() and self._version == x._version
        return self._result if same else None

    def keep(self, x: Tensor, result: Tensor) -> None:
        """Remember; holding the inputs keeps their memory from being used again."""
        self._inputs, self._version, self._result = x, x._version, result

    def forget(self) -> None:
        """Let go of inputs and result."""
        self._inputs = self._result = None
