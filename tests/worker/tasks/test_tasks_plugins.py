"""Tasks and policies by name, by import path and from other packages."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest

from worker import plugins
from worker.networks.policies.build import make_policy
from worker.tasks.atari import AtariTask
from worker.tasks.base import SetupError
from worker.tasks.function import FunctionTask, noisy_sphere
from worker.tasks.gym import GymTask

CALLED: list[str] = []


def command(*words: object, **more: object) -> None:
    """What nobody asked for."""
    CALLED.append(f"{words} {more}")


class Command:
    """The same as a class."""

    def __init__(self, *words: object, **more: object) -> None:
        command(*words, **more)


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
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "other_package", module)
    points = EntryPoints(
        [
            EntryPoint("doubler", "other_package:Doubler", plugins.TASKS),
            EntryPoint("broken", "no_such_module:Task", plugins.TASKS),
            EntryPoint("odd", "other_package:NotATask", plugins.TASKS),
            EntryPoint("command", "other_package:command", plugins.TASKS),
            EntryPoint("command", "other_package:command", plugins.POLICIES),
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
    with pytest.raises(SetupError, match="task is 'tripler'; allowed: broken, command, doubler, odd"):
        plugins.make_task("tripler", {})


def test_a_plug_in_that_cannot_be_imported_is_refused_by_name(other_package: None) -> None:
    with pytest.raises(SetupError, match="task is 'broken'; its package cannot be loaded: No module"):
        plugins.make_task("broken", {})


def test_arguments_that_a_task_does_not_know_are_refused(other_package: None) -> None:
    with pytest.raises(SetupError, match=r"task.doubler refuses its arguments \['speed'\]"):
        plugins.make_task("doubler", {"speed": 3})


def test_a_plug_in_that_is_no_task_is_refused(other_package: None) -> None:
    with pytest.raises(
        SetupError, match="which names <class 'dict'>, no class of tasks; allowed: spaces and make_lanes"
    ):
        plugins.make_task("odd", {})


def test_what_a_name_leads_to_is_not_called_before_it_is_known_to_be_of_its_kind(other_package: None) -> None:
    cartpole = GymTask(id="CartPole-v1")
    for name in (f"{__name__}:command", f"{__name__}:Command", "command"):
        with pytest.raises(SetupError, match="allowed: a torch module's class"):
            make_policy(name, cartpole)
    with pytest.raises(SetupError, match="no class of tasks"):
        plugins.make_task("command", {})
    with pytest.raises(SetupError, match=r"task.function.path is .* a type; allowed: a function"):
        FunctionTask(path=f"{__name__}:Command")

    assert not CALLED


@pytest.mark.parametrize("module", ["antigravity", "idlelib.idle", "pip.__main__"])
def test_python_s_own_modules_and_programs_are_not_even_imported(module: str) -> None:
    before = set(sys.modules)
    for refused in (
        lambda: make_policy(f"{module}:fly", GymTask(id="CartPole-v1")),
        lambda: FunctionTask(path=f"{module}:fly"),
        lambda: GymTask(id=f"{module}:CartPole-v1"),
    ):
        with pytest.raises(SetupError, match=f"'{module}:.*' *; {module} is a part of Python or a program"):
            refused()

    assert module not in set(sys.modules) - before


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's own folder; its modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for written in tmp_path.glob("*.py"):
        sys.modules.pop(written.stem, None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("raise KeyError('weights')", "KeyError: 'weights'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def f(:", "SyntaxError: "),
        ("import no_such_module", "broken_module imports what is not here: No module named 'no_such_module'"),
    ],
)
def test_a_module_that_fails_at_import_is_refused_in_one_sentence(
    folder: Path, text: str, complaint: str
) -> None:
    (folder / "broken_module.py").write_text(text)
    for refused in (
        lambda: make_policy("broken_module:Net", GymTask(id="CartPole-v1")),
        lambda: FunctionTask(path="broken_module:f"),
        lambda: GymTask(id="broken_module:Env-v0"),
    ):
        with pytest.raises(SetupError, match=complaint):
            refused()


def test_a_gym_environment_of_the_current_folder_is_found(folder: Path) -> None:
    (folder / "my_worlds.py").write_text(
        "import gymnasium\n"
        'gymnasium.register("Mine-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=9)\n'
    )

    assert GymTask(id="my_worlds:Mine-v0").spaces.observation_shape == (4,)


def test_a_gym_environment_that_nobody_registered_is_found_by_its_class(folder: Path) -> None:
    (folder / "bare_worlds.py").write_text(
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "class Bare(CartPoleEnv):\n"
        "    def __init__(self, size=1, **given):\n"
        "        super().__init__(**given)\n"
        "        self.size = size\n"
    )

    task = GymTask(id="bare_worlds:Bare", max_steps=7, arguments={"size": 3})

    made = task.make()
    assert getattr(made.unwrapped, "size", None) == 3
    made.reset(seed=1)
    steps = (made.step(step % 2) for step in range(7))
    assert [truncated for _, _, _, truncated, _ in steps] == [False] * 6 + [True]


def test_what_is_no_environment_is_refused_with_what_is_allowed(folder: Path) -> None:
    (folder / "no_worlds.py").write_text("class World: pass\ndef world(): pass\n")
    for name in ("World", "world"):
        with pytest.raises(SetupError, match=rf"'no_worlds:{name}', which is no environment; allowed: an id"):
            GymTask(id=f"no_worlds:{name}")


def test_a_class_that_the_module_only_imported_is_no_environment_of_it(folder: Path) -> None:
    (folder / "lent_worlds.py").write_text("from gymnasium.envs.classic_control import CartPoleEnv\n")
    with pytest.raises(SetupError, match="which is of gymnasium"):
        GymTask(id="lent_worlds:CartPoleEnv")


def test_a_function_that_takes_other_arguments_is_refused(folder: Path) -> None:
    (folder / "one_argument.py").write_text("def f(weights): return 0.0\n")
    with pytest.raises(SetupError, match=r"takes \(weights\); allowed: a function of \(weights, seed\)"):
        FunctionTask(path="one_argument:f")


def test_a_task_whose_constructor_fails_is_refused_in_one_sentence(
    other_package: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Doubler, **_: object) -> None:
        raise KeyError("rooms")

    monkeypatch.setattr(Doubler, "__init__", fail)
    with pytest.raises(SetupError, match=r"task\.doubler cannot be made: KeyError: 'rooms'"):
        plugins.make_task("doubler", {})


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("worker.tasks.function", "allowed: an import path"),
        ("no_such_module:f", "no module no_such_module is in .*, where this runs, or installed"),
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
