"""What recurrent policies remember of the episodes that they play."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.networks.policies.recurrent import Recurrent


class Memory:
    """A state for each slot, with a row for each of its episodes."""

    def __init__(self, networks: Sequence[Recurrent], dtype: torch.dtype, device: torch.device) -> None:
        """Remember nothing of `networks`, one for each slot, whose states live on the device in this type."""
        self._networks, self._dtype, self._device = networks, dtype, device
        self._states: list[Tensor | None] = [None for _ in networks]
        self._begun: list[list[int]] = [[] for _ in networks]

    def forget(self, slot: int) -> None:
        """Another network is in this slot now."""
        self._states[slot] = None

    def begin(self, slot: int, row: int) -> None:
        """An episode begins."""
        self._begun[slot].append(row)

    def step(self, slot: int, observations: Tensor) -> Tensor:
        """Answer a slot's observations, `[rows, *shape]`, by what it remembers, and remember more."""
        answers, self._states[slot] = self._networks[slot](
            observations, self._recall(slot, len(observations))
        )
        return answers

    def _recall(self, slot: int, rows: int) -> Tensor:
        state, begun = self._states[slot], self._begun[slot]
        if state is None or begun:
            fresh = self._networks[slot].initial_state(rows).to(self._device)
            fresh = fresh.to(self._dtype) if fresh.is_floating_point() else fresh
            if state is not None:
                places = torch.tensor(begun, device=self._device)
                fresh = state.index_copy(0, places, fresh.index_select(0, places))
            state = fresh
            begun.clear()
        return state
