"""How parameters start: as the network's own constructor would draw them, but from seeds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import init
from torch.nn.utils import parametrizations

from germline import noise
from germline.genome import Genome
from germline.initial import watched
from germline.weights import Layout, digest, rebuild

Make = Callable[[], nn.Module]


def founder(module: nn.Module, seed: int = 7) -> dict[str, Tensor]:
    layout = Layout.of(module)
    flat = torch.full((layout.size,), math.nan)
    rebuild(Genome.founder(seed), layout, flat)
    return layout.named_views(flat)


def linear(change: Callable[[nn.Linear], object]) -> Make:
    """A linear layer that its author starts in his own way."""

    def make() -> nn.Module:
        layer = nn.Linear(48, 32)
        change(layer)
        return layer

    return make


def parameter(make: Callable[[], Tensor]) -> Make:
    """A module with nothing but a parameter `own`."""

    def build() -> nn.Module:
        module = nn.Module()
        module.own = nn.Parameter(make())
        return module

    return build


LAYERS: dict[str, Make] = {
    "gru": lambda: nn.GRU(40, 48, num_layers=2, bidirectional=True),
    "lstm": lambda: nn.LSTM(40, 48, proj_size=16),
    "rnn": lambda: nn.RNN(40, 48),
    "gru cell": lambda: nn.GRUCell(40, 48),
    "attention": lambda: nn.MultiheadAttention(48, 4, add_bias_kv=True),
    "attention of others": lambda: nn.MultiheadAttention(48, 4, kdim=32, vdim=40),
    "prelu": nn.PReLU,
    "bilinear": lambda: nn.Bilinear(12, 24, 32),
    "embedding": lambda: nn.Embedding(60, 32, padding_idx=3),
    "embedding bag": lambda: nn.EmbeddingBag(60, 32),
    "norm": lambda: nn.BatchNorm2d(8),
    "rms norm": lambda: nn.RMSNorm(8),
    "transformer": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(48, 4, 96, batch_first=True), 2, enable_nested_tensor=False
    ),
    "transposed convolution": lambda: nn.ConvTranspose2d(8, 32, 5),
    "lazy": lambda: nn.LazyLinear(40).to("cpu"),
}
AUTHORS: dict[str, Make] = {
    "xavier": linear(lambda layer: init.xavier_uniform_(layer.weight)),
    "kaiming": linear(lambda layer: init.kaiming_normal_(layer.weight)),
    "small": linear(lambda layer: layer.weight.data.mul_(0.01)),
    "shifted": linear(lambda layer: layer.bias.data.sub_(2.0).div_(4.0)),
    "constant": linear(lambda layer: init.constant_(layer.bias, 0.25)),
    "identity": linear(lambda layer: init.eye_(layer.weight)),
    "half constant": linear(lambda layer: layer.bias.data[8:24].fill_(1.0)),
    "normal": parameter(lambda: torch.randn(30, 40) * 0.02 + 1),
    "uniform": parameter(lambda: 1 - torch.rand(40, 30).t()),
    "made in float64": parameter(lambda: torch.normal(2.0, 0.5, (900,), dtype=torch.float64).float()),
    "ones": parameter(lambda: torch.ones(5)),
    "computed": parameter(lambda: torch.linspace(-1, 1, 9).sin()),
    "scalar": parameter(lambda: torch.tensor(0.5)),
}


@pytest.mark.parametrize("make", [*LAYERS.values(), *AUTHORS.values()], ids=[*LAYERS, *AUTHORS])
def test_a_founder_is_distributed_as_the_constructor_s_own_draw(make: Make) -> None:
    def build() -> nn.Module:
        module = make()
        if isinstance(module, nn.LazyLinear):
            module(torch.zeros(1, 48))
        return module

    torch.manual_seed(1)
    theirs = {name: value.detach() for name, value in build().named_parameters()}
    ours = founder(watched(build))

    assert ours.keys() == theirs.keys()
    for name, own in theirs.items():
        value = ours[name]
        if own.numel() < 20 or not own.std():
            assert torch.equal(value, own), name
            continue
        error = 4 * own.std() / math.sqrt(own.numel())
        assert value.mean() == pytest.approx(own.mean().item(), abs=2 * error.item()), name
        assert value.std() == pytest.approx(own.std().item(), rel=4 / math.sqrt(own.numel())), name
        for constant in (0.0, 1.0):
            assert (value[own == constant] == constant).all(), name


def test_a_uniform_start_stays_within_its_bounds_and_reaches_them() -> None:
    weight = founder(watched(lambda: nn.GRU(64, 64)))["weight_hh_l0"]
    assert weight.abs().max() < 1 / 8
    assert weight.abs().max() > 0.99 / 8


def test_a_uniform_start_is_these_bits_for_ever() -> None:
    layout = Layout.of(watched(lambda: nn.GRU(3, 5)))
    flat = torch.empty(layout.size)
    rebuild(Genome.founder(2**63 + 1), layout, flat)
    lanes = noise.lanes(2**63 + 1, noise.stream_id("weight_ih_l0"), 0, 45).astype(np.float64)
    exact = ((2 * lanes - 65535) / 65536).astype(np.float32) * np.float32(1 / math.sqrt(5))
    assert np.array_equal(flat[:45].numpy(), exact)
    assert digest(flat) == "7936471f31d6c219"


LAWLESS: dict[str, tuple[Make, str]] = {
    "orthogonal": (
        linear(lambda layer: init.orthogonal_(layer.weight)),
        "weight is computed from chance by mul_",
    ),
    "sparse": (
        linear(lambda layer: init.sparse_(layer.weight, 0.1)),
        "weight is computed from chance by index_put_",
    ),
    "weight norm": (
        lambda: parametrizations.weight_norm(nn.Linear(8, 8)),
        r"parametrizations\.weight\.original0 is computed from chance by norm",
    ),
    "forgotten": (parameter(lambda: torch.empty(5)), "own is memory that nobody wrote"),
    "permutation": (parameter(lambda: torch.randperm(5).float()), "own is drawn by randperm"),
    "joined": (
        parameter(lambda: torch.cat([torch.randn(3), torch.rand(3)])),
        "own is computed from chance by cat",
    ),
    "a draw for all": (
        parameter(lambda: torch.ones(5) * torch.rand(())),
        "own is computed from chance by mul",
    ),
    "in parts": (
        linear(lambda layer: layer.weight.data[:4].normal_()),
        "weight is drawn in parts by normal_",
    ),
}


@pytest.mark.parametrize(("make", "complaint"), LAWLESS.values(), ids=LAWLESS)
def test_what_no_seed_could_draw_again_is_refused_until_the_module_states_it(
    make: Make, complaint: str
) -> None:
    with pytest.raises(ValueError, match=f"parameter {complaint}.*germline_init"):
        Layout.of(watched(make))

    class Stated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = make()

        def germline_init(self, name: str) -> tuple[float, float] | None:
            return None if name.endswith("bias") else (0.5, 0.0)

    for name, value in founder(watched(Stated)).items():
        assert torch.equal(value, torch.full_like(value, 0.5)) == (not name.endswith("bias"))


def test_a_module_inside_of_another_may_state_its_own_start() -> None:
    class Inner(nn.Linear):
        def germline_init(self, name: str) -> tuple[float, float] | None:
            return (3.0, 0.0) if name == "bias" else None

    net = nn.Sequential(nn.Linear(2, 2), Inner(2, 2))
    views = founder(net)
    assert torch.equal(views["1.bias"], torch.full((2,), 3.0))
    assert views["0.bias"].abs().max() < 3
    assert views["1.weight"].std() > 0


class Fixed(nn.Module):
    """A network with a random part that does not evolve."""

    def __init__(self, draw: Callable[[Tensor], object] = init.xavier_uniform_) -> None:
        super().__init__()
        self.eye = nn.Linear(4, 4).requires_grad_(False)
        draw(self.eye.weight)
        self.register_buffer("basis", torch.randn(4))
        self.head = nn.Linear(4, 2)


def test_what_is_frozen_is_drawn_from_noise_once_for_all_machines() -> None:
    one, other = watched(Fixed), watched(Fixed)
    assert [p.name for p in Layout.of(one).parameters] == ["head.weight", "head.bias"]
    for name in ("eye.weight", "eye.bias", "basis"):
        assert torch.equal(one.state_dict()[name], other.state_dict()[name])
        assert one.state_dict()[name].std() > 0
    assert not torch.equal(one.state_dict()["head.weight"], other.state_dict()["head.weight"])


def test_what_is_frozen_and_has_no_law_is_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"parameter eye\.weight does not evolve and is computed from chance"
    ):
        watched(lambda: Fixed(init.orthogonal_))
    with pytest.raises(ValueError, match=r"buffer .*\._u does not evolve and is computed from chance"):
        watched(lambda: parametrizations.spectral_norm(nn.Linear(3, 4)))


def test_a_sparse_buffer_stays_as_it_was_made() -> None:
    def make() -> nn.Module:
        net = nn.Linear(2, 2)
        net.register_buffer("graph", torch.eye(2).to_sparse())
        return net

    assert torch.equal(watched(make).get_buffer("graph").to_dense(), torch.eye(2))


def test_parameters_that_only_share_memory_are_refused() -> None:
    def make() -> nn.Module:
        first, second = nn.Linear(3, 3), nn.Linear(3, 3)
        second.weight = nn.Parameter(first.weight)
        return nn.Sequential(first, second)

    with pytest.raises(ValueError, match=r"parameters 0\.weight and 1\.weight share memory"):
        watched(make)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (parameter(lambda: torch.zeros(2, dtype=torch.complex64)), "parameter own has type torch.complex64"),
        (lambda: nn.LazyLinear(2), "parameter weight has no values yet"),
    ],
)
def test_what_cannot_be_a_weight_is_refused(make: Make, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        watched(make)


def test_a_layer_that_nobody_watched_starts_as_its_reset_says_and_anything_else_is_refused() -> None:
    assert founder(nn.GRUCell(30, 30))["weight_hh"].std() == pytest.approx(1 / math.sqrt(90), rel=0.1)
    assert torch.equal(founder(nn.PReLU())["weight"], torch.tensor([0.25]))
    with pytest.raises(ValueError, match="own was drawn while nobody watched its constructor"):
        Layout.of(parameter(lambda: torch.randn(5))())


def test_watching_leaves_torch_s_generator_to_its_owner() -> None:
    layer = nn.GRU(3, 4)
    before = torch.random.get_rng_state()
    Layout.of(layer)
    assert torch.equal(before, torch.random.get_rng_state())
