"""What evolves: the parameters of a module that are searched, side by side in one flat float32 vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from germline.pairs import ParameterNoise

Freeze = Iterable[str] | Callable[[str, Tensor], bool]


@dataclass(frozen=True, slots=True)
class Evolved:
    """One evolved parameter: where it lives in the flat vector, and its noise."""

    noise: ParameterNoise
    offset: int

    @property
    def name(self) -> str:
        """Its name in the module."""
        return self.noise.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in the module."""
        return self.noise.shape

    @property
    def size(self) -> int:
        """How many weights it has."""
        return math.prod(self.shape)

    def view(self, flat: Tensor) -> Tensor:
        """Its part of a flat vector, in its shape; `[..., size of all]` -> `[..., *shape]`."""
        return torch.unflatten(flat[..., self.offset : self.offset + self.size], -1, self.shape or (1,))


@dataclass(frozen=True, slots=True)
class Space:
    """The evolved parameters of a module, in the module's own order."""

    parameters: tuple[Evolved, ...]
    size: int
    rank: int

    @classmethod
    def of(cls, module: nn.Module, rank: int = 1, freeze: Freeze = (), *, clip_rank: bool = False) -> Space:
        """Choose what evolves: everything that requires a gradient and is not frozen.

        Args:
            module: the network.
            rank: of the noise on matrices.
            freeze: names, or patterns such as ``embedding.*``; or a function of (name, parameter).
            clip_rank: whether a matrix's noise has no higher rank than the matrix itself.

        Raises:
            ValueError: if nothing is left to evolve, a name fits nothing, or a parameter is no float, or has
                no values yet.
        """
        if rank < 1:
            raise ValueError(f"rank is {rank}; allowed: at least 1")
        named = {n: p for n, p in module.named_parameters() if p.requires_grad}
        frozen = _frozen(named, freeze)
        evolved: list[Evolved] = []
        offset = 0
        for name, parameter in named.items():
            if name in frozen:
                continue
            if not parameter.is_floating_point():
                raise ValueError(f"parameter {name} has type {parameter.dtype}; only floating point evolves")
            if parameter.is_meta or is_lazy(parameter):
                raise ValueError(f"parameter {name} has no values yet: it is lazy, or on the device meta")
            shape = tuple(parameter.shape)
            own = min(rank, shape[0], math.prod(shape[1:])) if clip_rank and len(shape) > 1 else rank
            evolved.append(Evolved(ParameterNoise.of(name, shape, own), offset))
            offset += parameter.numel()
        if not evolved:
            raise ValueError(
                f"{type(module).__name__} has no parameters to evolve: {len(named)} require a gradient, "
                f"{len(frozen)} of them frozen"
            )
        return cls(tuple(evolved), offset, rank)

    def __iter__(self) -> Iterator[Evolved]:
        return iter(self.parameters)

    @property
    def values_per_pair(self) -> int:
        """How many values of noise a pair draws."""
        return sum(p.noise.values_per_pair for p in self.parameters)

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parameters as views of a flat vector, or of a stack of them."""
        return {p.name: p.view(flat).reshape((*flat.shape[:-1], *p.shape)) for p in self.parameters}

    @torch.no_grad()
    def read(self, module: nn.Module) -> Tensor:
        """The module's evolved parameters, `[size]` float32, on the module's device."""
        named = dict(module.named_parameters())
        return torch.cat([named[p.name].detach().to(torch.float32).flatten() for p in self.parameters])

    @torch.no_grad()
    def write(self, flat: Tensor, module: nn.Module) -> None:
        """Copy a flat vector, `[size]`, into the module's parameters, in place."""
        named = dict(module.named_parameters())
        for p in self.parameters:
            named[p.name].copy_(p.view(flat).view(p.shape))


def _frozen(named: dict[str, nn.Parameter], freeze: Freeze) -> set[str]:
    """The names that `freeze` means."""
    if callable(freeze):
        return {name for name, parameter in named.items() if freeze(name, parameter)}
    patterns = (freeze,) if isinstance(freeze, str) else tuple(freeze)
    frozen: set[str] = set()
    for pattern in patterns:
        fitting = {name for name in named if name == pattern or fnmatchcase(name, pattern)}
        if not fitting:
            raise ValueError(f"freeze names {pattern!r}, which fits none of {', '.join(named)}")
        frozen |= fitting
    return frozen
