"""How an estimate moves the centre: ascent, in single IEEE operations on float64: equal bits everywhere.

No fused operation, no power function, no reduction. The centre is float32; every step computes in float64 and
rounds once. Weight decay as in torch: added to the gradient, except for AdamW, which shrinks the weights.
Estimates point uphill, so signs are those of ascent.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from germline.eggroll.schedules import power


@dataclass(slots=True)
class Moments:
    """What an optimiser remembers: how many steps it made, and vectors of float64."""

    steps: int = 0
    vectors: dict[str, Tensor] = field(default_factory=dict)

    def vector(self, name: str, like: Tensor) -> Tensor:
        """A remembered vector, zeros at first."""
        if name not in self.vectors:
            self.vectors[name] = torch.zeros_like(like)
        return self.vectors[name]


class Optimiser(Protocol):
    """Turns estimates into steps. Its fields are its settings; all that it remembers is in Moments."""

    def step(self, centre: Tensor, gradient: Tensor, moments: Moments, learning_rate: float) -> Tensor:
        """The next centre.

        Args:
            centre: `[n]` float64.
            gradient: `[n]` float64, uphill; may be overwritten.
            moments: what the optimiser remembers, changed in place.
            learning_rate: this epoch's.

        Returns:
            `[n]` float64.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sgd:
    """Plain ascent, or with a velocity: ``v = momentum * v + gradient``."""

    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be, by name."""
        _check_share("momentum", self.momentum)
        _check_size("weight_decay", self.weight_decay)

    def step(self, centre: Tensor, gradient: Tensor, moments: Moments, learning_rate: float) -> Tensor:
        """``centre + learning_rate * v``."""
        gradient = _with_decay(gradient, centre, self.weight_decay)
        moments.steps += 1
        if self.momentum:
            gradient = moments.vector("velocity", centre).mul_(self.momentum).add_(gradient)
        return centre + gradient * learning_rate


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1); `decoupled`: AdamW (Loshchilov and Hutter 2019)."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be, by name."""
        _check_share("beta1", self.beta1)
        _check_share("beta2", self.beta2)
        _check_size("epsilon", self.epsilon)
        _check_size("weight_decay", self.weight_decay)

    def step(self, centre: Tensor, gradient: Tensor, moments: Moments, learning_rate: float) -> Tensor:
        """``centre + learning_rate * m_hat / (sqrt(v_hat) + epsilon)``."""
        if self.decoupled:
            centre = centre * (1.0 - learning_rate * self.weight_decay)
        else:
            gradient = _with_decay(gradient, centre, self.weight_decay)
        moments.steps += 1
        m, v = moments.vector("m", centre), moments.vector("v", centre)
        m.mul_(self.beta1).add_(gradient * (1.0 - self.beta1))
        v.mul_(self.beta2).add_((gradient * gradient).mul_(1.0 - self.beta2))
        m_hat = m / (1.0 - power(self.beta1, moments.steps))
        v_hat = v / (1.0 - power(self.beta2, moments.steps))
        return centre + m_hat.div_(v_hat.sqrt_().add_(self.epsilon)).mul_(learning_rate)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} is {value}; allowed: 0 to less than 1")


def _check_size(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}; allowed: finite, 0 or more")


def _with_decay(gradient: Tensor, centre: Tensor, weight_decay: float) -> Tensor:
    return gradient - centre * weight_decay if weight_decay else gradient


OPTIMISERS = ("sgd", "momentum", "adam", "adamw")


def optimiser(name: str, momentum: float = 0.9, weight_decay: float = 0.0) -> Sgd | Adam:
    """The optimiser that a name in a spec means; `momentum` is for ``momentum`` only.

    Raises:
        ValueError: if there is none of this name.
    """
    if name in ("sgd", "momentum"):
        return Sgd(momentum if name == "momentum" else 0.0, weight_decay)
    if name in ("adam", "adamw"):
        return Adam(weight_decay=weight_decay, decoupled=name == "adamw")
    raise ValueError(f"optimiser is {name!r}; known are {', '.join(OPTIMISERS)}")


def settings_of(chosen: object) -> dict[str, float | bool | str]:
    """An optimiser's kind and settings, for a checkpoint."""
    if not isinstance(chosen, Sgd | Adam):
        return {"kind": type(chosen).__name__}
    return {"kind": type(chosen).__name__, **asdict(chosen)}
