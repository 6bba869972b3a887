"""What the README, the docs and the commands' own examples show, works as it is written."""

import importlib.util
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
import typer
from torch import nn

from germline import settings
from germline.card import PolicyCard, parse_card, write_card
from germline.cli.app import app, run
from germline.genome import Genome
from germline.spec import loads
from master.config import MasterConfig
from tests.pages import ROOT, all_pages, page
from worker.config import WorkerConfig
from worker.playing.engine import Engine, Evaluation
from worker.playing.engines import build_engine
from worker.playing.playable import EngineSettings
from worker.tasks.base import EpisodicTask

README = page("README.md")
ENVIRONMENT = page("docs/guides/environment.md")
SERVICES = {"master": MasterConfig, "worker": WorkerConfig}
GROUP = typer.main.get_command(app)
GERMLINE = Path(sysconfig.get_path("scripts")) / "germline"
MAZE = ENVIRONMENT.block("python", "class Maze")


def examples() -> Iterator[str]:
    """Those that `--help` shows, and the ready specs."""
    for name, command in COMMANDS.items():
        shown = re.findall(r"Example: (germline .*)", command.help or "")
        assert shown, f"germline {name} shows no example"
        yield from shown
    for spec in (ROOT / "experiments").glob("*.toml"):
        yield from re.findall(r"^#\s+(germline .*)", spec.read_text(), flags=re.MULTILINE)


def commands_below(group: typer.core.TyperGroup, name: str = "") -> dict[str, typer.core.TyperCommand]:
    found: dict[str, typer.core.TyperCommand] = {}
    for word, command in group.commands.items():
        below = f"{name} {word}".strip()
        if isinstance(command, typer.core.TyperGroup):
            found |= commands_below(command, below)
        elif isinstance(command, typer.core.TyperCommand):
            found[below] = command
    return found


