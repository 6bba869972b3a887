"""Environments with observations and actions of every kind, and the policies that play them."""

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import germline
from germline.card import PolicyCard, write_card
from germline.genome import Genome
from worker.networks.policies.build import make_policy
from worker.networks.policies.convolution import Convolution
from worker.networks.population import choose
from worker.playing.engine import Engine, Evaluation
from worker.playing.engines import build_engine
from worker.playing.playable import EngineSettings
from worker.tasks.base import ContinuousActions, SetupError
from worker.tasks.gym import GymTask

OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(5, start=2),
    "multi": spaces.MultiDiscrete([2, 3]),
    "bits": spaces.MultiBinary(4),
    "dict": spaces.Dict({"where": spaces.Box(-1, 1, (2,)), "door": spaces.Discrete(3)}),
    "tuple": spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1, (2, 2)))),
    "grey": spaces.Box(0, 255, (20, 30), np.uint8),
    "colour": spaces.Box(0, 255, (40, 30, 3), np.uint8),
    "stack": spaces.Box(0, 255, (2, 30, 20), np.uint8),
    "tiny": spaces.Box(0, 1, (3, 5, 5), np.float32),
    "text": spaces.Text(4),
    "many": spaces.Sequence(spaces.Discrete(2)),
}


class Shower(gymnasium.Env[Any, Any]):
    """Shows samples of a space, drawn by the seed; pays for doing what it did."""

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, kind: str, bounds: float = 0.0) -> None:
        self.observation_space = deepcopy(OBSERVATIONS[kind])
        self.action_space = spaces.Box(-bounds, bounds, (2,)) if bounds else spaces.Discrete(2)
        self.age = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.age = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.age += 1
        return self.observation_space.sample(), float(np.sum(action)), self.age >= 6, False, {}


def make_shower(**given: Any) -> Shower:
    return Shower(**given)


gymnasium.register("germline-tests/Shower-v0", entry_point=make_shower)


def shown(kind: str, **more: Any) -> GymTask:
    bounds = more.pop("size", 0.0)
    return GymTask(id="germline-tests/Shower-v0", arguments={"kind": kind, "bounds": bounds}, **more)


@pytest.mark.parametrize(
    ("kind", "flatten", "shape"),
    [
        ("discrete", False, (5,)),
        ("multi", False, (5,)),
        ("bits", False, (4,)),
        ("dict", True, (5,)),
        ("tuple", True, (6,)),
        ("grey", False, (20, 30)),
        ("grey", True, (600,)),
    ],
)
def test_what_is_shown_becomes_an_array(kind: str, flatten: bool, shape: tuple[int, ...]) -> None:
    task = shown(kind, flatten=flatten)
    assert task.spaces.observation_shape == shape
    lanes = task.make_lanes(1)
    lanes.begin(np.array([0]), [3])
    bare = Shower(kind)
    first, _ = bare.reset(seed=3)
    assert np.array_equal(lanes.observations[0], task.to_observation(first))
    lanes.send(np.array([0]), np.array([1]))
    lanes.receive()
    assert np.array_equal(lanes.observations[0], task.to_observation(bare.step(1)[0]))


def test_a_discrete_observation_is_a_one_among_zeros() -> None:
    task = shown("discrete")
    assert task.to_observation(4).tolist() == [0, 0, 1, 0, 0]


def test_parts_stand_in_the_order_of_their_names() -> None:
    task = shown("dict", flatten=True)
    seen = task.to_observation({"where": np.array([0.25, 0.5], np.float32), "door": 2})
    assert seen.tolist() == [0, 0, 1, 0.25, 0.5]


@pytest.mark.parametrize(
    ("kind", "flatten", "sentence"),
    [
        ("dict", False, r"has parts, .*; task\.gym\.flatten = true puts them into one row"),
        ("tuple", False, r"task\.gym\.flatten = true"),
        ("text", False, "whose observation is Text"),
        ("many", False, "whose observation is Sequence"),
        ("many", True, "whose observation is"),
    ],
)
def test_other_observations_are_refused(kind: str, flatten: bool, sentence: str) -> None:
    with pytest.raises(SetupError, match=sentence):
        shown(kind, flatten=flatten)


