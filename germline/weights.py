"""From a genome to weights: ``init(seed) + sum over mutations, in order, of power * noise``.

Weights live in one flat float32 vector per network, so that a population is a preallocated matrix and a child
is written in place: its cached parent plus one noise pass. Every operation is one that IEEE-754 fixes, on a
fixed order of mutations, so a genome is the same network on every machine.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from germline import noise_torch
from germline.genome import Genome, Mutation
from germline.low_rank import Drawn, low_rank_step
from germline.noise import stream_id
from germline.pairs import NoiseKey, ParameterNoise


@runtime_checkable
class PublishesInit(Protocol):
    """A module that states its own published initialisation."""

    def germline_init(self, name: str) -> tuple[float, float]:
        """Mean and standard deviation of the parameter with this name at initialisation."""
        ...


@dataclass(frozen=True, slots=True)
class Parameter:
    """Where one parameter lives in the flat vector, and how it starts."""

    name: str
    shape: tuple[int, ...]
    offset: int
    init_mean: float
    init_std: float

    @property
    def size(self) -> int:
        """How many weights the parameter has."""
        return math.prod(self.shape)

    def view(self, flat: Tensor) -> Tensor:
        """The parameter's part of a flat vector, `[size]`."""
        return flat[self.offset : self.offset + self.size]


@dataclass(frozen=True, slots=True)
class Layout:
    """The parameters of a module in its own order, side by side in one flat vector of `size` weights."""

    parameters: tuple[Parameter, ...]
    size: int

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """Lay a module's trainable parameters out.

        Raises:
            ValueError: if it has none, or one that is not floating point.
        """
        parameters: list[Parameter] = []
        offset = 0
        for name, tensor in module.named_parameters():
            if not tensor.requires_grad:
                continue
            if not tensor.is_floating_point():
                raise ValueError(
                    f"policy parameter {name} has type {tensor.dtype}; weights are floating point"
                )
            mean, std = _init_of(module, name)
            parameters.append(Parameter(name, tuple(tensor.shape), offset, mean, std))
            offset += tensor.numel()
        if not parameters:
            raise ValueError(
                f"policy {type(module).__name__} has no trainable parameters; there is nothing to evolve"
            )
        return cls(tuple(parameters), offset)

    def named_views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parameters of one network as views of its flat vector."""
        return {p.name: p.view(flat).view(p.shape) for p in self.parameters}


def _init_of(module: nn.Module, name: str) -> tuple[float, float]:
    """Mean and standard deviation: the module's published ones, else those of torch's own defaults."""
    if isinstance(module, PublishesInit):
        return module.germline_init(name)
    owner = module.get_submodule(name.rpartition(".")[0])
    weight = getattr(owner, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim < 2:  # norm layers: gain 1, bias 0
        return (1.0 if name.endswith("weight") else 0.0), 0.0
    if isinstance(owner, nn.Embedding):
        return 0.0, 1.0
    fan_in = math.prod(weight.shape[1:])
    return 0.0, 1.0 / math.sqrt(3 * fan_in)  # that of uniform(-1/sqrt(fan_in), 1/sqrt(fan_in))


def rebuild(genome: Genome, layout: Layout, out: Tensor) -> None:
    """Write a genome's weights into `out`, `[layout.size]` float32: one noise pass per mutation."""
    initialise(genome.init_seed, layout, out)
    for mutation in genome.mutations:
        mutate(out, out, mutation, layout)


def initialise(init_seed: int, layout: Layout, out: Tensor) -> None:
    """Write a founder's weights, ``mean + std * noise``, into `out`, `[layout.size]` float32."""
    for parameter in layout.parameters:
        view = parameter.view(out).fill_(parameter.init_mean)
        if parameter.init_std:
            noise_torch.add_scaled(view, view, parameter.init_std, init_seed, stream_id(parameter.name))


def mutate(out: Tensor, base: Tensor, mutation: Mutation, layout: Layout) -> None:
    """``out = base + power * noise``, both `[layout.size]` float32; `out` may be `base`."""
    drawn = Drawn(NoiseKey(mutation.seed), 1, out.device)
    for parameter in layout.parameters:
        target, source = parameter.view(out), parameter.view(base)
        if mutation.rank and len(parameter.shape) >= 2:
            factors = drawn.factors(_low_rank_noise(parameter.name, parameter.shape, mutation.rank))
            torch.add(source, low_rank_step(*factors, mutation.power)[0], out=target)
        else:
            noise_torch.add_scaled(target, source, mutation.power, mutation.seed, stream_id(parameter.name))


_low_rank_noise = cache(ParameterNoise.of)  # asked for with every mutation


def digest(flat: Tensor) -> str:
    """A short digest of weights, `[n]` float32: equal bits, equal digest, on every machine."""
    raw = flat.detach().cpu().contiguous().numpy().astype("<f4").tobytes()
    return hashlib.blake2b(raw, digest_size=8).hexdigest()
