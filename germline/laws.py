"""How a tensor starts: by a law that seeds can draw, as it was made without chance, or by no law at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from germline import noise, noise_torch


class Law(NamedTuple):
    """A distribution: ``mean + spread * noise``; the noise is standard normal, or uniform from -1 to 1."""

    mean: float
    spread: float
    is_uniform: bool = False

    def moved(self, scale: float, shift: float) -> Law:
        """The law of ``scale * value + shift``."""
        return Law(self.mean * scale + shift, self.spread * abs(scale), self.is_uniform)

    def write(self, out: Tensor, seed: int, stream: int) -> None:
        """Draw `out`, `[n]` float32: one multiplication and one addition, the same bits everywhere."""
        out.fill_(self.mean)
        if self.spread:
            table = noise.uniform_values if self.is_uniform else noise.table_values
            noise_torch.add_scaled(out, out, self.spread, seed, stream, table)


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """How a tensor starts.

    Attributes:
        law: of what chance decides; None if it decides nothing.
        given: values that chance does not decide, `[n]` float32; None if it decides them all.
        is_given: `[n]`, where `given` holds; None for everywhere.
    """

    law: Law | None
    given: Tensor | None = None
    is_given: Tensor | None = None

    def is_like(self, other: Start) -> bool:
        """Whether another start is the same, but for what chance decides."""
        return self.law == other.law and torch.equal(self._fixed(), other._fixed())

    def _fixed(self) -> Tensor:
        """What chance does not decide."""
        if self.given is None:
            return torch.empty(0)
        return self.given if self.is_given is None else self.given.where(self.is_given, 0.0)

    def write(self, out: Tensor, seed: int, stream: int) -> None:
        """Write a founder's values into `out`, `[n]` float32."""
        if self.law is not None:
            self.law.write(out, seed, stream)
        if self.given is not None:
            given = self.given.to(out.device)
            out.copy_(
                given if self.is_given is None else torch.where(self.is_given.to(out.device), given, out)
            )


class Lawless(NamedTuple):
    """How a tensor starts that no seed could make again; `reason` goes on from its name."""

    reason: str
