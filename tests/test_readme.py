"""What the README shows, works."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from germline.cli.app import app
from germline.genome import Genome
from germline.spec import loads
from worker.playing.engine import Engine, Evaluation
from worker.playing.engines import build_engine
from worker.playing.playable import EngineSettings
from worker.tasks.base import EpisodicTask

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


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


def test_the_example_specs_are_good() -> None:
    lunar, eggroll = (next(b for b in blocks("toml") if mark in b) for mark in ("lunar", "eggroll"))
    assert loads(lunar).policy.hidden == [64, 64]
    strategy = lunar.partition("[algorithm.ga]")[0] + eggroll
    assert loads(strategy).algorithm.eggroll.pairs == 32


def test_every_command_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"(?:^|\$ |`)germline ([a-z]+)", README, flags=re.MULTILINE))
    known = {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }
    known |= {group.name for group in app.registered_groups if group.name}
    assert named
    assert named <= known


def test_every_file_that_the_readme_names_exists() -> None:
    root = Path(__file__).parent.parent
    linked = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    assert linked
    assert [path for path in linked if not (root / path).exists()] == []