def test_actions_are_squashed_or_clipped_as_the_spec_says() -> None:
    answers = np.array([[5.0, -0.5]], np.float32)
    squashed, clipped = (
        shown("tiny", size=2.0, bounds=bounds).spaces.actions for bounds in ("squash", "clip")
    )
    assert isinstance(squashed, ContinuousActions)
    assert isinstance(clipped, ContinuousActions)
    assert choose(squashed, answers)[0] == pytest.approx(2 * np.tanh([5.0, -0.5]))
    assert choose(clipped, answers).tolist() == [[2.0, -0.5]]


@pytest.mark.parametrize("kind", ["grey", "colour", "stack", "tiny"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_convolution_sees_images_of_any_shape(kind: str, precision: str) -> None:
    played = play("convolution", kind, precision)
    assert played == play("convolution", kind, precision)
    assert len(set(played)) > 1, "founders act differently"


def play(policy: str, kind: str, precision: str = "float32") -> list[float]:
    settings = EngineSettings(task="gym", policy=policy, precision=precision)
    engine: Engine[int] = build_engine(settings, device=torch.device("cpu"), task=shown(kind))
    for number in range(12):
        engine.submit(Evaluation(number, Genome.founder(number), (7,)))
    returns: dict[int, float] = {}
    while engine.busy():
        returns |= {played.key: played.returns[0] for played in engine.tick()}
    engine.close()
    return [returns[key] for key in sorted(returns)]


def test_a_convolution_turns_channels_to_the_front_and_scales_bytes_alone() -> None:
    colour = Convolution(observation_shape=(40, 30, 3), outputs=2, hidden=(8,))
    seen = torch.randint(0, 256, (2, 40, 30, 3), dtype=torch.uint8)
    turned = Convolution(observation_shape=(3, 40, 30), outputs=2, hidden=(8,))
    turned.load_state_dict(colour.state_dict())
    assert torch.equal(colour(seen), turned(seen.permute(0, 3, 1, 2)))
    floats = Convolution(observation_shape=(3, 40, 30), outputs=2, hidden=(8,), observation_dtype="float32")
    floats.load_state_dict(colour.state_dict())
    assert torch.equal(floats(seen.permute(0, 3, 1, 2) * (1 / 255)), turned(seen.permute(0, 3, 1, 2)))
    shapes = [tuple(colour.get_parameter(f"maps.{number}.weight").shape[:2]) for number in range(3)]
    assert shapes == [(16, 3), (32, 16), (64, 32)]


def test_a_convolution_refuses_what_is_no_image() -> None:
    with pytest.raises(SetupError, match=r"sees images, .* the task's observations have shape \(5,\)"):
        make_policy("convolution", shown("discrete"))


def test_a_convolution_plays_in_whole_numbers_where_channels_come_first() -> None:
    played = play("convolution", "stack", "int8")
    assert played == play("convolution", "stack", "int8")
    with pytest.raises(SetupError, match="plays plain lines of layers"):
        play("convolution", "colour", "int8")


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_shipped_policies_remember_by_their_names(name: str) -> None:
    policy = make_policy(name, GymTask(id="CartPole-v1"))
    state = policy.initial_state(1)  # type: ignore[operator]
    seen = torch.ones(1, 4)
    first, state = policy(seen, state)
    second, _ = policy(seen, state)
    assert not torch.equal(first, second)
    assert len(set(play(name, "discrete"))) > 1


def test_an_lstm_founder_keeps_its_forget_gates_open() -> None:
    policy = make_policy("lstm", GymTask(id="CartPole-v1"), arguments={"units": 4})
    from germline.weights import Layout, rebuild  # noqa: PLC0415 - what engines do with it

    layout = Layout.of(policy)
    flat = torch.zeros(layout.size)
    rebuild(Genome.founder(3), layout, flat)
    assert layout.named_views(flat)["memory.bias_ih"][4:8].tolist() == [1.0] * 4


def test_a_person_acts_on_what_the_bare_environment_shows(tmp_path: Any) -> None:
    task: Any = {"gym": {"id": "germline-tests/Shower-v0", "arguments": {"kind": "dict"}, "flatten": True}}
    card = tmp_path / "card.toml"
    card.write_text(write_card(PolicyCard(task, {"name": "mlp"}, "float32", Genome.founder(1))))
    policy = germline.load(card, device="cpu")
    bare = Shower("dict")
    assert policy.act(bare.reset(seed=1)[0]) in (0, 1)
    with pytest.raises(ValueError, match="none of the task's: KeyError"):
        policy.act({"where": [0.0, 0.0]})
