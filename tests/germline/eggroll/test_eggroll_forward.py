"""The low-rank forward pass plays every member exactly as its written-out weights would."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from germline.eggroll.exact import materialise
from germline.eggroll.forward import LowRankForward
from germline.eggroll.slots import UntraceableError
from germline.eggroll.space import Space
from germline.genome import Mutation
from germline.pairs import NoiseKey
from germline.weights import Layout, mutate

SIGMA = 0.1
FIRST = NoiseKey(seed=5, word=1, pair=10)


class First(nn.Module):
    """A recurrent layer as a network: its outputs without its states."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)[0]
        return out


class Residual(nn.Module):
    """Inputs are added to a later layer's rows."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(x + self.a(x).relu())
        return out


class Tied(nn.Module):
    """One matrix is the embedding and the readout."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.readout = nn.Embedding(9, 4), nn.Linear(4, 9)
        self.readout.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.readout(torch.tanh(self.embedding(tokens)))
        return out


def twice() -> nn.Module:
    """One layer in two places of a line."""
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.ReLU(), layer)


def hooked_relu() -> nn.Module:
    """An activation that does more than its type does."""
    network = nn.Sequential(nn.Linear(5, 4), nn.ReLU())
    network[1].register_forward_hook(lambda _layer, _rows, out: out + 1)
    return network


def image(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(shape, generator=torch.Generator().manual_seed(3))


def tokens(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(0, 9, shape, generator=torch.Generator().manual_seed(3))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "linear": (lambda: nn.Linear(5, 4), image(7, 5)),
    "linear without bias, over sequences": (lambda: nn.Linear(5, 4, bias=False), image(7, 3, 5)),
    "conv2d, padded": (lambda: nn.Conv2d(3, 8, 3, padding=1), image(2, 3, 10, 10)),
    "conv2d, atari's first": (lambda: nn.Conv2d(4, 8, 8, stride=4), image(2, 4, 84, 84)),
    "conv2d, stride not dividing the kernel": (
        lambda: nn.Conv2d(4, 8, 3, stride=2, padding=1),
        image(2, 4, 9, 11),
    ),
    "conv2d, uneven": (lambda: nn.Conv2d(4, 8, (3, 5), stride=(2, 1), bias=False), image(2, 4, 9, 11)),
    "conv2d, dilated and circular": (
        lambda: nn.Conv2d(4, 8, 3, padding="same", dilation=2, padding_mode="circular"),
        image(2, 4, 9, 11),
    ),
    "conv2d, grouped": (lambda: nn.Conv2d(4, 8, 3, groups=2), image(2, 4, 9, 11)),
    "conv2d, strided and dilated": (lambda: nn.Conv2d(4, 8, 3, stride=2, dilation=2), image(2, 4, 9, 11)),
    "conv1d": (lambda: nn.Conv1d(4, 8, 3, stride=2, padding=1), image(2, 4, 9)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), image(2, 2, 4, 4, 4)),
    "embedding": (lambda: nn.Embedding(9, 6), tokens(3, 4)),
    "rnn": (lambda: First(nn.RNN(5, 6, batch_first=True, nonlinearity="relu")), image(3, 4, 5)),
    "lstm, deep, both ways": (
        lambda: First(nn.LSTM(5, 6, num_layers=2, batch_first=True, bidirectional=True)),
        image(3, 4, 5),
    ),
    "gru": (lambda: First(nn.GRU(5, 6, batch_first=True)), image(3, 4, 5)),
    "rnn cell": (lambda: nn.RNNCell(5, 6), image(3, 5)),
    "lstm cell": (lambda: First(nn.LSTMCell(5, 6)), image(3, 5)),
    "gru cell": (lambda: nn.GRUCell(5, 6), image(3, 5)),
    "layer norm": (lambda: nn.LayerNorm(5), image(3, 2, 5)),
    "group norm": (lambda: nn.GroupNorm(2, 4), image(3, 4, 5)),
    "batch norm": (lambda: nn.BatchNorm2d(4), image(3, 4, 5, 5)),
    "batch norm without running statistics": (
        lambda: nn.BatchNorm1d(4, track_running_stats=False),
        image(3, 4),
    ),
    "residual": (Residual, image(3, 5)),
    "tied weights": (Tied, tokens(3, 4)),
    "one layer twice": (twice, image(3, 5)),
    "a hook on an activation": (hooked_relu, image(3, 5)),
    "conv1d, reflecting": (lambda: nn.Conv1d(4, 8, 4, padding=3, padding_mode="reflect"), image(2, 4, 9)),
    "conv2d, stride beyond the kernel": (lambda: nn.Conv2d(4, 8, 2, stride=3), image(2, 4, 9, 11)),
    "a deep mixture": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(144, 3)
        ),
        image(3, 1, 8, 8),
    ),
}


