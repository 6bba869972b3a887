"""The joint between a population and its forward pass."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.tasks.base import Observations

Outputs = npt.NDArray[np.float32] | npt.NDArray[np.int32] | npt.NDArray[np.int64]
"""Of networks of integers the sums themselves, which may be too large for float32."""

ActiveRows = npt.NDArray[np.bool_]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}


class Forward(Protocol):
    """Holds the inference copies of `slots` networks and feeds each its own `rows` observations.

    What a row gets depends on its network and its observation alone, not on the rows or slots beside it.
    """

    def load(self, slot: int, weights: Tensor) -> None:
        """Take the weights of a slot, `[size]` float32 in the layout's order."""
        ...

    def begin(self, slot: int, row: int) -> None:
        """An episode begins: forget the last one. Nothing to do for networks that remember nothing."""
        return

    def __call__(self, observations: Observations, active: ActiveRows) -> Outputs:
        """Outputs of the active rows.

        Args:
            observations: `[slots, rows, *shape]`.
            active: `[slots, rows]`; other rows are left out, or computed in vain.

        Returns:
            `[slots, rows, outputs]`; rows that are not active hold anything finite.
        """
        ...
