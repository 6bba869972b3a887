"""Noise of a seed for one tensor or many, written out, and the gradient that rewards make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from germline.compat.population import run_seed
from germline.compat.weighing import Spread, standardised
from germline.low_rank import Drawn, low_rank_step
from germline.pairs import NoiseKey, ParameterNoise

SPREAD = Spread(floor=1e-8)
EVEN = "pop_size must be even with antithetic sampling, where each noise has two members"
_NAME = "torcheggroll"


def generate_lora_noise(
    param: Tensor, rank: int, sigma: float, seed: int, device: torch.device | str
) -> Tensor:
    """Low-rank noise of a matrix: ``sigma / sqrt(r) * A B^T``, in its shape and type.

    Args:
        param: `[out, in]`.
        rank: of the noise; never more than the smaller side.
        sigma: its standard deviation.
        seed: the same noise for the same seed, on every device.
        device: where it will be.

    Raises:
        ValueError: if `param` is no matrix.
    """
    shape = _matrix(tuple(param.shape))
    return _lora(shape, rank, sigma, NoiseKey(run_seed(seed)), 1, device, param.dtype)[0]


def generate_standard_noise(param: Tensor, sigma: float, seed: int, device: torch.device | str) -> Tensor:
    """Noise of any tensor, each value for itself, in its shape and type; see :func:`generate_lora_noise`."""
    return _standard(tuple(param.shape), sigma, NoiseKey(run_seed(seed)), 1, device, param.dtype)[0]


def generate_lora_noise_batched(
    shape: Sequence[int],
    rank: int,
    sigma: float,
    pop_size: int,
    seeds: Tensor | Sequence[int] | None,
    device: torch.device | str,
    dtype: torch.dtype,
    fast: bool = False,
) -> Tensor:
    """`[pop_size, out, in]`: the noise of :func:`generate_lora_noise` for each seed.

    `fast` changes nothing but that `seeds` may be None: then they are 0, 1, 2 ...
    """
    matrix = _matrix(tuple(shape))
    each = [
        _lora(matrix, rank, sigma, NoiseKey(run_seed(seed)), 1, device, dtype)
        for seed in _seeds(seeds, pop_size, fast)
    ]
    return torch.cat(each)


def generate_standard_noise_batched(
    shape: Sequence[int],
    sigma: float,
    pop_size: int,
    seeds: Tensor | Sequence[int] | None,
    device: torch.device | str,
    dtype: torch.dtype,
    fast: bool = False,
) -> Tensor:
    """`[pop_size, *shape]`: the noise of :func:`generate_standard_noise` for each seed; `fast` as above."""
    each = [
        _standard(tuple(shape), sigma, NoiseKey(run_seed(seed)), 1, device, dtype)
        for seed in _seeds(seeds, pop_size, fast)
    ]
    return torch.cat(each)


def generate_noise_for_shapes(
    shapes: Mapping[str, Sequence[int]],
    ranks: Mapping[str, int | None],
    pop_size: int,
    sigma: float,
    epoch: int,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
    antithetic: bool = True,
    *,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Noise of a whole population for tensors that are in no module.

    Args:
        shapes: of the tensors, by name.
        ranks: of a matrix's noise; None, or no entry, is for noise of each value for itself.
        pop_size: members.
        sigma: standard deviation of the noise.
        epoch: another epoch has other noise.
        device: where it will be.
        dtype: its type.
        antithetic: whether the second half of the members has the noise of the first, negated.
        seed: another run has other noise.

    Returns:
        `[pop_size, *shape]` by name; a function of (seed, epoch, name, member) alone.

    Raises:
        ValueError: if antithetic members are an odd number.
    """
    if antithetic and pop_size % 2:
        raise ValueError(f"{EVEN}; it is {pop_size}")
    key, count = NoiseKey(run_seed(seed), epoch), pop_size // 2 if antithetic else pop_size
    noise: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        rank = ranks.get(name)
        if len(shape) == 2 and rank is not None:
            one = _lora(_matrix(tuple(shape)), rank, sigma, key, count, device, dtype, name)
        else:
            one = _standard(tuple(shape), sigma, key, count, device, dtype, name)
        noise[name] = torch.cat((one, -one)) if antithetic else one
    return noise


def compute_es_gradient(
    noise: Mapping[str, Tensor], rewards: Tensor, normalize_fitness: bool = True
) -> dict[str, Tensor]:
    """``sqrt(N) * mean(z * noise)`` by name, uphill; z is the rewards, standardised or only centred.

    Args:
        noise: `[N, *shape]` by name.
        rewards: `[N]`, higher is better; a member without a finite one counts for nothing.
        normalize_fitness: whether to divide by the unbiased standard deviation, if it is above 1e-8.

    Raises:
        ValueError: if a tensor of noise has another number of members.
    """
    fitness = rewards.detach().double().cpu().reshape(-1).numpy()
    for name, values in noise.items():
        if len(values) != fitness.size:
            raise ValueError(f"noise {name} is of {len(values)} members; there are {fitness.size} rewards")
    alive = np.isfinite(fitness)
    z = standardised(fitness, alive, SPREAD if normalize_fitness else None)
    factor = torch.from_numpy(z / np.sqrt(max(int(alive.sum()), 1)))
    return {
        name: torch.tensordot(factor.to(values.device, values.dtype), values, dims=1)
        for name, values in noise.items()
    }


def _lora(
    shape: tuple[int, int], rank: int, sigma: float, key: NoiseKey, count: int,
    device: torch.device | str, dtype: torch.dtype, name: str = _NAME,
) -> Tensor:  # fmt: skip
    """`[count, out, in]` of neighbouring pairs."""
    if rank < 1:
        raise ValueError(f"rank is {rank}; allowed: at least 1")
    noise = ParameterNoise.of(name, shape, min(rank, *shape))
    a, b = Drawn(key, count, torch.device(device)).factors(noise)
    return low_rank_step(a, b, sigma).view(count, *shape).to(dtype)


def _standard(
    shape: tuple[int, ...], sigma: float, key: NoiseKey, count: int,
    device: torch.device | str, dtype: torch.dtype, name: str = _NAME,
) -> Tensor:  # fmt: skip
    noise = ParameterNoise.of(name, (int(np.prod(shape)),), 1)
    values = Drawn(key, count, torch.device(device)).dense(noise)
    return (values * sigma).reshape(count, *shape).to(dtype)


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2:
        raise ValueError(f"a tensor of shape {shape} is no matrix: low-rank noise has two dimensions")
    return shape[0], shape[1]


def _seeds(seeds: Tensor | Sequence[int] | None, count: int, fast: bool) -> Sequence[int]:
    if seeds is None:
        if not fast:
            raise ValueError("seeds required when fast=False; allowed: one for each member")
        return range(count)
    listed = [int(seed) for seed in seeds]
    if len(listed) < count:
        raise ValueError(f"{len(listed)} seeds for {count} members; allowed: one for each")
    return listed[:count]
