"""From a genome to weights: ``init(seed) + sum over mutations, in order, of power * noise``.

Weights live in one flat float32 vector per network, so that a population is a preallocated matrix and a child
is written in place: its cached parent plus one noise pass. Every operation is one that IEEE-754 fixes, on a
fixed order of mutations, so a genome is the same network on every machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from germline import noise_torch
from germline.genome import Genome, Mutation
from germline.initial import starts_of
from germline.laws import Law, Lawless, Start
from germline.low_rank import Drawn, low_rank_step
from germline.noise import stream_id
from germline.pairs import NoiseKey, ParameterNoise

_STORED = "_germline_stored_start"  # where a module keeps its only founder's seed and weights


@runtime_checkable
class PublishesInit(Protocol):
    """A module that states how its parameters start."""

    def germline_init(self, name: str) -> tuple[float, float] | None:
        """Mean and standard deviation of this parameter's normal start; None: as the constructor says."""
        ...


@dataclass(frozen=True, slots=True)
class Parameter:
    """Where one parameter lives in the flat vector, and how it starts."""

    name: str
    shape: tuple[int, ...]
    offset: int
    start: Start = field(compare=False)

    @property
    def size(self) -> int:
        """How many weights the parameter has."""
        return math.prod(self.shape)

    def view(self, flat: Tensor) -> Tensor:
        """The parameter's part of a flat vector, `[size]`."""
        return flat[self.offset : self.offset + self.size]


@dataclass(frozen=True, slots=True)
class Layout:
    """The parameters of a module in its own order, side by side in one flat vector of `size` weights.

    Attributes:
        parameters: in their order.
        size: of all of them together.
        only_founder: the one initialisation seed that means anything here, where founders are not drawn from
            seeds but start with stored weights; None where any seed does.
    """

    parameters: tuple[Parameter, ...]
    size: int
    only_founder: int | None = None

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """Lay a module's trainable parameters out.

        Raises:
            ValueError: if it has none, or one that is not floating point or that no seed could start again.
        """
        evolved = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad}
        for name, tensor in evolved.items():
            if not tensor.is_floating_point():
                raise ValueError(
                    f"policy parameter {name} has type {tensor.dtype}; weights are floating point"
                )
        parameters: list[Parameter] = []
        offset = 0
        for name, start in _starts(module, list(evolved)).items():
            parameters.append(Parameter(name, tuple(evolved[name].shape), offset, start))
            offset += evolved[name].numel()
        if not parameters:
            raise ValueError(
                f"policy {type(module).__name__} has no trainable parameters; there is nothing to evolve"
            )
        stored = getattr(module, _STORED, None)
        return cls(tuple(parameters), offset, None if stored is None else stored[0])

    @torch.no_grad()
    def write(self, flat: Tensor, module: nn.Module) -> None:
        """Copy one network's flat vector into a module's parameters, in place."""
        for name, view in self.named_views(flat).items():
            module.get_parameter(name).copy_(view)

    def named_views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parameters of one network as views of its flat vector."""
        return {p.name: p.view(flat).view(p.shape) for p in self.parameters}


def start_from(module: nn.Module, founder: int, tensors: Mapping[str, Tensor]) -> None:
    """Let every line of a module start from these weights, under this initialisation seed and no other.

    Raises:
        ValueError: a parameter is missing, or has another shape.
    """
    layout = Layout.of(module)
    for parameter in layout.parameters:
        found = tuple(tensors[parameter.name].shape) if parameter.name in tensors else "missing"
        if found != parameter.shape:
            raise ValueError(f"parameter {parameter.name} is {found}; this network's is {parameter.shape}")
    values = {each.name: tensors[each.name].flatten().to(torch.float32) for each in layout.parameters}
    setattr(module, _STORED, (founder, values))


def _starts(module: nn.Module, names: list[str]) -> dict[str, Start]:
    """How these parameters start: as stored, as a module states it, or as they were made."""
    if (stored := getattr(module, _STORED, None)) is not None:
        return {name: Start(None, stored[1][name]) for name in names}
    stated = {name: _stated(module, name) for name in names}
    made = starts_of(module) if None in stated.values() else {}
    return {n: Start(Law(*law)) if law else _repeatable(module, n, made[n]) for n, law in stated.items()}


def _stated(module: nn.Module, name: str) -> tuple[float, float] | None:
    """What the outermost module states that has something to say about a parameter."""
    owner, rest = module, name
    while True:
        stated = owner.germline_init(rest) if isinstance(owner, PublishesInit) else None
        child, dot, below = rest.partition(".")
        if stated is not None or not dot:
            return stated
        owner, rest = owner.get_submodule(child), below


def _repeatable(module: nn.Module, name: str, made: Start | Lawless) -> Start:
    """A start that seeds can repeat.

    Published genomes draw torch's default of linear layers and convolutions, which is uniform, by normal
    noise that is as widely spread; so do all others.
    """
    if isinstance(made, Lawless):
        raise ValueError(
            f"parameter {name} {made.reason}, which no seed repeats on every machine; let the module "
            f"state how it starts: germline_init(name) -> (mean, standard deviation)"
        )
    owner, law = module.get_submodule(name.rpartition(".")[0]), made.law
    if not isinstance(owner, nn.Linear | _ConvNd) or law is None or not law.is_uniform or law.mean:
        return made
    fan_in = math.prod(owner.weight.shape[1:])
    is_default = math.isclose(law.spread, 1 / math.sqrt(fan_in), rel_tol=1e-9)
    return replace(made, law=Law(0.0, 1.0 / math.sqrt(3 * fan_in))) if is_default else made


def rebuild(genome: Genome, layout: Layout, out: Tensor) -> None:
    """Write a genome's weights into `out`, `[layout.size]` float32: one noise pass per mutation."""
    initialise(genome.init_seed, layout, out)
    for mutation in genome.mutations:
        mutate(out, out, mutation, layout)


def initialise(init_seed: int, layout: Layout, out: Tensor) -> None:
    """Write a founder's weights into `out`, `[layout.size]` float32.

    Raises:
        ValueError: founders start with stored weights here, and this is another one's seed.
    """
    if layout.only_founder not in (None, init_seed):
        raise ValueError(f"init_seed is {init_seed}; allowed: {layout.only_founder}, of the stored weights")
    for parameter in layout.parameters:
        parameter.start.write(parameter.view(out), init_seed, stream_id(parameter.name))


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
