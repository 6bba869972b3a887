"""What CONTRIBUTING.md shows is whole, and does what it says: a task, a policy, a gateway, an algorithm."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from germline.algorithms.base import Result
from germline.spec import loads
from master.config import MasterConfig
from master.gateways import GATEWAYS
from master.server import Master
from tests.pages import page
from worker.networks.policies.build import make_policy
from worker.tasks.base import WeightsTask
from worker.tasks.gym import GymTask

PAGE = page("CONTRIBUTING.md")
SPEC = """
name = "shown"
[task.function]
path = "worker.tasks.function:noisy_sphere"
[policy]
name = "vector"
[algorithm.ga]
"""


def shown(title: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The file that the page shows under this name, as a module that can be imported."""
    (block,) = (each for each in PAGE.all_blocks() if each.title == title)
    module = ModuleType(title.removesuffix(".py"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(block.text, title, "exec"), module.__dict__)  # noqa: S102 - our own page
    return module


def test_the_task_measures_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    task = shown("valley.py", monkeypatch).Valley()
    assert isinstance(task, WeightsTask)
    assert task.measure(np.ones(2, np.float32), seed=1) == 0.0
    assert task.measure(np.zeros(2, np.float32), seed=1) == -1.0


def test_the_policy_is_one_that_germline_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    shown("wide.py", monkeypatch)
    policy = make_policy("wide:Wide", GymTask(id="CartPole-v1"))
    assert policy(torch.zeros(3, 4)).shape == (3, 2)


async def test_the_gateway_tells_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(GATEWAYS, dict)
    monkeypatch.setitem(GATEWAYS, "line", shown("line_gateway.py", monkeypatch).start)
    config = MasterConfig(
        listen="127.0.0.1:0", gateway="line=127.0.0.1:0", store_folder=tmp_path, metrics_port=-1
    )
    async with asyncio.timeout(60), Master.serving(config) as master:
        master.registry.create(loads(SPEC))
        host, _, port = master.gateways["line"].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await reader.read() == b"shown 0\n"
        writer.close()


def fitness(genome: Any) -> float:
    """How far a weight is from 3; the seeds of the genome are all that it depends on."""
    draws = [np.random.default_rng(seed).normal() for seed in (genome.init_seed, *_seeds(genome))]
    return -abs(3.0 - draws[0] - 0.5 * sum(draws[1:]))


def _seeds(genome: Any) -> list[int]:
    return [mutation.seed for mutation in genome.mutations]


def climbed(climber: Any, evaluations: int) -> Any:
    for _ in range(evaluations):
        for ask in climber.ask(1):
            climber.tell(Result(ask.ticket, (fitness(ask.genome),), frames=1, steps=1))
    return climber


def test_the_algorithm_climbs_and_goes_on_after_a_restart_as_if_there_had_been_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = shown("hill_climber.py", monkeypatch)
    first = climbed(module.HillClimber(seed=1), 3)
    early = first.best_fitness
    (open_ask,) = first.ask(1)
    again = module.HillClimber(seed=1)
    again.restore(first.snapshot())
    again.adopt(open_ask)
    assert again.pending() == first.pending() == [open_ask]
    assert climbed(again, 200).snapshot() == climbed(first, 200).snapshot()
    assert first.best_fitness > early
    with pytest.raises(ValueError, match="returns has 2 values"):
        first.tell(Result(open_ask.ticket, (1.0, 2.0), frames=1, steps=1))
    assert first.pending() == [open_ask]
