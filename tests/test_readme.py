"""What the README, the docs and the commands' own examples show, works as it is written."""

import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
import typer
from torch import nn

from germline import settings
from germline.card import parse_card
from germline.cli.app import app, run
from germline.genome import Genome
from germline.ports import free_port
from germline.spec import loads
from master.config import MasterConfig
from worker.config import WorkerConfig
from worker.playing.engine import Engine, Evaluation
from worker.playing.engines import build_engine
from worker.playing.playable import EngineSettings
from worker.tasks.base import EpisodicTask

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = {
    path.name: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
SERVICES = {"master": MasterConfig, "worker": WorkerConfig}
GROUP = typer.main.get_command(app)
GERMLINE = Path(sysconfig.get_path("scripts")) / "germline"
SHORT = """
name = "frostbite-ga"
[task.function]
path = "worker.tasks.function:noisy_sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 10
parents = 2
candidates = 0
[stop]
frames = 20
"""


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def lines_of(block: str) -> list[str]:
    """The commands of a console block, each on a line, without its comment."""
    commands = re.findall(r"^\$ ((?:.*\\\n)*.*)", block, flags=re.MULTILINE)
    return [" ".join(re.sub(r"\s#.*", "", each).replace("\\\n", " ").split()) for each in commands]


def mentioned(text: str) -> Iterator[str]:
    """Commands inside of sentences."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for code in re.findall(r"`((?:germline|make|python) [^`]+)`", prose):
        yield " ".join(code.split())


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
    {line for text in DOCUMENTS.values() for block in blocks("console", text) for line in lines_of(block)}
    | {line for text in DOCUMENTS.values() for line in mentioned(text)}
    | set(examples())
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the shown commands name, and none of our environment's settings."""
    for name in [name for name in os.environ if name.startswith("GERMLINE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    (tmp_path / "balance.toml").write_text(next(each for each in blocks("toml") if "balance" in each))
    (tmp_path / "FILE").symlink_to("balance.toml")
    for name in ("pong", "balance"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "champion.toml").write_text("there")
    (tmp_path / "pong.backup").write_text("there")
    for name in ("venture.toml", "inits.npz", "policy.safetensors"):
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
        assert program in ("alias", "export", "openssl")


def check(words: list[str]) -> None:
    """Read a command's words as the command line does; it fails for what there is not."""
    name = " ".join(words[:2]) if words[0] == "bench" else words[0]
    if name == "bench":  # all of them
        return
    rest = [word for word in words[len(name.split()) :] if word not in (">", "bench.json", "pong.nwk")]
    if name not in SERVICES:
        COMMANDS[name].make_context(name, [word for word in rest if word != "--help"], obj={})
    elif rest != ["--help"]:
        settings.parse(SERVICES[name], name, rest, {})


def test_the_example_task_is_played_by_the_rollout_engine() -> None:
    scope: dict[str, type] = {}
    exec(blocks("python")[0], scope)  # noqa: S102 - our own README
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
    project = next(block for block in blocks("toml") if "[project]" in block)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "maze.py").write_text(blocks("python")[0])
    (tmp_path / "pyproject.toml").write_text(project)
    built = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    wheel = in_folder(tmp_path, "-c", built).splitlines()[-1]
    ZipFile(tmp_path / wheel).extractall(tmp_path / "installed")
    spec = "name = 'm'\n[task.plugin]\nname = 'maze'\n[policy]\nname = 'mlp'\n[algorithm.ga]\n"
    (tmp_path / "maze.toml").write_text(spec)
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
    (shown,) = (block for block in blocks("console") if "balance" in block)
    (check_it, _run_it) = lines_of(shown)
    assert run(shlex.split(check_it)[1:]) == 0
    assert capsys.readouterr().out == "balance.toml: good\n"
    balance, eggroll = (next(b for b in blocks("toml") if mark in b) for mark in ("balance", "eggroll"))
    strategy = balance.partition("[algorithm.ga]")[0] + eggroll
    assert loads(strategy).algorithm.eggroll.pairs == 32


def test_every_piece_of_toml_and_python_is_one() -> None:
    for name, text in DOCUMENTS.items():
        languages = set(re.findall(r"^```(\w+)$", text, flags=re.MULTILINE))
        tried = {"console", "toml", "python", "text"} | ({"sh"} if name == "migrating.md" else set())
        assert languages <= tried, f"nothing tries {name}"  # what sh says there runs in test_migrating_evochi
        for block in blocks("toml", text):
            assert tomllib.loads(block)
        for block in blocks("python", text):
            compile(block, name, "exec")


def test_the_example_policies_start_and_remember() -> None:
    scope: dict[str, Any] = {"nn": nn}
    for block in blocks("python", DOCUMENTS["policies.md"]):
        exec(block, scope)  # noqa: S102 - our own docs
    start = scope["Careful"]().germline_init
    assert (start("head.weight"), start("head.bias")) == ((0.0, 0.01), None)
    policy = scope["Rememberer"](observation_shape=(4,), outputs=2)
    answers, state = policy(torch.ones(3, 4), policy.initial_state(3))
    assert (answers.shape, state.shape) == ((3, 2), (3, 32))
    assert not torch.equal(policy(torch.ones(3, 4), state)[0], answers)


def test_every_file_that_the_documents_name_exists() -> None:
    for name, text in DOCUMENTS.items():
        home = ROOT if name == "README.md" else ROOT / "docs"
        linked = re.findall(r"\]\(((?!http)[^)#]+)\)", text)
        assert [path for path in linked if not (home / path).exists()] == []


def test_a_file_that_is_said_to_have_so_many_lines_has_them() -> None:
    said = re.findall(r"\[(\d+) lines\]\(([^)]+)\)", README)
    assert said
    assert said == [(str(len((ROOT / path).read_text().splitlines())), path) for _, path in said]


def test_what_a_laptop_is_shown_works_on_a_real_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = (block for block in blocks("console") if "alias" in block)
    pong = ("run", str(ROOT / "experiments" / "pong.toml"), "--folder", "runs/pong")
    short = ("--evaluations", "1", "--workers", "1", "--json")
    done = subprocess.run(
        [GERMLINE, *pong, *short], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    said = {}
    for line in lines_of(shown)[1:]:
        _, *words = shlex.split(line.replace("--episodes 30", "--episodes 2"))
        assert run(words) == 0, capsys.readouterr().err
        said[words[0]] = capsys.readouterr().out
    assert set(said) == {"champion", "evaluate", "record", "lineage", "plot", "doctor"}
    assert parse_card(said["champion"]).experiment == "pong"
    assert len(said["doctor"].splitlines()) == 8, "the README says in eight lines"
    assert run(["status", "--run", "runs/pong", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluations"] == 1
    assert run(["pause", "--run", "runs/pong"]) == 3
    assert "has no master up; start it with: germline run" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the README's tokens come from openssl")
def test_a_fleet_is_made_watched_extended_and_forgotten_by_the_commands_that_are_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are written, but for the master's address and folder, and for how long the spec plays."""
    pytest.importorskip("cryptography", reason="pip install 'germline[certificates]'")
    (folder / "experiments").unlink()
    (folder / "experiments").mkdir()
    (folder / "experiments" / "frostbite-ga.toml").write_text(SHORT)
    monkeypatch.setenv("PATH", f"{GERMLINE.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("GERMLINE_METRICS_PORT", "-1")
    port = free_port()
    shown = [line for block in blocks("console") if "certificates" in block for line in lines_of(block)]
    said = []
    with contextlib.ExitStack() as fleet:
        for line in shown:
            here = (
                line.replace("master-host", "localhost").replace("/data/", "data/").replace("7700", str(port))
            )
            program, *words = shlex.split(here)
            if program == "export":
                for word in words:
                    monkeypatch.setenv(*word.split("=", 1))
            elif words[0] in SERVICES:
                fleet.callback(leave, subprocess.Popen(f"exec {here}", shell=True))  # noqa: S602
                wait_for_port(port)
            else:
                said.append(subprocess.check_output(here, shell=True, text=True))  # noqa: S602 - our own
    made, submitted, watched, *published, extended, stopped, kept, deleted = filter(None, said)
    assert made.startswith("wrote ca.pem, server.pem")
    assert submitted == "frostbite-ga is running, 0 evaluations, until 20 calls\n"
    assert "frostbite-ga complete: 20 evaluations" in watched
    assert all(re.fullmatch(r"[0-9a-f]{16}: .*, after 20 evaluations\n", line) for line in published)
    # It goes on at once, so there may be more of them by the time of the answer.
    assert re.fullmatch(r"frostbite-ga is running, [\d,]+ evaluations, until 2,000,000,000 calls\n", extended)
    assert stopped.startswith("frostbite-ga is stopped")
    assert kept.startswith("1 experiment in all.backup")
    assert deleted == "frostbite-ga is deleted\n"


def leave(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(60) == 0


def wait_for_port(port: int) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError("the master does not listen")
