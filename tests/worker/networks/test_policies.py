"""The networks: their sizes, their initialisation, and how they are refused when they do not fit."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from germline.genome import Genome
from germline.laws import Law
from germline.weights import Layout, rebuild
from worker.networks.policies.build import make_policy
from worker.networks.policies.stages import same_padding
from worker.networks.population import DensePopulation
from worker.tasks.base import ContinuousActions, DiscreteActions, Lanes, SetupError, Spaces
from worker.tasks.function import FunctionTask

GREY = np.dtype(np.uint8)
FLOAT = np.dtype(np.float32)


class Screen:
    """A task with Atari's spaces and no emulator."""

    def __init__(self, shape: tuple[int, ...] = (4, 84, 84), actions: int = 6) -> None:
        self.spaces = Spaces(shape, GREY, DiscreteActions(actions))

    def make_lanes(self, count: int) -> Lanes:
        raise NotImplementedError


class Vectors:
    """A task with short vectors and continuous actions."""

    spaces = Spaces((8,), FLOAT, ContinuousActions(np.full(2, -1, FLOAT), np.full(2, 1, FLOAT), (2,)))

    def make_lanes(self, count: int) -> Lanes:
        raise NotImplementedError


class Tiny(nn.Module):
    """Somebody's own module."""

    def __init__(self, outputs: int, width: int = 4) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(8, width), nn.Linear(width, outputs)

    def forward(self, observations: Tensor) -> Tensor:
        result: Tensor = self.outer(torch.sigmoid(self.inner(observations)))
        return result


class OneAnswer(nn.Module):
    """A module that always gives one output."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(8, 1)

    def forward(self, observations: Tensor) -> Tensor:
        result: Tensor = self.only(observations)
        return result


class Unbuilt(nn.Module):
    """A module whose constructor fails."""

    def __init__(self) -> None:
        raise KeyError("width")


class Mistaken(nn.Module):
    """A module whose constructor fails on arguments that fit."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(8, outputs + "1")  # type: ignore[operator]


class Unseeing(OneAnswer):
    """A module whose forward fails in a way of its own."""

    def forward(self, observations: Tensor) -> Tensor:
        raise AttributeError("no eyes")


class Tied(nn.Module):
    """Two places with one weight, a frozen layer, a random buffer, and a start of its author's own."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(8, 8), nn.Linear(8, 8)
        self.again.weight = self.first.weight
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.register_buffer("shift", torch.randn(8))
        self.head = nn.Linear(8, outputs)
        nn.init.zeros_(self.head.bias)

    def forward(self, observations: Tensor) -> Tensor:
        hidden = self.again(torch.tanh(self.first(observations + self.get_buffer("shift"))))
        result: Tensor = self.head(torch.tanh(self.frozen(hidden)))
        return result


class Complex(OneAnswer):
    """A module with complex weights."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = nn.Parameter(torch.zeros(1, dtype=torch.complex64))


class Orthogonal(OneAnswer):
    """A module that starts in a way that no seed repeats."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.orthogonal_(self.only.weight)


class Constant(nn.Module):
    """A module without weights."""

    def forward(self, observations: Tensor) -> Tensor:
        return observations[:, :2]


@pytest.mark.parametrize(("name", "weights"), [("dqn2015", 1_687_206), ("uber2018", 4_046_502)])
def test_published_networks_have_their_published_sizes(name: str, weights: int) -> None:
    policy = make_policy(name, Screen())

    assert Layout.of(policy).size == weights
    assert policy(torch.zeros(3, 4, 84, 84, dtype=torch.uint8)).shape == (3, 6)


def test_same_padding_puts_the_odd_zero_behind() -> None:
    assert [same_padding(84, 8, 4), same_padding(21, 4, 2), same_padding(11, 3, 1)] == [
        (2, 2),
        (1, 2),
        (1, 1),
    ]


def test_uber2018_starts_as_published() -> None:
    """Such et al. 2018, SI 7.2: variance 1 / fan in; the head's tenth is of their models/dqn.py."""
    policy = make_policy("uber2018", Screen())
    layout = Layout.of(policy)
    flat = torch.empty(layout.size)
    rebuild(Genome.founder(1), layout, flat)
    deviations = {name: float(view.std()) for name, view in layout.named_views(flat).items()}

    fans = {"conv1": 4 * 64, "conv2": 32 * 16, "conv3": 64 * 9, "hidden": 64 * 121}
    for layer, fan_in in fans.items():
        assert deviations[f"{layer}.weight"] == pytest.approx(fan_in**-0.5, rel=0.03)
    assert deviations["head.weight"] == pytest.approx(0.1 * 512**-0.5, rel=0.05)
    assert not any(deviation for name, deviation in deviations.items() if name.endswith("bias"))


def test_the_first_version_of_uber2018_starts_with_xavier_weights_and_zero_biases() -> None:
    policy = make_policy("uber2018", Screen(), version=1)
    layout = Layout.of(policy)
    flat = torch.empty(layout.size)
    rebuild(Genome.founder(1), layout, flat)
    views = layout.named_views(flat)

    assert views["hidden.weight"].std() == pytest.approx((2 / (7744 + 512)) ** 0.5, rel=0.01)
    assert views["conv1.weight"].std() == pytest.approx((2 / ((4 + 32) * 64)) ** 0.5, rel=0.05)
    assert not views["hidden.bias"].any()


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("uber2018", 3, "policy.version is 3; allowed for 'uber2018': 1 to 2"),
        ("motion", 1, "policy.version is 1; allowed for 'motion': none, since it has no versions"),
    ],
)
def test_a_version_that_there_is_not_is_refused(name: str, version: int, says: str) -> None:
    with pytest.raises(SetupError, match=says):
        make_policy(name, Screen(), version=version)


