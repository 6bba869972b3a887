"""A node in a process of its own: it serves, dies alone, and leaves no process behind."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from germline.connection import Security
from germline.genome import Genome
from germline.models import Given, Status
from germline.models.announcements import Announced
from germline.models.node_client import NodeClient, call_request, setup_request
from germline.spec import loads
from worker.serving.isolated import IsolatedNode, Order
from worker.serving.node import MAX_RENEWALS, NodeError
from worker.serving.recipe import Recipe

TOKEN = "a-token-of-24-characters"  # noqa: S105 - of these tests
CARTPOLE = loads(
    'name = "cart"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\nhidden = [8]\n[algorithm.ga]\n'
)
RECIPE = Recipe(CARTPOLE, Genome.founder(1), {"name": "cart-1"}, "cpu")
UPRIGHT = [0.0, 0.1, 0.02, -0.1]

pytestmark = pytest.mark.slow


async def called(port: int, method: str, *arguments: object, token: str = "") -> tuple[Status, object, str]:
    announced = Announced("it", "it_1", "it", "127.0.0.1", port)
    node = NodeClient(announced, setup_request("Base", Given()), Security(token=token))
    try:
        answer = await node.call(call_request(method, Given(*arguments)), 20.0)
        return answer.status, answer.value, answer.detail
    finally:
        await node.close()


def test_a_recipe_is_read_as_it_was_written() -> None:
    assert Recipe.read(RECIPE.write()) == RECIPE
    centre = Recipe(CARTPOLE, b"\x00centre", {"mean": 1.5})
    assert Recipe.read(centre.write()) == centre


async def test_a_node_answers_as_one_in_this_process_and_ends_when_it_is_told() -> None:
    node = IsolatedNode("it", RECIPE, Order(token=TOKEN))
    await node.open("127.0.0.1")
    process = node._process
    assert process is not None
    here = RECIPE.build()
    assert await called(node.port, "act", UPRIGHT, token=TOKEN) == (Status.OK, here.predict(UPRIGHT), "")  # type: ignore[call-arg]
    assert (await called(node.port, "act", UPRIGHT))[0] is Status.GONE, "it asks for the token"
    assert not node.trouble
    assert not node.is_dead
    await node.close()
    assert process.returncode == 0


async def test_a_process_that_is_killed_is_dead_and_can_be_started_over_so_many_times() -> None:
    node = IsolatedNode("it", RECIPE, Order())
    await node.open("127.0.0.1")
    before, port = node.deployment_id, node.port
    assert node._process is not None
    os.kill(node._process.pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        while not node.trouble:
            await asyncio.sleep(0.01)
    assert (node.is_dead, node.trouble) == (True, "its process has ended")
    assert (await called(port, "name"))[0] is Status.GONE
    assert await node.renew()
    assert (node.port, node.is_dead, node.trouble) == (port, False, "")
    assert node.deployment_id != before
    assert (await called(port, "name"))[:2] == (Status.OK, "cart-1")
    node._renewals = iter([MAX_RENEWALS + 1])  # type: ignore[assignment]
    assert not await node.renew()
    await node.close()


async def test_a_model_that_cannot_be_built_there_says_why() -> None:
    unknown = loads(
        'name = "it"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "motion"\n[algorithm.ga]\n'
    )
    node = IsolatedNode("it", Recipe(unknown, Genome.founder(1), {}, "cpu"), Order())
    with pytest.raises(NodeError, match=r"it cannot be served: SetupError: policy\.name is 'motion'"):
        await node.open("127.0.0.1")
    assert node._process is None


async def test_what_a_model_prints_does_not_answer_for_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import os\nclass Loud:\n    def __init__(self, policy):\n        os.write(1, b'loud\\n')\n"
    (tmp_path / "loud.py").write_text(
        code + "    def say(self):\n        print('louder')\n        return 1\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    node = IsolatedNode("it", RECIPE, Order("loud:Loud"))
    await node.open("127.0.0.1")
    assert (await called(node.port, "say"))[:2] == (Status.OK, 1)
    await node.close()
