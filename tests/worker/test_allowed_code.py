"""What a spec may have a worker import, and that nothing else of it is even looked at."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from germline.spec import loads
from worker.allowed_code import AllowedCode
from worker.config import WorkerConfig
from worker.playing.engine_builder import EngineBuilder
from worker.plugins import imported
from worker.tasks.base import SetupError

ROOT = Path(__file__).parents[2]
ALGORITHM = "[algorithm.ga]\n"
CARTPOLE = '[task.gym]\nid = "CartPole-v1"\n'
WAYS = {
    "policy.name": f'{CARTPOLE}[policy]\nname = "strange.code:Net"\n',
    "task.function.path": '[task.function]\npath = "strange.code:Net"\n[policy]\nname = "vector"\n',
    "task.gym.id": '[task.gym]\nid = "strange.code:Net"\n[policy]\nname = "mlp"\n',
    "task.gym.arguments.env_id": (
        '[task.gym]\nid = "GymV26Environment-v0"\narguments = {env_id = "strange.code:Net"}\n'
        '[policy]\nname = "mlp"\n'
    ),
    "task.function.path by a plug-in's name": (
        '[task.plugin]\nname = "function"\narguments = {path = "strange.code:Net"}\n'
        '[policy]\nname = "vector"\n'
    ),
    "task.gym.id by a plug-in's name": (
        '[task.plugin]\nname = "gym"\narguments = {id = "strange.code:Net"}\n[policy]\nname = "mlp"\n'
    ),
}


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of the current folder that leaves a mark when it is imported."""
    mark = tmp_path / "imported"
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "__init__.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    (tmp_path / "strange" / "code.py").write_text("from os import system\ndef f(weights, seed): return 1.0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield mark
    for name in [name for name in sys.modules if name.partition(".")[0] == "strange"]:
        del sys.modules[name]


def build(spec: str, allowed: str = "") -> None:
    builder = EngineBuilder(torch.device("cpu"), 1, allowed_code=AllowedCode.of(allowed))
    builder.build(loads(f'name = "a"\n{spec}{ALGORITHM}')).close()


@pytest.mark.parametrize("way", WAYS)
def test_no_way_of_a_spec_leads_to_code_that_is_not_allowed(way: str, strange: Path) -> None:
    field = way.partition(" ")[0]
    with pytest.raises(
        SetupError, match=rf"^{field} is 'strange.code:Net', which this worker may not import"
    ):
        build(WAYS[way])
    assert not strange.exists(), "it was imported"


@pytest.mark.parametrize("allowed", ["strange", "strange.code", "other, strange.code:f"])
def test_what_the_operator_allows_is_played(allowed: str, strange: Path) -> None:
    build('[task.function]\npath = "strange.code:f"\n[policy]\nname = "vector"\n', allowed)
    assert strange.exists()


@pytest.mark.parametrize("allowed", ["strange.other", "strang", "strange.code:g", "strange.code.deeper"])
def test_allowing_something_else_allows_nothing(allowed: str, strange: Path) -> None:
    with pytest.raises(SetupError, match="may not import"):
        build('[task.function]\npath = "strange.code:f"\n[policy]\nname = "vector"\n', allowed)
    assert not strange.exists()


def test_what_an_allowed_module_has_from_elsewhere_is_not_its_own(strange: Path) -> None:
    with pytest.raises(SetupError, match=r"which is of posix; allowed: what the package strange defines"):
        imported("task.function.path", "strange.code:system")


@pytest.mark.parametrize(
    "spec",
    [
        f'{CARTPOLE}[policy]\nname = "mlp"\n',
        f'{CARTPOLE}[policy]\nname = "worker.networks.policies.gru:Gru"\n',
        '[task.function]\npath = "worker.tasks.function:noisy_sphere"\n[policy]\nname = "vector"\n',
    ],
)
def test_our_own_and_what_is_installed_go_without_saying(spec: str) -> None:
    build(spec)


@pytest.mark.parametrize(
    "path", ["worker.tasks.function:imported", "worker.plugins:imported", "germline.cli:run"]
)
def test_not_all_of_our_own_code_may_be_named(path: str) -> None:
    with pytest.raises(SetupError, match="may not import"):
        build(f'[task.function]\npath = "{path}"\n[policy]\nname = "vector"\n')


@pytest.mark.parametrize("text", ["a b", "a:", ":a", "a..b", "*", "1a", "a:b:c", "os system"])
def test_a_list_of_code_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"allow_code has .*; allowed: package\.module"):
        WorkerConfig(allow_code=text)


IMPORTING = {"import_module", "imported", "registered", "__import__", "run_module", "run_path"}


def test_code_is_imported_by_name_in_these_places_only() -> None:
    """Whoever adds another way from a spec to an import has it looked at, and listed here."""
    calls = {
        (path.relative_to(ROOT).as_posix(), ast.unparse(node.func).rpartition(".")[2])
        for path in (ROOT / "worker").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and (
            ast.unparse(node.func) in {"exec", "eval"}
            or ast.unparse(node.func).rpartition(".")[2] in IMPORTING
        )
    }
    assert calls == {
        ("worker/networks/policies/build.py", "imported"),
        ("worker/networks/policies/build.py", "registered"),
        ("worker/plugins.py", "import_module"),
        ("worker/plugins.py", "registered"),
        ("worker/serving/child.py", "imported"),  # what its operator's own --model names
        ("worker/tasks/function.py", "imported"),
        ("worker/tasks/gym.py", "import_module"),
        ("worker/tasks/gym.py", "imported"),
    }
