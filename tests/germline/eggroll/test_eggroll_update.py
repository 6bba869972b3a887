"""The update is exact, follows the paper, and points where fitness rises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from germline import noise, shaping
from germline.eggroll import Adam, Drawn, Evolution, Settings, Sgd, Space
from germline.eggroll.ascent import Moments, Optimiser
from germline.eggroll.schedules import Decay, Ramp, power
from germline.eggroll.update import check_budget, estimate
from germline.noise import stream_id
from germline.pairs import NoiseKey
from germline.shaping import Shaped, shape

KEY = NoiseKey(seed=7, word=3, pair=0)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.LayerNorm(8))


def naive(space: Space, z: np.ndarray, sigma: float) -> np.ndarray:
    """The paper's update with every E_i written out: sigma * sqrt(N) * mean of z_i s_i E_i, eq. 6."""
    members, total = len(z), np.zeros(space.size)
    for i in range(members):
        key = KEY._replace(pair=i // 2)
        parts = []
        for p in space:
            if p.noise.a is None:
                parts.append(
                    noise.draw(key.seed, stream_id(p.name), key.pair * p.noise.b.stride, p.size, key.word)
                )
                continue
            m, n = p.noise.matrix_shape
            a, b = (
                noise.draw(key.seed, stream_id(p.name + end), key.pair * block.stride, block.size, key.word)
                for end, block in ((":A", p.noise.a), (":B", p.noise.b))
            )
            e = a.reshape(m, -1).astype(float) @ b.reshape(n, -1).astype(float).T / math.sqrt(space.rank)
            parts.append(e.ravel())
        total += z[i] * (1 if i % 2 == 0 else -1) * np.concatenate(parts)
    result: np.ndarray = sigma * math.sqrt(members) * total / members
    return result


@pytest.mark.parametrize("rank", [1, 2, 9])
def test_the_estimate_is_the_papers_update(rank: int) -> None:
    space = Space.of(network(), rank)
    fitness = np.random.default_rng(1).normal(size=20)
    shaped = shape(fitness, "centred_rank")
    ranks = fitness.argsort().argsort()
    z = (2 * ranks - 19) * math.sqrt(3 / (20 * 20 - 1))
    expected = naive(space, z, sigma=0.1)
    assert np.allclose(estimate(space, KEY, shaped, 0.1).numpy(), expected, rtol=1e-12, atol=1e-14)


def test_the_sum_is_exact_in_any_order_and_any_chunks() -> None:
    space = Space.of(network(), 2)
    fitness = np.random.default_rng(2).normal(size=400)
    shaped = shape(fitness, "z_score")
    at_once = estimate(space, KEY, shaped, 0.1, Drawn(KEY, 200, torch.device("cpu")))
    weights, unit, members = shaped
    parts = []
    for start in (150, 0, 60):  # out of order, chunks of different sizes, summed in float64
        stop = {150: 200, 0: 60, 60: 150}[start]
        part = Shaped(weights[start:stop], 2.0**20 / math.sqrt(members), members)
        parts.append(estimate(space, KEY._replace(pair=start), part, 1.0))
    scale = 0.1 * unit * math.sqrt(members) / members
    whole = Shaped(weights, 2.0**20 / math.sqrt(members), members)
    assert torch.allclose(sum(parts[1:], parts[0]), estimate(space, KEY, whole, 1.0), rtol=1e-15)
    assert torch.equal(at_once, estimate(space, KEY, shaped, 0.1))
    assert scale > 0


def test_integer_sums_agree_with_unlimited_integers() -> None:
    space = Space.of(nn.Linear(3, 2, bias=False), 2)
    shaped = Shaped(np.array([12345, -54321, 99999]), 1.0, 6)
    (p,) = space
    drawn = Drawn(KEY, 3, torch.device("cpu"))
    a, b = ((f * 1024).to(torch.int64).tolist() for f in drawn.factors(p.noise))
    exact = [
        sum(int(w) * a[k][i][r] * b[k][j][r] for k, w in enumerate(shaped.weights) for r in range(2))
        for i in range(2)
        for j in range(3)
    ]
    factor = 1.0 * 1.0 * math.sqrt(6) / 6 / math.sqrt(2)
    expected = [float(total) / 2**20 * factor for total in exact]
    assert estimate(space, KEY, shaped, 1.0).tolist() == expected


def test_settings_beyond_the_exact_bits_are_refused() -> None:
    check_budget(1, 8192, "centred_rank")
    with pytest.raises(ValueError, match="exact update has 53"):
        check_budget(8, 8192, "centred_rank")
    check_budget(100, 1 << 20, "pair_sign")
    with pytest.raises(ValueError, match="fewer pairs"):
        Settings(pairs=1 << 20, seed=1, shaping="z_score")


@pytest.mark.parametrize("rank", [1, 4])
def test_on_a_linear_fitness_every_tensor_finds_its_true_gradient(rank: int) -> None:
    net = nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 12), nn.LayerNorm(12), nn.Conv2d(3, 4, 2))
    space = Space.of(net, rank)
    slope = torch.randn(space.size, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    cosines = {}
    for pairs in (256, 16384):
        drawn = Drawn(KEY, pairs, torch.device("cpu"))
        signal = torch.zeros(pairs, dtype=torch.float64)
        for p in space:
            own = p.view(slope)
            if p.noise.a is None:
                signal += drawn.dense(p.noise).double() @ own.flatten()
            else:
                a, b = drawn.factors(p.noise)
                own = own.reshape(p.noise.matrix_shape)
                signal += torch.einsum("kmr,mn,knr->k", a.double(), own, b.double()) / math.sqrt(rank)
        fitness = torch.stack([signal, -signal], 1).flatten()
        found = estimate(space, KEY, shape(fitness.numpy(), "z_score"), 0.01)
        cosines[pairs] = {
            p.name: torch.cosine_similarity(p.view(found).flatten(), p.view(slope).flatten(), 0).item()
            for p in space
        }
    for name, cosine in cosines[16384].items():
        assert cosine > 0.9, name
        assert cosine > cosines[256][name], name


def test_equal_shaped_layers_get_different_noise() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    space = Space.of(net)
    drawn = Drawn(KEY, 1, torch.device("cpu"))
    first, bias, second, other_bias = space
    assert not torch.equal(drawn.factors(first.noise)[0], drawn.factors(second.noise)[0])
    assert not torch.equal(drawn.factors(first.noise)[0], drawn.factors(first.noise)[1])
    assert not torch.equal(drawn.dense(bias.noise), drawn.dense(other_bias.noise))
    assert not torch.equal(drawn.dense(bias.noise).flatten(), drawn.factors(first.noise)[1].flatten())


def torch_twin(rule: Optimiser, parameter: nn.Parameter, learning_rate: float) -> torch.optim.Optimizer:
    """torch's own optimiser with the same settings."""
    if isinstance(rule, Sgd):
        return torch.optim.SGD([parameter], learning_rate, rule.momentum, weight_decay=rule.weight_decay)
    assert isinstance(rule, Adam)
    kind = torch.optim.AdamW if rule.decoupled else torch.optim.Adam
    return kind([parameter], learning_rate, weight_decay=rule.weight_decay)


@pytest.mark.parametrize(
    "rule",
    [
        Sgd(),
        Sgd(weight_decay=0.1),
        Sgd(momentum=0.9, weight_decay=0.1),
        Adam(),
        Adam(weight_decay=0.1),
        Adam(weight_decay=0.1, decoupled=True),
    ],
)
def test_optimisers_agree_with_torchs(rule: Optimiser) -> None:
    start = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parameter = nn.Parameter(start.clone())
    theirs = torch_twin(rule, parameter, 0.05)
    ours, moments = start.clone(), Moments()
    for step in range(20):
        gradient = torch.randn(50, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        parameter.grad = -gradient
        theirs.step()
        ours = rule.step(ours, gradient.clone(), moments, 0.05)
    assert torch.allclose(ours, parameter, rtol=1e-12, atol=1e-14)


def scores_of(evolution: Evolution, target: Tensor) -> list[float]:
    return [-(evolution.weights(m) - target).square().sum().item() for m in evolution.ask()]


GOLDEN: list[tuple[Optimiser, str]] = [
    (Sgd(), "3ae1dd67eae28d47"),
    (Sgd(momentum=0.9, weight_decay=0.01), "36857766f5b53612"),
    (Adam(weight_decay=0.01), "01ae0ed59151c646"),
    (Adam(weight_decay=0.01, decoupled=True), "a12790e0e96c1d2c"),
]


@pytest.mark.parametrize(("rule", "digest"), GOLDEN)
def test_ten_updates_have_the_same_bits_on_every_machine(rule: Optimiser, digest: str) -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.LayerNorm(8))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.arange(p.numel(), dtype=torch.float32).view(p.shape) / 64)
    settings = Settings(
        pairs=16, seed=11, rank=2, sigma=Decay(0.5, 0.9), learning_rate=Ramp(0.5, 0.1, 8), shaping="z_score"
    )
    evolution = Evolution(net, settings, optimiser=rule)
    for epoch in range(10):
        evolution.tell([(17 * i + 5 * epoch) % 23 / 8 for i in range(32)])
    assert evolution.digest() == digest


