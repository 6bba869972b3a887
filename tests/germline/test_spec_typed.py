"""A spec as typed objects, and settings by their dotted paths."""

import tomllib
from pathlib import Path

import pytest

import germline
from germline.spec import (
    AtariTask,
    Eggroll,
    GeneticAlgorithm,
    GymTask,
    Policy,
    Spec,
    SpecError,
    Stop,
    load,
    loads,
    read_settings,
    to_toml,
    with_settings,
)

ROOT = Path(__file__).parent.parent.parent
READY = sorted((ROOT / "experiments").glob("*.toml"))


def cartpole() -> Spec:
    return Spec(
        name="cartpole",
        task=GymTask(id="CartPole-v1", arguments={"sutton_barto_reward": True}),
        policy=Policy(name="mlp", hidden=[16]),
        algorithm=GeneticAlgorithm(window=200, power=0.05, selection="tournament"),
        stop=Stop(evaluations=5_000),
    )


def test_it_prints_as_the_toml_of_its_message() -> None:
    spec = cartpole()
    assert loads(str(spec)) == spec.message
    assert spec.message.algorithm.ga.window == 200
    assert spec.message.algorithm.ga.candidates == 10, "a default is filled in"
    assert tomllib.loads(str(spec))["task"]["gym"]["arguments"] == {"sutton_barto_reward": True}


@pytest.mark.parametrize("file", READY, ids=lambda path: path.stem)
def test_every_ready_spec_comes_back_as_it_was(file: Path) -> None:
    spec = Spec.load(file)
    assert spec.message == load(file)
    assert Spec.load(str(spec)) == spec


def test_what_was_read_is_there_by_its_names() -> None:
    spec = germline.Spec.load(ROOT / "experiments" / "pong.toml")
    assert isinstance(spec.task, AtariTask)
    assert spec.task.game == "pong"
    assert isinstance(spec.algorithm, GeneticAlgorithm)


def test_what_is_wrong_is_refused_when_it_is_made() -> None:
    with pytest.raises(SpecError, match=r"algorithm\.eggroll.pairs is 0; allowed"):
        Spec(name="a", task=GymTask(id="x"), policy=Policy(name="mlp"), algorithm=Eggroll(pairs=0))


def test_settings_change_by_path_and_the_rest_stays() -> None:
    changed = cartpole().with_(name="other", algorithm__ga__power=0.1, stop__evaluations=None, stop__frames=9)
    assert isinstance(changed.algorithm, GeneticAlgorithm)
    assert changed.algorithm.power == 0.1
    assert (changed.algorithm.window, changed.name) == (200, "other")
    assert changed.stop == Stop(frames=9)
    with pytest.raises(SpecError, match=r"algorithm\.ga\.pwer is unknown; did you mean 'power'"):
        cartpole().with_(algorithm__ga__pwer=1)


def test_settings_are_read_as_toml_or_as_a_text() -> None:
    texts = [
        "algorithm.ga.power=0.01",
        "policy.hidden=[8, 8]",
        "task.gym.id=Pendulum-v1",
        'name="a"',
        "b=x=y",
    ]
    assert read_settings(texts) == {
        "algorithm.ga.power": 0.01,
        "policy.hidden": [8, 8],
        "task.gym.id": "Pendulum-v1",
        "name": "a",
        "b": "x=y",
    }
    with pytest.raises(ValueError, match="'power' is no setting; allowed: path=value"):
        read_settings(["power"])


def test_a_path_through_a_value_is_refused() -> None:
    table = tomllib.loads(to_toml(cartpole().message))
    with pytest.raises(SpecError, match=r"name\.first is no setting: name is 'cartpole', and no table"):
        with_settings(table, {"name.first": 1}, "a.toml")
