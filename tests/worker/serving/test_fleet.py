"""Nodes come and go as is wanted, and one that cannot be started over leaves."""

import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from germline.models.announcements import Report
from worker.serving import fleet as fleet_module
from worker.serving import node as node_module
from worker.serving.fleet import Fleet, Place, Served
from worker.serving.node import Protection
from worker.serving.orchestrator import Orchestrator


class Hanging:
    """Waits until it is told to go on."""

    def __init__(self, policy: object) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.entered.set()
        self.go_on.wait()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def model(name: str) -> Served:
    return Served(name, "it", object)


def cannot() -> object:
    raise OverflowError("too much")


async def test_what_is_wanted_is_served_in_its_order_on_the_ports_that_were_named(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "LINGER_S", 0.0)
    probe = Fleet(Place("127.0.0.1"))
    await probe.serve([model("probe")])
    first = probe._nodes["probe"][0].port
    await probe.close()
    fleet = Fleet(Place("127.0.0.1", first))
    stack.push_async_callback(fleet.close)
    await fleet.serve([model("a")])
    assert fleet._nodes["a"][0].port == first
    assert fleet.served == ["a"]


async def test_who_cannot_be_served_is_tried_once_and_keeps_nobody_away(
    stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = Fleet(Place("127.0.0.1"))
    stack.push_async_callback(fleet.close)
    wanted = [Served("bad", "it", cannot), model("good"), model("better")]
    for _ in range(2):
        await fleet.serve(wanted)
        assert fleet.served == ["good", "better"]
    assert caplog.text.count("bad cannot be served: OverflowError: too much") == 1


async def test_a_model_that_hangs_is_started_over_when_a_client_gave_it_up_and_leaves_after_so_many_times(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "STUCK_S", 0.01)
    monkeypatch.setattr(node_module, "MAX_RENEWALS", 1)
    fleet, orchestrator = Fleet(Place("127.0.0.1"), Hanging), Orchestrator(Protection(), lambda report: None)
    stack.push_async_callback(fleet.close)
    fleet.announce_by(orchestrator)
    await fleet.serve([model("it")])
    for expected in (["it"], []):
        node = fleet._nodes["it"][0]
        assert isinstance(node, node_module.Node)
        hanging, deployment = node._model, node.deployment_id
        assert isinstance(hanging, Hanging)
        node._thread.submit(hanging.wait)
        hanging.entered.wait()
        while not node.trouble:
            await fleet.tend()
        assert node.deployment_id == deployment, "nobody has given it up"
        assert orchestrator.offers["it"].trouble
        fleet.given_up(Report("it", "MULTIPLE_TIMEOUT", ""))
        await fleet.tend()
        assert fleet.served == list(orchestrator.offers) == expected
        hanging.go_on.set()
        assert node.deployment_id != deployment or not expected
