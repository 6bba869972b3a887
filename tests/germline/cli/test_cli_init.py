"""Specs that `germline init` writes: they can be played as they are, and say why for each setting."""

import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from germline.cli.app import run
from germline.spec import load
from germline.v1 import spec_pb2

SPACES: dict[str, spaces.Space[Any]] = {
    "image": spaces.Box(0, 255, (20, 24, 3), np.uint8),
    "parts": spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Box(0, 1, (2,))}),
}


class Still(gymnasium.Env[Any, Any]):
    """Shows the same all the time."""

    def __init__(self, kind: str) -> None:
        self.observation_space, self.action_space = SPACES[kind], spaces.Box(-2, 2, (1,))
        self.shown = SPACES[kind].sample()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        SPACES["image"].seed(1)
        SPACES["parts"].seed(1)
        self.shown = self.observation_space.sample()
        return self.shown, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.shown, 0.0, True, False, {}


def make_still(**given: Any) -> Still:
    return Still(**given)


for name in SPACES:
    gymnasium.register(f"germline-tests/Still{name}-v0", entry_point=make_still, kwargs={"kind": name})


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(environment: str) -> spec_pb2.ExperimentSpec:
    assert run(["init", environment, "--output", "new.toml", "--evaluations", "500"]) == 0
    assert run(["spec", "new.toml"]) == 0, "it can be played here"
    text = Path("new.toml").read_text()
    settings = re.findall(r"^\w+ = ", text, flags=re.MULTILINE)
    assert len(re.findall(r"^# ", text, flags=re.MULTILINE)) >= len(settings) / 2
    spec = load("new.toml")
    Path("new.toml").unlink()
    assert spec.stop.evaluations == 500
    return spec


def test_a_row_of_numbers_gets_linear_layers() -> None:
    spec = written("CartPole-v1")
    assert (spec.name, spec.task.gym.id, spec.policy.name) == ("cartpole-v1", "CartPole-v1", "mlp")


@pytest.mark.parametrize("environment", ["montezuma_revenge", "ALE/MontezumaRevenge-v5"])
def test_a_game_gets_a_protocol_and_whole_numbers(environment: str) -> None:
    spec = written(environment)
    assert (spec.name, spec.task.atari.game) == ("montezuma-revenge", "montezuma_revenge")
    assert spec.evaluation.precision == spec_pb2.PRECISION_INT8


def test_an_image_gets_convolutions() -> None:
    assert written("germline-tests/Stillimage-v0").policy.name == "convolution"


def test_parts_become_a_row_and_continuous_actions_have_bounds() -> None:
    spec = written("germline-tests/Stillparts-v0")
    assert spec.task.gym.flatten
    assert spec.task.gym.bounds == "squash"


def test_a_class_of_one_s_own_is_an_environment_and_no_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "worlds_of_init.py").write_text(
        "from gymnasium.envs.classic_control import CartPoleEnv\nclass Pole(CartPoleEnv): pass\n"
    )
    spec = written("worlds_of_init:Pole")
    assert (spec.name, spec.task.gym.id, spec.policy.name) == ("pole", "worlds_of_init:Pole", "mlp")


def test_a_function_gets_its_weights() -> None:
    spec = written("worker.tasks.function:noisy_sphere")
    assert (spec.policy.name, spec.task.function.path) == ("vector", "worker.tasks.function:noisy_sphere")


def test_the_file_is_called_after_the_environment_and_none_is_written_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["init", "CartPole-v1"]) == 0
    assert capsys.readouterr().out == "wrote cartpole-v1.toml; try: germline run cartpole-v1.toml\n"
    assert run(["init", "CartPole-v1"]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ("CartPol-v1", "is no environment that is installed here; did you mean CartPole-v1"),
        ("no_such_package:X-v0", "no module no_such_package is in"),
        ("no_such_package:f", "no module no_such_package is in"),
        ("--", "names no environment"),
    ],
)
def test_what_is_no_environment_is_refused_and_nothing_written(
    environment: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["init", *(["--", "::"] if environment == "--" else [environment])]
    assert run(words) == 2
    assert sentence in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_the_evolution_strategy_is_written_on_demand_for_gymnasium_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["init", "CartPole-v1", "--algorithm", "eggroll"]) == 0
    chosen = load("cartpole-v1.toml").algorithm.eggroll
    assert (chosen.optimiser, chosen.learning_rate) == (spec_pb2.OPTIMISER_ADAM, chosen.sigma / 2)
    assert run(["init", "pong", "--algorithm", "eggroll"]) == 2
    assert "--algorithm is eggroll; allowed for 'pong': ga" in capsys.readouterr().err
