"""What happened is noted where on the run's axes it did, and once."""

import asyncio
import dataclasses
from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser

from germline.client import Client, Experiment, NotReachableError, QuarantinedWorker, Unscored
from germline.dashboard import events as events_of_dashboard
from germline.dashboard.events import Events
from germline.spec import loads
from master.server import Master
from tests.germline.dashboard.house import hand_worker, shown, spec_of, visiting

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SPEC = loads('name = "a"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n[algorithm.ga]\n')
LOOK = Experiment(
    number=1, name="a", spec=SPEC, state="running", created=NOW, evaluations=10, episodes=10, frames=40,
    steps=40, running_s=5.0, frames_per_second=1.0, evaluations_per_second=1.0, fitness_quantiles=(),
    best_fitness=None, champion=None, population=0, lineage_depth=0, leased=0, workers=1, leases_lost=3,
    epochs=0, centre_digest="",
)  # fmt: skip


class Told(Client):
    """A client whose answers a test gives."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.look: Experiment | None = LOOK
        self.away: list[QuarantinedWorker] = []

    def experiments(self) -> list[Experiment]:
        if self.look is None:
            raise NotReachableError("UNAVAILABLE", "away")
        return [self.look]

    def quarantined(self) -> list[QuarantinedWorker]:
        return self.away


def texts(events: Events) -> list[str]:
    return [event.text for event in events.of("a")]


def test_each_change_is_noted_once_with_its_place() -> None:
    clock = [100.0]
    told = Told()
    events = Events(told, lambda: clock[0])
    events.look()
    assert events.of("a") == []
    told.look = dataclasses.replace(LOOK, state="paused", trouble="too many fail", evaluations=12)
    events.look()
    events.look()
    (paused,) = events.of("a")
    assert (paused.text, paused.evaluations, paused.at) == ("it is paused: too many fail", 12, 100.0)
    told.look = LOOK
    events.look()
    told.look = dataclasses.replace(LOOK, failed=1, set_aside=(Unscored("x", "it raised", 3, "w"),))
    events.look()
    assert texts(events)[1:] == ["it went on", "1 could not be scored: it raised"]
    told.close()


def test_a_master_that_was_away_or_begun_anew_is_noted() -> None:
    clock = [100.0]
    told = Told()
    events = Events(told, lambda: clock[0])
    events.look()
    told.look = None
    events.look()
    clock[0] = 112.0
    told.look = dataclasses.replace(LOOK, leases_lost=0)
    events.look()
    assert texts(events) == ["the master was away for 12 s"]
    told.look = LOOK
    events.look()
    told.look = dataclasses.replace(LOOK, leases_lost=1)
    events.look()
    assert texts(events)[1:] == ["the master was started anew"]
    told.close()


def test_quarantines_are_noted_when_they_come_and_go_but_not_those_of_before() -> None:
    told = Told()
    told.away = [QuarantinedWorker("old", "it differed", NOW)]
    events = Events(told)
    events.look()
    told.away = [*told.away, QuarantinedWorker("new", "it differed", NOW)]
    events.look()
    told.away = []
    events.look()
    assert texts(events) == [
        "new is in quarantine",
        "new is out of quarantine",
        "old is out of quarantine",
    ]
    told.close()


@pytest.mark.browser
async def test_events_stand_below_the_curve(
    master: Master, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_of_dashboard, "_EVERY_S", 0.05)

    def steer(verb: str, argument: object) -> None:
        with Client(master.address) as client:
            getattr(client, verb)(argument)

    await asyncio.to_thread(steer, "create", spec_of())
    async with (
        shown(master.address) as dashboard,
        hand_worker(master.address) as worker,
        visiting(browser, dashboard.address) as visit,
    ):
        await worker.play(5)
        await visit.open("/e/one")
        await visit.sees("Table of")
        await asyncio.to_thread(steer, "pause", "one")
        await visit.sees("What happened while this dashboard looked")
        await visit.sees("It is paused.")
        await visit.text()
        visit.check()
