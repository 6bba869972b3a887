"""Objects of a notebook: they run where they are defined, in threads, and nowhere else."""

import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import germline
from germline.client import HistoryPoint
from germline.spec import FunctionTask, GeneticAlgorithm, GymTask, PluginTask, Policy, Stop
from worker.tasks.base import SetupError
from worker.tasks.function import FunctionTask as PlayedFunction

GA = GeneticAlgorithm(window=10, parents=3, candidates=1, validation_episodes=2, power=0.2)
THREADS: set[str] = set()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(spec: germline.Spec, **more: Any) -> Any:
    return germline.run(spec, progress=False, verdict=3, **more)


def test_a_function_of_a_cell_is_optimised_in_a_thread() -> None:
    def bowl(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        THREADS.add(threading.current_thread().name)
        told: npt.NDArray[np.float64] = -np.square(weights, dtype=np.float64).sum(axis=1)
        return told

    path = germline.here(bowl)
    assert path == "germline_here:bowl"
    task = FunctionTask(path=path, dimension=3, batch=8)
    spec = germline.Spec(
        name="bowl", task=task, policy=Policy(name="vector"), algorithm=GA, stop=Stop(evaluations=60)
    )
    result = run(spec)
    assert result.state == "complete"
    assert THREADS - {"germline.run"} == {"playing"}
    assert result.policy.evaluate(2).mean == pytest.approx(-np.square(result.policy.weights["vector"]).sum())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker-")]


class Corridor(gymnasium.Env[npt.NDArray[np.float32], np.int64]):
    """Walk to the right; pays for each step that does."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 9, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.place = self.age = 0

    def seen(self) -> npt.NDArray[np.float32]:
        return np.array([self.place], np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.age = 0
        return self.seen(), {}

    def step(self, action: np.int64) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.age += 1
        self.place += int(action)
        return self.seen(), float(action), self.age >= 8, False, {}


class Tiny(nn.Module):
    """One layer."""

    def __init__(self, observation_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(observation_shape[0], outputs)

    def forward(self, observations: Tensor) -> Tensor:
        return torch.tanh(self.layer(observations.to(self.layer.weight.dtype)))


def test_an_environment_and_a_policy_of_a_cell_are_played() -> None:
    spec = germline.Spec(
        name="corridor",
        task=GymTask(id=germline.here(Corridor)),
        policy=Policy(name=germline.here(Tiny)),
        algorithm=GA,
        stop=Stop(evaluations=400),
    )
    points: list[HistoryPoint] = []
    result = run(spec, workers=2, on_point=points.append)
    assert result.champion.validated_mean == 8.0
    assert points
    assert result.policy.act([0.0]) == 1


class Guess:
    """A task of weights."""

    def __init__(self, dimension: int = 2) -> None:
        self.dimension = dimension

    def measure(self, weights: npt.NDArray[np.float32], seed: int) -> float:
        return float(weights[0])


def test_a_task_of_a_cell_is_played() -> None:
    name = germline.here(Guess)
    assert name == "germline_here.Guess"
    spec = germline.Spec(
        name="guess",
        task=PluginTask(name=name),
        policy=Policy(name="vector"),
        algorithm=GA,
        stop=Stop(evaluations=30),
    )
    assert run(spec).state == "complete"


def test_a_name_is_taken_over_by_the_next_object() -> None:
    germline.here(lambda weights, seed: 1.0, "score")
    assert PlayedFunction(path="germline_here:score").measure(np.zeros(1, np.float32), 0) == 1.0
    germline.here(lambda weights, seed: 2.0, "score")
    assert PlayedFunction(path="germline_here:score").measure(np.zeros(1, np.float32), 0) == 2.0


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (lambda weights, seed: 0.0, "give it another one"),
        (dict, "dict is a class of object; allowed: a torch module"),
    ],
)
def test_what_no_spec_can_name_is_refused(found: Any, sentence: str) -> None:
    with pytest.raises(germline.GermlineError, match=sentence):
        germline.here(found)


def test_a_path_that_nobody_keeps_is_refused() -> None:
    with pytest.raises(SetupError, match="has no 'nothing'"):
        PlayedFunction(path="germline_here:nothing")
