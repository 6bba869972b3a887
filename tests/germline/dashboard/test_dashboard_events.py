"""What happened is told by the journal: whoever comes later, and after a restart, is told the same."""

import asyncio
import json
from pathlib import Path

import grpc
import pytest
from playwright.async_api import Browser

from germline.cli.app import run as run_command
from germline.client import Client, ExperimentEvent
from germline.v1 import experiment_pb2
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub
from tests.germline.dashboard.house import fetch, hand_worker, mastered, shown, spec_of, visiting


async def lived(folder: Path) -> list[ExperimentEvent]:
    """A run with a champion, a pause, another end and a restart; what its second master tells of it."""
    async with mastered(folder) as master:
        with Client(master.address) as client:
            await asyncio.to_thread(client.create, spec_of(more="[stop]\nevaluations = 5_000\n"))
            async with hand_worker(master.address) as worker:
                await worker.play(40)
            await asyncio.to_thread(client.pause, "one")
            await asyncio.to_thread(client.extend, "one", spec_of(more="[stop]\nevaluations = 70\n").stop)
    async with mastered(folder) as master:
        with Client(master.address) as client:
            return await asyncio.to_thread(client.events, "one")


async def test_a_second_master_tells_what_happened_under_the_first_and_that_it_started(
    tmp_path: Path,
) -> None:
    found = await lived(tmp_path)
    assert [each.number for each in found] == list(range(1, len(found) + 1))
    champions = [each for each in found if each.kind == "champion"]
    assert champions
    assert 0 < champions[0].evaluations <= 40
    assert champions[0].time is None
    last = [(each.kind, each.text, each.evaluations) for each in found[-3:]]
    assert last == [
        ("state", "it is paused", 40),
        ("stop", "its end was changed: stop.evaluations is 70", 40),
        ("master", "the master started anew", 40),
    ]
    assert found[-1].time is not None


async def test_pages_of_events_follow_each_other_and_a_page_has_bounds(tmp_path: Path) -> None:
    found = await lived(tmp_path)
    async with mastered(tmp_path) as master, grpc.aio.insecure_channel(master.address) as channel:
        stub = ExperimentServiceStub(channel)
        request, pages = experiment_pb2.ListEventsRequest(name="one", limit=2), list[list[int]]()
        while True:
            page = await stub.ListEvents(request)
            pages.append([event.number for event in page.events])
            if not page.HasField("next"):
                break
            request.after = page.next
        assert sum(pages, []) == list(range(1, len(found) + 2))  # noqa: RUF017 - a few
        assert max(map(len, pages)) == 2
        assert page.happened == len(found) + 1
        for limit in (0, 1_001):
            with pytest.raises(grpc.aio.AioRpcError, match="allowed: 1 to 1000"):
                await stub.ListEvents(experiment_pb2.ListEventsRequest(name="one", limit=limit))


async def test_only_what_is_new_is_told_and_the_command_tells_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await lived(tmp_path)
    async with mastered(tmp_path) as master, shown(master.address) as dashboard:
        path = "/api/experiments/one/events"
        events = (await fetch(dashboard.address, path)).told["events"]
        newest = (await fetch(dashboard.address, f"{path}?after={events[-3]['number']}")).told["events"]
        assert newest == events[-2:]
        arguments = ["events", "one", "--master", master.address, "--last", "2", "--json"]
        assert await asyncio.to_thread(run_command, arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["text"] for each in told] == [each["text"] for each in newest]


@pytest.mark.browser
async def test_who_opens_the_page_after_a_restart_sees_what_happened_before(
    tmp_path: Path, browser: Browser
) -> None:
    await lived(tmp_path)
    async with (
        mastered(tmp_path) as master,
        shown(master.address) as dashboard,
        visiting(browser, dashboard.address) as visit,
    ):
        await visit.open("/e/one")
        await visit.sees("The master started anew.")
        await visit.sees("Its end was changed: stop.evaluations is 70.")
        await visit.sees("The new champion is ")
        with Client(master.address) as client:
            await asyncio.to_thread(client.resume, "one")
        await visit.sees("It goes on.")
        await visit.text()
        visit.check()
