"""Tasks and policies by name, by import path and from other packages."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest

from worker import plugins
from worker.tasks.atari import AtariTask
from worker.tasks.base import SetupError
from worker.tasks.function import FunctionTask, noisy_sphere


class Doubler:
    """A task from another package."""

    def __init__(self, *, dimension: int) -> None:
        self.dimension = dimension

    def measure(self, weights: np.ndarray, seed: int) -> float:
        return 2.0 * float(weights.sum())


@pytest.fixture
def other_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that a package registered `doubler`, a task, and `broken`, which cannot be imported."""
    module = type(sys)("other_package")
    module.Doubler = Doubler  # type: ignore[attr-defined]
    module.NotATask = dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "other_package", module)
    points = EntryPoints(
        [
            EntryPoint("doubler", "other_package:Doubler", plugins.TASKS),
            EntryPoint("broken", "no_such_module:Task", plugins.TASKS),
            EntryPoint("odd", "other_package:NotATask", plugins.TASKS),
        ]
    )
    monkeypatch.setattr(plugins, "entry_points", points.select)


def test_the_package_s_own_tasks_are_found_by_name() -> None:
    assert isinstance(plugins.make_task("atari", {"game": "pong"}), AtariTask)


def test_a_task_of_another_package_is_found_by_its_entry_point(other_package: None) -> None:
    task = plugins.make_task("doubler", {"dimension": 3})

    assert isinstance(task, Doubler)
    assert task.dimension == 3


def test_an_unknown_task_is_refused_with_the_known_ones(other_package: None) -> None:
    with pytest.raises(SetupError, match="task is 'tripler'; allowed: broken, doubler, odd"):
        plugins.make_task("tripler", {})


def test_a_plug_in_that_cannot_be_imported_is_refused_by_name(other_package: None) -> None:
    with pytest.raises(SetupError, match="task is 'broken'; its package cannot be loaded: No module"):
        plugins.make_task("broken", {})


def test_arguments_that_a_task_does_not_know_are_refused(other_package: None) -> None:
    with pytest.raises(SetupError, match=r"task.doubler refuses its arguments \['speed'\]"):
        plugins.make_task("doubler", {"speed": 3})


def test_a_plug_in_that_is_no_task_is_refused(other_package: None) -> None:
    with pytest.raises(SetupError, match="whose dict is no task; allowed: spaces and make_lanes"):
        plugins.make_task("odd", {})


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("worker.tasks.function", "allowed: an import path"),
        ("no_such_module:f", "this worker cannot import it"),
        ("worker.tasks.function:no_such", "the module has no 'no_such'"),
    ],
)
def test_an_import_path_that_leads_nowhere_is_refused(path: str, complaint: str) -> None:
    with pytest.raises(SetupError, match=complaint):
        FunctionTask(path=path)


def test_a_function_of_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_fitness.py").write_text(
        "def total(weights, seed):\n    weights += 1\n    return weights.sum() + seed\n"
    )
    monkeypatch.chdir(tmp_path)
    task, weights = FunctionTask(path="my_fitness:total", dimension=2), np.zeros(2, np.float32)

    assert task.measure(weights, 5) == 7.0
    assert weights.tolist() == [0.0, 0.0]  # what the function changes is its own copy


def test_the_example_s_noise_is_determined_by_the_seed() -> None:
    weights = np.zeros(10, np.float32)

    assert noisy_sphere(weights, 1) == noisy_sphere(weights, 1)
    assert noisy_sphere(weights, 1) != noisy_sphere(weights, 2)


def test_arguments_travel_as_toml() -> None:
    texts = {"a": "3", "b": "0.5", "c": "true", "d": "plain text", "e": '"quoted"', "f": "[1, 2]"}

    assert plugins.values(texts) == {
        "a": 3,
        "b": 0.5,
        "c": True,
        "d": "plain text",
        "e": "quoted",
        "f": [1, 2],
    }
