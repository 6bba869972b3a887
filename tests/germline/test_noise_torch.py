"""The torch twins of the noise equal the numpy reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from germline import noise, noise_torch

CPU = torch.device("cpu")
uint64 = st.integers(0, 2**64 - 1)
windows = st.tuples(st.integers(0, 2**50), st.integers(1, 300))


def _power_times_noise(power: float, seed: int, stream: int, count: int) -> np.ndarray:
    """The reference arithmetic, spelled out: one float32 product per value."""
    return np.float32(power) * noise.draw(seed, stream, 0, count)


@given(seed=uint64, stream=uint64, epoch=uint64, window=windows)
def test_integer_torch_philox_selects_the_lanes_of_the_reference(
    seed: int, stream: int, epoch: int, window: tuple[int, int]
) -> None:
    lanes = noise_torch.lanes(seed, stream, *window, epoch, CPU)
    assert np.array_equal(lanes.numpy(), noise.lanes(seed, stream, *window, epoch))


def test_integer_torch_philox_wraps_where_the_block_counter_ends() -> None:
    start = (2**60 - 1) * noise.LANES_PER_BLOCK
    lanes = noise_torch.lanes(2**64 - 1, 2**63, start, 16, 2**64 - 1, CPU)
    assert np.array_equal(lanes.numpy(), noise.lanes(2**64 - 1, 2**63, start, 16, 2**64 - 1))


@given(seed=uint64, epoch=uint64, window=windows)
def test_a_drawn_tensor_equals_the_reference(seed: int, epoch: int, window: tuple[int, int]) -> None:
    stream = noise.stream_id("layer.weight")
    drawn = noise_torch.draw(seed, stream, *window, epoch=epoch)
    assert np.array_equal(drawn.numpy(), noise.draw(seed, stream, *window, epoch))


@pytest.mark.parametrize("count", [1, 15, 16, 32_768, 32_769, 100_003])
def test_adding_in_chunks_equals_one_product_and_one_sum(count: int) -> None:
    base = torch.linspace(-3, 3, count)
    out = torch.empty_like(base)
    noise_torch.add_scaled(out, base, 0.0123, 77, 5)
    expected = base.numpy() + _power_times_noise(0.0123, 77, 5, count)
    assert np.array_equal(out.numpy().view(np.uint32), expected.view(np.uint32))


def test_adding_in_place_equals_adding_into_another_tensor() -> None:
    base = torch.linspace(-1, 1, 70_000)
    apart = torch.empty_like(base)
    noise_torch.add_scaled(apart, base, 0.5, 1, 2)
    noise_torch.add_scaled(base, base, 0.5, 1, 2)
    assert torch.equal(apart, base)


def test_torch_and_numpy_generators_are_left_alone() -> None:
    before = torch.random.get_rng_state(), np.random.get_state(legacy=False)["state"]["pos"]
    noise_torch.draw(1, 2, 0, 1000)
    after = torch.random.get_rng_state(), np.random.get_state(legacy=False)["state"]["pos"]
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="NO CUDA DEVICE: the CUDA noise path is not tested here"
)
@pytest.mark.parametrize(("start", "count"), [(0, 1), (5, 1_000), (3, 1_700_000), (2**40 + 7, 65_537)])
def test_cuda_noise_equals_the_reference(start: int, count: int) -> None:
    drawn = noise_torch.draw(
        2**63 + 11, noise.stream_id("w"), start, count, epoch=9, device=torch.device("cuda")
    )
    assert np.array_equal(drawn.cpu().numpy(), noise.draw(2**63 + 11, noise.stream_id("w"), start, count, 9))


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="NO CUDA DEVICE: the CUDA noise path is not tested here"
)
def test_cuda_addition_equals_the_cpu_addition() -> None:
    base = torch.linspace(-3, 3, 1_000_003)
    on_cpu, on_cuda = torch.empty_like(base), torch.empty(base.numel(), device="cuda")
    noise_torch.add_scaled(on_cpu, base, 0.002, 9, 4)
    noise_torch.add_scaled(on_cuda, base.cuda(), 0.002, 9, 4)
    assert torch.equal(on_cpu, on_cuda.cpu())