def written_out(network: nn.Module, space: Space, x: Tensor, pairs: int) -> Tensor:
    """What every member gives with its exact weights, `[members, batch, outputs]`."""
    centre, member = space.read(network), copy.deepcopy(network)
    weights, outs = torch.empty_like(centre), []
    for pair in range(pairs):
        for sign in (1, -1):
            materialise(weights, centre, space, FIRST._replace(pair=FIRST.pair + pair), sign * SIGMA)
            space.write(weights, member)
            outs.append(member(x).detach().flatten(1))
    return torch.stack(outs)


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_low_rank_forward_equals_materialised_forward(name: str, rank: int) -> None:
    make, inputs = NETWORKS[name]
    torch.manual_seed(0)
    network, x = make().eval(), inputs()
    space = Space.of(network, rank)
    population = LowRankForward(network, space, slots=3)
    population.bind_run(0, FIRST, 3, SIGMA)
    expected = written_out(network, space, x, 3)

    rows = x.expand(6, *x.shape).flatten(0, 1)
    own = population(rows).view(6, len(x), -1)
    shared = population.shared(x).reshape(6, len(x), -1)

    tolerance = 2e-6 * max(1.0, expected.abs().max().item())
    assert (own - expected).abs().max() < tolerance
    assert (shared - expected).abs().max() < tolerance


def test_slots_of_one_sign_hold_single_members() -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)), image(4, 5)()
    space = Space.of(network)
    population = LowRankForward(network, space, slots=6, signs=1)
    for slot in range(6):
        population.bind(slot, FIRST._replace(pair=FIRST.pair + slot // 2), SIGMA * (1 - 2 * (slot % 2)))
    expected = written_out(network, space, x, 3)
    assert torch.allclose(population.shared(x), expected, atol=1e-6)
    window = population.shared(x, first_slot=2, slots=3)
    assert torch.allclose(window, expected[2:5], atol=1e-6)


def test_a_litter_of_low_rank_children_shares_its_parent() -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)), image(4, 5)()
    space, layout = Space.of(network, rank=2), Layout.of(network)
    parent = space.read(network)
    children = [Mutation(seed=90 + i, power=0.25 + i / 8, rank=2) for i in range(3)]
    population = LowRankForward(network, space, slots=3, signs=1)
    for slot, child in enumerate(children):
        population.bind(slot, NoiseKey(child.seed), child.power)
    together = population.shared(x)
    for slot, child in enumerate(children):
        weights = torch.empty_like(parent)
        mutate(weights, parent, child, layout)
        space.write(weights, network)
        assert torch.allclose(together[slot], network(x), atol=1e-6)


def test_a_changed_centre_is_taken_over_by_refresh() -> None:
    network, x = nn.Linear(5, 2), image(4, 5)()
    population = LowRankForward(network, Space.of(network), slots=1, dtype=torch.bfloat16)
    before = population.shared(x)
    with torch.no_grad():
        network.weight.zero_()
        network.bias.fill_(3.0)
    population.refresh()
    assert not torch.equal(population.shared(x), before)
    assert torch.equal(population.shared(x), torch.full((2, 4, 2), 3.0, dtype=torch.bfloat16))