assert isinstance(GROUP, typer.core.TyperGroup)
COMMANDS = commands_below(GROUP)
SHOWN = sorted(
    {line for page in all_pages() for line in [*page.commands(), *page.mentioned()]} | set(examples())
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the shown commands name, and none of our environment's settings."""
    for name in [name for name in os.environ if name.startswith("GERMLINE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    (tmp_path / "balance.toml").write_text(README.block("toml", "balance.toml"))
    (tmp_path / "FILE").symlink_to("balance.toml")
    for each in (each for shown in all_pages() for each in shown.all_blocks() if each.title):
        (tmp_path / each.title).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each.title).write_text(each.text)
    for name in ("pong", "balance", "cartpole"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "champion.toml").write_text("there")
    (tmp_path / "pong.backup").write_text("there")
    for name in (
        "CARD",
        "champion.toml",
        "venture.toml",
        "inits.npz",
        "policy.safetensors",
        "frostbite.toml",
    ):
        (tmp_path / name).write_text("there")
    for role in ("worker", "operator"):
        (tmp_path / f"{role}-token").write_text(f"the-token-of-a-{role}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", SHOWN)
def test_every_command_that_is_shown_is_one(line: str, folder: Path) -> None:
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif program == "python":
        is_module = words[0] == "-m"
        assert importlib.util.find_spec(words[1]) if is_module else (ROOT / words[0]).is_file()
    elif program == "germline":
        check(words)
    else:
        assert program in ("alias", "export", "openssl", "pip")


def check(words: list[str]) -> None:
    """Read a command's words as the command line does; it fails for what there is not."""
    name = " ".join(words[:2]) if words[0] == "bench" else words[0]
    if name == "bench":  # all of them
        return
    rest = list(itertools.takewhile(lambda word: word not in (">", "|"), words[len(name.split()) :]))
    if not rest:  # a sentence that speaks of the command
        assert name in COMMANDS
        return
    if name not in SERVICES:
        COMMANDS[name].make_context(name, [word for word in rest if word != "--help"], obj={})
    elif rest != ["--help"]:
        settings.parse(SERVICES[name], name, rest, {})


def test_the_example_task_is_played_by_the_rollout_engine() -> None:
    scope: dict[str, type] = {}
    exec(MAZE, scope)  # noqa: S102 - our own page
    task = scope["Maze"](length=4)
    assert isinstance(task, EpisodicTask)
    engine: Engine[int] = build_engine(
        EngineSettings(task="maze", policy="mlp", hidden=(4,)), device=torch.device("cpu"), task=task
    )
    for number in range(20):
        engine.submit(Evaluation(number, Genome.founder(number), (3,)))
    played = []
    while engine.busy():
        played += engine.tick()
    assert {result.returns for result in played} == {(0.0,), (1.0,)}


def test_the_example_package_is_built_and_its_task_played(tmp_path: Path) -> None:
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "maze.py").write_text(MAZE)
    (tmp_path / "pyproject.toml").write_text(ENVIRONMENT.block("toml", "[project]"))
    built = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    wheel = in_folder(tmp_path, "-c", built).splitlines()[-1]
    ZipFile(tmp_path / wheel).extractall(tmp_path / "installed")
    (tmp_path / "maze.toml").write_text(ENVIRONMENT.block("toml", "[task.plugin]"))
    germline = "from germline.cli import main; main()"
    checked = in_folder(tmp_path / "installed", "-c", germline, "spec", "../maze.toml")
    assert checked == "../maze.toml: good\n"


def in_folder(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_specs_are_good(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (check_it, _run_it) = [line for line in README.commands() if "balance" in line]
    assert run(shlex.split(check_it)[1:]) == 0
    assert capsys.readouterr().out == "balance.toml: good\n"
    balance, eggroll = (README.block("toml", mark) for mark in ("balance.toml", "eggroll"))
    strategy = balance.partition("[algorithm.ga]")[0] + eggroll
    assert loads(strategy).algorithm.eggroll.pairs == 32


def test_the_example_of_python_loads_plays_and_acts(folder: Path) -> None:
    card = PolicyCard({"gym": {"id": "CartPole-v1"}}, {"name": "mlp"}, "float32", Genome.founder(1))
    (folder / "runs" / "balance" / "champion.toml").write_text(write_card(card))
    scope: dict[str, Any] = {}
    exec(README.blocks("python")[0], scope)  # noqa: S102 - our own README
    assert scope["action"] in (0, 1)


def test_the_example_policies_start_and_remember() -> None:
    scope: dict[str, Any] = {"nn": nn}
    for block in page("docs/policies.md").blocks("python"):
        exec(block, scope)  # noqa: S102 - our own docs
    start = scope["Careful"]().germline_init
    assert (start("head.weight"), start("head.bias")) == ((0.0, 0.01), None)
    policy = scope["Rememberer"](observation_shape=(4,), outputs=2)
    answers, state = policy(torch.ones(3, 4), policy.initial_state(3))
    assert (answers.shape, state.shape) == ((3, 2), (3, 32))
    assert not torch.equal(policy(torch.ones(3, 4), state)[0], answers)


def test_a_file_that_is_said_to_have_so_many_lines_has_them() -> None:
    said = [
        (int(lines), each.home / path)
        for each in all_pages()
        for lines, path in re.findall(r"\[(\d+) lines\]\(([^)]+)\)", each.text)
    ]
    assert said
    assert said == [(len(path.read_text().splitlines()), path) for _, path in said]


def test_what_a_laptop_is_shown_works_on_a_real_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [line for line in README.commands() if "runs/pong" in line or line == "germline doctor"]
    pong = ("run", str(ROOT / "experiments" / "pong.toml"), "--folder", "runs/pong")
    short = ("--evaluations", "1", "--workers", "1", "--json")
    done = subprocess.run(
        [GERMLINE, *pong, *short], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    said = {}
    for line in shown:
        _, *words = shlex.split(line.replace("--episodes 30", "--episodes 2"))
        assert run(words) == 0, capsys.readouterr().err
        said[words[0]] = capsys.readouterr().out
    assert set(said) == {"champion", "evaluate", "record", "lineage", "plot", "track", "doctor"}
    assert list(Path("runs/pong").rglob("events.out.tfevents.*")), "TensorBoard can open what was tracked"
    assert parse_card(said["champion"]).experiment == "pong"
    assert len(said["doctor"].splitlines()) == 8, "the README says in eight lines"
    assert run(["status", "--run", "runs/pong", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluations"] == 1
    assert run(["pause", "--run", "runs/pong"]) == 3
    assert "has no master up; start it with: germline run" in capsys.readouterr().err
