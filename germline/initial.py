"""How a network's parameters start: as its own constructor would draw them, but from seeds.

Torch's generator gives other values on other machines, so a constructor is watched (:mod:`germline.chance`):
what it draws by a law is drawn again from the project's noise, what it sets without chance starts as it is,
and what it computes from chance must be stated by the module.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from germline.chance import Watch
from germline.laws import Lawless, Start
from germline.noise import stream_id

Starts: TypeAlias = dict[str, Start | Lawless]

_FIXED_SEED = 0  # of what is drawn once for everybody: frozen parameters and buffers
_STARTS = "_germline_starts"  # where a module that was watched keeps them
_UNWATCHED = "was drawn while nobody watched its constructor"


def watched(make: Callable[[], nn.Module]) -> nn.Module:
    """Build a module, and remember on it how its parameters start.

    Frozen parameters and buffers that the constructor draws are drawn from noise of their names: the same for
    every individual on every machine.

    Raises:
        ValueError: if something fixed has no law, parameters share memory without being the same one, or
            something has no values, or complex ones.
    """
    with Watch() as watch:
        module = make()
    parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    _check(
        {f"parameter {n}": p for n, p in parameters.items()} | {f"buffer {n}": b for n, b in buffers.items()}
    )
    _expect_apart(parameters)
    setattr(module, _STARTS, {name: watch.start_of(parameter) for name, parameter in parameters.items()})
    for name, parameter in parameters.items():
        if not parameter.requires_grad:
            _fix("parameter", name, parameter, watch.start_of(parameter))
    for name, buffer in buffers.items():
        if buffer.layout is torch.strided:
            _fix("buffer", name, buffer, watch.start_of(buffer))
    return module


def starts_of(module: nn.Module) -> Starts:
    """How a module's parameters start: as it was watched; else as the resets of its layers of torch say."""
    known: Starts | None = getattr(module, _STARTS, None)
    return _by_resets(module) if known is None else known


def _check(tensors: dict[str, Tensor]) -> None:
    for what, tensor in tensors.items():
        if is_lazy(tensor) or tensor.is_meta:
            raise ValueError(f"{what} has no values yet: it is lazy, or on the device meta")
        if tensor.is_complex():
            raise ValueError(f"{what} has type {tensor.dtype}; weights are floating point")


def _expect_apart(parameters: dict[str, nn.Parameter]) -> None:
    """Two parameters in one memory would be two in a genome, and one in the network."""
    owners: dict[int, str] = {}
    for name, parameter in parameters.items():
        other = owners.setdefault(parameter.data_ptr(), name)
        if other != name and parameter.numel():
            raise ValueError(
                f"parameters {other} and {name} share memory; to tie them, make them one nn.Parameter"
            )


@torch.no_grad()
def _fix(kind: str, name: str, tensor: Tensor, start: Start | Lawless) -> None:
    """Draw what is the same for everybody."""
    if isinstance(start, Lawless):
        raise ValueError(
            f"{kind} {name} does not evolve and {start.reason}, which no seed repeats on every machine; "
            f"make it without chance, or by uniform_ or normal_ alone"
        )
    if start.law is not None:
        drawn = torch.empty(tensor.numel())
        start.write(drawn, _FIXED_SEED, stream_id(name))
        tensor.copy_(drawn.view(tensor.shape))


def _by_resets(module: nn.Module) -> Starts:
    """What the resets of torch's layers draw, and whoever holds them draws over it."""
    twin = copy.deepcopy(module)
    with torch.random.fork_rng(devices=[]), Watch() as watch:
        for parameter in twin.parameters():
            if parameter.numel() and not bool((parameter == parameter.flatten()[0]).all()):
                watch.distrust(parameter, _UNWATCHED)
        twin.apply(_reset)
    return {name: watch.start_of(parameter) for name, parameter in twin.named_parameters()}


def _reset(layer: nn.Module) -> None:
    reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
    if reset is not None and reset.__module__.startswith("torch.nn."):
        reset()