def test_bfloat16_is_near_float32() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    x, space = image(3, 1, 8, 8)(), Space.of(network)
    exact, rough = (LowRankForward(network, space, slots=2, dtype=t) for t in (torch.float32, torch.bfloat16))
    for population in (exact, rough):
        population.bind_run(0, FIRST, 2, SIGMA)
    assert rough.shared(x).dtype == torch.bfloat16
    assert torch.allclose(rough.shared(x).float(), exact.shared(x), atol=0.05)


def test_frozen_parameters_get_no_noise() -> None:
    network, x = nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Linear(8, 2)), image(4, 5)()
    space = Space.of(network, freeze=["0.*", "1.weight", "2.weight"])
    assert [p.name for p in space] == ["1.bias", "2.bias"]
    population = LowRankForward(network, space, slots=2)
    population.bind_run(0, FIRST, 2, SIGMA)
    expected = written_out(network, space, x, 2)
    assert torch.allclose(population.shared(x), expected, atol=1e-6)


@pytest.mark.parametrize("frozen", ["*weight*", "*bias*"])
@pytest.mark.parametrize(
    "name", ["linear", "conv2d, padded", "conv2d, grouped", "conv1d", "gru", "batch norm"]
)
def test_a_layer_may_evolve_in_part(name: str, frozen: str) -> None:
    torch.manual_seed(1)
    make, inputs = NETWORKS[name]
    network = make().eval()
    space = Space.of(network, 2, frozen)
    population = LowRankForward(network, space, slots=2)
    population.bind_run(0, FIRST, 2, SIGMA)
    x = inputs()
    found = population.shared(x).flatten(2)
    assert torch.allclose(found, written_out(network, space, x, 2), atol=1e-5)


def test_batch_norm_statistics_are_read_and_never_written() -> None:
    network = nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 2)).train()
    before = copy.deepcopy(network.state_dict())
    population = LowRankForward(network, Space.of(network), slots=2)
    population.bind_run(0, FIRST, 2, SIGMA)
    population.shared(image(4, 5)() * 9 + 3)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_global_random_state_is_untouched() -> None:
    network = nn.Sequential(nn.Linear(5, 5), nn.Dropout(0.5), nn.Linear(5, 2))
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    population = LowRankForward(network, Space.of(network), slots=2)
    population.bind_run(0, FIRST, 2, SIGMA)
    population.shared(image(4, 5)())
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_parameter_outside_known_layers_is_refused_by_name() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.scale = nn.Linear(3, 3), nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(x) * self.scale
            return out

    network = Scaled()
    with pytest.raises(UntraceableError, match="scale"):
        LowRankForward(network, Space.of(network), slots=1)


def test_a_network_that_reads_a_weight_itself_is_refused() -> None:
    class Peeking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.inner.weight.T

    network = Peeking()
    population = LowRankForward(network, Space.of(network), slots=1)
    with pytest.raises(UntraceableError, match="computes with a layer's weight itself"):
        population.shared(image(2, 3)())


def hooked(layer: nn.Module) -> None:
    layer.register_forward_hook(lambda _layer, _rows, out: out * 2)


def hooked_before(layer: nn.Module) -> None:
    layer.register_forward_pre_hook(lambda _layer, rows: (rows[0] * 2,))


def patched(layer: nn.Module) -> None:
    layer.forward = lambda rows: rows


@pytest.mark.parametrize("alter", [hooked, hooked_before, patched])
def test_a_layer_that_was_given_more_to_do_is_refused(alter: Callable[[nn.Module], None]) -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    alter(network[0])
    with pytest.raises(UntraceableError, match=r"holds 0\.weight, 0\.bias: .* hooks"):
        LowRankForward(network, Space.of(network), slots=1)


def test_rows_that_members_cannot_share_out_are_refused() -> None:
    network = nn.Linear(5, 2)
    population = LowRankForward(network, Space.of(network), slots=2)
    with pytest.raises(ValueError, match="7 rows for 4 members"):
        population(image(7, 5)())
    with pytest.raises(ValueError, match="slots 2 to 3"):
        population.bind_run(2, FIRST, 2, SIGMA)