def test_thread_count_does_not_change_the_bits() -> None:
    digests = set()
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            evolution = Evolution(nn.Linear(64, 64), Settings(pairs=300, seed=2, rank=2), optimiser="adam")
            for _ in range(3):
                evolution.tell(np.sin(np.arange(600)))
            digests.add(evolution.digest())
    finally:
        torch.set_num_threads(before)
    assert len(digests) == 1


def test_schedules_are_multiplications_only() -> None:
    assert power(0.5, 10) == 2.0**-10
    assert power(0.9, 0) == 1.0
    assert Decay(1.0, 0.5, least=0.2)(7) == 0.2
    assert [Ramp(1.0, 0.0, 4)(e) for e in (0, 1, 4, 9)] == [1.0, 0.75, 0.0, 0.0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_hundred_updates_have_equal_bits_on_cpu_and_cuda() -> None:
    digests = set()
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(2, 8, 3), nn.Flatten(), nn.Linear(288, 10)).to(device)
        evolution = Evolution(net, Settings(pairs=32, seed=2, rank=2), optimiser="adamw")
        for epoch in range(100):
            evolution.tell(np.sin(np.arange(64) * (epoch + 1)))
        digests.add(evolution.digest())
    assert len(digests) == 1


def test_the_weight_bound_of_every_shaping_is_used() -> None:
    for name in shaping.SHAPINGS:
        assert shaping.largest_weight_sum(name, 8) > 0  # type: ignore[arg-type]
