"""Policies that remember: they are given what they remember of an episode, and give back what they will."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Recurrent(Protocol):
    """A policy with a memory. It keeps nothing itself: each episode's memory is a row of a tensor.

    A row's answer and its next state depend on that row alone.
    """

    def initial_state(self, rows: int) -> Tensor:
        """What an episode begins with, the same for each of them: `[rows, ...]`."""
        ...

    def __call__(self, observations: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Answers, `[rows, outputs]`, and the next state, of the same shape and type as the last one."""
        ...
