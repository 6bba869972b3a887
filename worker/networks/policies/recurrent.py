"""Policies that remember: they are given what they remember of an episode, and give back what they will."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn


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


class Unrolled(nn.Module):
    """A policy that remembers as one that sees whole episodes: `[rows, steps, *shape]` -> `[rows, n]`."""

    def __init__(self, network: nn.Module) -> None:
        """Unroll this network."""
        super().__init__()
        self.network = network

    def forward(self, episodes: Tensor) -> Tensor:
        """All answers of each episode, side by side."""
        network, answers = cast(Recurrent, self.network), []
        state = network.initial_state(len(episodes))
        for step in range(episodes.shape[1]):
            answer, state = network(episodes[:, step], state)
            answers.append(answer)
        return torch.cat(answers, dim=1)