def test_networks_see_grey_levels_as_fractions() -> None:
    policy = make_policy("dqn2015", Screen())
    white = torch.full((1, 4, 84, 84), 255, dtype=torch.uint8)

    assert torch.allclose(policy(white), policy(torch.full((1, 4, 84, 84), 255.0)))
    assert policy(white).abs().max() < 10


def test_hidden_widths_shape_the_mlp() -> None:
    policy = make_policy("mlp", Vectors(), hidden=(32, 16))

    assert [tuple(p.shape) for p in policy.parameters() if p.ndim == 2] == [(32, 8), (16, 32), (2, 16)]


def test_a_linear_policy_weighs_what_it_sees_and_starts_without_a_liking() -> None:
    policy = make_policy("linear", Vectors())

    seen = torch.randn(3, 8)
    weight, bias = policy.get_parameter("layer.weight"), policy.get_parameter("layer.bias")
    assert torch.allclose(policy(seen), seen @ weight.T + bias)
    laws = {p.name: p.start.law for p in Layout.of(policy).parameters}
    assert laws == {"layer.weight": Law(0.0, 1 / math.sqrt(8)), "layer.bias": Law(0.0, 0.0)}


def test_a_module_by_import_path_gets_what_its_class_takes() -> None:
    policy = make_policy(f"{__name__}:Tiny", Vectors(), arguments={"width": 7})

    assert isinstance(policy, nn.Module)
    assert [tuple(p.shape) for p in policy.parameters() if p.ndim == 2] == [(7, 8), (2, 7)]


def test_a_function_task_has_as_many_weights_as_its_dimension() -> None:
    task = FunctionTask(path="worker.tasks.function:noisy_sphere", dimension=12)

    assert Layout.of(make_policy("vector", task)).size == 12
    with pytest.raises(SetupError, match=r"policy.name is 'mlp'; a function task allows only"):
        make_policy("mlp", task)


@pytest.mark.parametrize(
    ("name", "task", "complaint"),
    [
        (
            "dqn2016",
            Screen(),
            "'dqn2016'; allowed: convolution, dqn2015, gru, linear, lstm, mlp, motion, uber2018",
        ),
        ("dqn2015", Vectors(), r"shape \(4, 84, 84\); the task's have shape \(8,\)"),
        ("uber2018", Screen((3, 84, 84)), r"'uber2018', .* have shape \(3, 84, 84\)"),
        (
            f"{__name__}:OneAnswer",
            Vectors(),
            r"answers 2 observations with \(2, 1\); the task wants \(2, 2\)",
        ),
        (f"{__name__}:Tiny", Screen(), r"cannot see observations of shape \(4, 84, 84\) \(uint8\)"),
        (f"{__name__}:Screen", Vectors(), r"names <class '.*Screen'>; allowed: a torch module's class"),
        (f"{__name__}:GREY", Vectors(), "allowed: a torch module's class"),
        (f"{__name__}:Complex", Vectors(), r"cannot evolve: parameter phase has type torch\.complex64"),
        (f"{__name__}:Orthogonal", Vectors(), r"cannot evolve: parameter only\.weight .* germline_init"),
        (f"{__name__}:Constant", Vectors(), "cannot evolve: policy Constant has no trainable parameters"),
        (f"{__name__}:Unbuilt", Vectors(), "whose constructor fails: KeyError: 'width'"),
        (f"{__name__}:Mistaken", Vectors(), "whose constructor fails: TypeError: unsupported operand"),
        (f"{__name__}:Unseeing", Vectors(), "cannot see observations .*: AttributeError: no eyes"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(name: str, task: Screen | Vectors, complaint: str) -> None:
    with pytest.raises(SetupError, match=complaint):
        make_policy(name, task)


def test_settings_that_a_policy_does_not_have_are_refused() -> None:
    with pytest.raises(SetupError, match=r"policy.hidden is \[8\], but 'dqn2015' has no such setting"):
        make_policy("dqn2015", Screen(), hidden=(8,))
    with pytest.raises(SetupError, match=r"policy.arguments do not fit 'dqn2015'"):
        make_policy("dqn2015", Screen(), arguments={"depth": 3})


def test_a_genome_alone_says_what_a_network_answers_tied_frozen_and_random_parts_included() -> None:
    seen = np.random.default_rng(0).standard_normal((2, 3, 8), np.float32)
    answers = []
    for _ in range(2):
        policy = make_policy(f"{__name__}:Tied", Vectors())
        population = DensePopulation(policy, Vectors.spaces, 2, 3)
        for slot in range(2):
            population.fill(slot, Genome.founder(5 + slot))
        answers.append(population.act(seen, np.ones((2, 3), np.bool_)))

    assert np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0][0], answers[0][1])


def test_what_the_author_froze_does_not_evolve_and_what_he_set_is_where_evolution_starts() -> None:
    layout = Layout.of(make_policy(f"{__name__}:Tied", Vectors()))
    flat = torch.empty(layout.size)
    rebuild(Genome.founder(1), layout, flat)
    views = layout.named_views(flat)

    assert list(views) == ["first.weight", "first.bias", "again.bias", "head.weight", "head.bias"]
    assert not views["head.bias"].any()
