"""What docs/serving.md shows and says is so."""

import asyncio
import re
from contextlib import AsyncExitStack
from types import ModuleType

import pytest
import torch

from germline.genome import Genome
from germline.spec import loads
from tests.pages import page
from worker.serving import node, telling
from worker.serving.fleet import Fleet, Place, Served
from worker.serving.node import Protection
from worker.serving.orchestrator import Orchestrator
from worker.serving.policy import PolicyModel, build_policy

PAGE = page("docs/serving.md")


class Policy:
    """Remembers what it was shown."""

    seen: object = None

    def tick(self, observation: object) -> None:
        self.seen = observation

    def predict(self) -> float:
        return 0.5


def shown(part: str) -> ModuleType:
    """The piece of Python on the page that holds a part, as a module."""
    module = ModuleType("shown")
    exec(PAGE.block("python", part), module.__dict__)  # noqa: S102 - our own page
    return module


def test_the_class_of_ones_own_that_the_page_shows_works() -> None:
    module = shown("class Advisor")
    policy = Policy()
    advisor = module.Advisor(policy, scale=4.0)
    advisor.tick({"open": 1, "close": 2, "volume": 3})
    assert policy.seen == [1, 2, 3]
    assert advisor.predict(3) == 6.0


def test_every_method_of_a_policy_is_on_the_page_and_no_other() -> None:
    offered = {name for name in dir(PolicyModel) if not name.startswith("_")}
    table = PAGE.text.partition("| method |")[2].partition("\n\n")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines()[1:] if "|" in line]
    assert set(re.findall(r"`(\w+)`", " ".join(first_cells))) == offered


def test_the_pauses_of_the_page_are_those_of_the_code() -> None:
    assert f"after {telling.FIRST_PAUSE_S:.0f} s, then" in PAGE.text
    assert f"up to {telling.LONGEST_PAUSE_S:.0f}, in" in PAGE.text
    assert f"it hangs for {node.STUCK_S:.0f} s" in PAGE.text


async def test_the_program_that_the_page_shows_gets_an_action_of_each_champion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = shown("from germline.models import")
    fleet, orchestrator = Fleet(Place("127.0.0.1")), Orchestrator(Protection(), lambda report: None)
    environments = {"balance": "CartPole-v1", "swing": "Pendulum-v1"}
    await fleet.serve([served(name, environment) for name, environment in environments.items()])
    fleet.announce_by(orchestrator)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(fleet.close)
        await orchestrator.open("127.0.0.1", 0, stack)
        actions = await asyncio.to_thread(program.main, f"localhost:{orchestrator.port}")
    assert actions["balance"] in (0, 1)
    assert -2.0 <= actions["swing"] <= 2.0
    assert capsys.readouterr().out.count(": ok after ") == 2


def served(name: str, environment: str) -> Served:
    task = f'name = "{name}"\n[task.gym]\nid = "{environment}"\n'
    spec = loads(task + '[policy]\nname = "mlp"\nhidden = [8]\n[algorithm.ga]\n')
    return Served(name, name, lambda: build_policy(spec, Genome.founder(1), {}, torch.device("cpu")))
