"""What a user has who installs the wheel with one extra and nothing else: all imports, and every help.

Distributions that the extra does not ask for are hidden from a fresh interpreter, as if not installed.
"""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = ("germline", "master", "worker")
TRACKERS = ("tensorboard", "wandb", "mlflow")

HIDING = """
import importlib.abc, json, sys

class Hidden(importlib.abc.MetaPathFinder):
    def __init__(self, names):
        self.names = set(names)
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden(json.loads(sys.stdin.read())))
"""
HELP = """
import typer
from germline.cli.app import app, run

def commands(group, path=()):
    for name, command in getattr(group, "commands", {}).items():
        yield [*path, name]
        yield from commands(command, (*path, name))

for command in [[], *commands(typer.main.get_command(app))]:
    if command not in (["master"], ["worker"]):  # which become another program
        assert run([*command, "--help"]) == 0, command
for service in ("master", "worker"):
    module = __import__(service + ".__main__", fromlist=["main"])
    try:
        module.main(["--help"])
    except SystemExit as done:
        assert done.code == 0, service
"""


def requirements(*extras: str) -> list[Requirement]:
    optional = PROJECT["optional-dependencies"]
    return [
        Requirement(line) for line in [*PROJECT["dependencies"], *(r for e in extras for r in optional[e])]
    ]


def needed(*extras: str) -> set[str]:
    """The distributions that pip would install."""
    found: set[tuple[str, str]] = set()
    waiting = [(requirement, "") for requirement in requirements(*extras)]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in found:
                found.add((name, wanted))
                waiting += [(Requirement(line), wanted) for line in metadata.requires(name) or ()]
    return {name for name, _ in found}


@cache
def providers() -> dict[str, set[str]]:
    """Which distributions provide a top-level module."""
    return {
        module: {canonicalize_name(name) for name in names}
        for module, names in metadata.packages_distributions().items()
        if module not in OURS
    }


def run_with(extras: Sequence[str], code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    allowed = needed(*extras)
    hidden = [module for module, names in providers().items() if not names & allowed]
    assert "pytest" in hidden
    return subprocess.run(
        [sys.executable, "-c", HIDING + code, *arguments],
        input=json.dumps(hidden), capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip


def modules(package: str) -> Iterator[str]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] != "__main__":
            yield ".".join(parts).removesuffix(".__init__")


def imported(package: str) -> dict[str, str]:
    """Every module that a package imports anywhere, lazily or not, with a file that does."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [f"{node.module}"]
            found.update({name: str(path.relative_to(ROOT)) for name in names})
    return found


@pytest.mark.parametrize(
    "extras", [(), ("worker",), ("local",)], ids=lambda extras: "+".join(extras) or "none"
)
def test_every_help_opens_with_one_extra_and_nothing_else(extras: tuple[str, ...]) -> None:
    helped = run_with(extras, HELP)
    assert helped.returncode == 0, helped.stdout + helped.stderr


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "evaluate",
        "export",
        "record",
        "serve",
        "dashboard",
        "bench rebuild",
        "certificates",
        "publish --to s3://bucket --master",
        "track --to tensorboard --folder",
    ],
)
def test_a_command_that_needs_an_extra_names_it_and_ends_with_5(command: str, tmp_path: Path) -> None:
    given = {"run": "experiments/cartpole.toml", "bench rebuild": "", "certificates": str(tmp_path / "new")}
    given["dashboard"] = ""
    given["track --to tensorboard --folder"] = str(tmp_path)
    given["publish --to s3://bucket --master"] = "localhost:1"
    file = given.get(command, "experiments/results/pong.toml")
    code = "import sys\nfrom germline.cli.app import run\nsys.exit(run(sys.argv[1:]))"
    ended = run_with((), code, *command.split(), *([file] if file else []))
    assert ended.returncode == 5
    assert re.search(
        r"pip install 'germline\[(worker|local|certificates|models|sweep|dashboard|aws|tensorboard)\]'",
        ended.stderr,
    )


@pytest.mark.parametrize(
    ("packages", "extras"),
    [
        (("master",), ()),
        (("germline", "worker"), ("worker", "certificates", "models", "dashboard", *TRACKERS)),
    ],
    ids=["master", "worker"],
)
def test_every_module_loads_where_its_process_is_installed(
    packages: tuple[str, ...], extras: tuple[str, ...]
) -> None:
    names = [name for package in packages for name in modules(package)]
    loaded = run_with(
        extras, "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)", *names
    )
    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.parametrize("package", OURS)
def test_what_is_imported_is_declared_and_not_just_there_by_way_of_another_package(package: str) -> None:
    declared = {
        canonicalize_name(r.name)
        for r in requirements(
            *("worker", "local", "certificates", "models", "sweep", "dashboard", "aws", "qd", "learning"),
            *TRACKERS,
        )
    }
    undeclared = {
        f"{module} in {path}"
        for module, path in imported(package).items()
        if (top := module.partition(".")[0]) not in {*OURS, *sys.stdlib_module_names}
        and not providers().get(top, {top}) & declared  # what is not installed is known by its name
    }
    assert undeclared == set()
