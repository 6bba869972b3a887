"""What counts as running time: work of the experiment is with a worker, and nobody paused it."""

from collections.abc import Callable, Collection
from typing import cast

import pytest

from germline.algorithms.base import Result
from germline.algorithms.slices import SliceAsk
from germline.spec import loads
from master.experiments import recovery
from master.experiments.events import Created, Event, State
from master.experiments.experiment import Experiment
from master.experiments.settings import ExperimentSettings
from master.experiments.workers import WorkerIdentity
from master.journal.codec import Snapshot
from master.journal.journal import Journal, WriteEvent
from master.work.leases import Key, Start
from master.work.pending_work import Work

SPEC = """
name = "bowl"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[evaluation]
lease_s = 864000
[algorithm.eggroll]
pairs = 4
slice_pairs = 1
validation_epochs = 0
close_share = 0.5
close_after_s = 10.0
[stop]
seconds = 100.0
"""


class Book:
    """What an experiment needs of a journal."""

    store_id = 7

    def when_durable(self, callback: Callable[[], None], numbers: Collection[int]) -> None:
        callback()

    def attach(
        self, number: int, name: str, head: int, take_snapshot: Callable[[int], Snapshot]
    ) -> WriteEvent:
        return cast(list[Event], []).append


class House:
    """An experiment, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        settings = ExperimentSettings.of(loads(SPEC))
        created = Created(1, settings.encoded, 0.0)
        journal = cast(Journal, Book())
        self.experiment = Experiment(settings, created, journal, lambda: self.now, [Start(1, 0)])
        recovery.begin(self.experiment)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.experiment.tick()

    def lend(self) -> list[Work]:
        return self.experiment.lend("w", 8, (), 0)

    def tell(self, work: list[Work]) -> None:
        for ask, lease in work:
            result = Result(ask.ticket, (1.0,) * cast(SliceAsk, ask).episodes, 7, 5)
            told = Key(1, ask.ticket, lease.attempt), result
            assert self.experiment.tell(WorkerIdentity("w", "cpu", {}), [told]) == []


@pytest.fixture
def house() -> House:
    return House()


def test_time_without_workers_and_in_a_pause_does_not_count(house: House) -> None:
    house.wait(1_000)
    assert house.experiment.progress.running_s == 0
    house.lend()
    house.wait(40)
    house.experiment.pause()
    house.wait(1_000)
    house.experiment.resume()
    house.wait(9)
    house.experiment.pending_work.give_back("w")
    house.wait(0)
    house.wait(1_000)
    assert house.experiment.progress.running_s == 49
    assert not house.experiment.state.is_final
    house.lend()
    house.wait(51)
    assert house.experiment.state is State.COMPLETE


def test_a_pause_does_not_bring_an_epochs_early_close_nearer(house: House) -> None:
    work = house.lend()
    house.tell(work[:2])
    house.wait(9)
    house.experiment.pause()
    house.wait(1_000)
    house.experiment.resume()
    assert house.experiment.search.snapshot()["epoch"] == 0
    house.wait(1)
    assert house.experiment.search.snapshot()["epoch"] == 1


def test_an_epoch_that_closed_early_is_a_point_of_the_curve(house: House) -> None:
    house.tell(house.lend()[:2])
    house.wait(10)
    (point,) = house.experiment.progress.history.points
    assert (point.evaluations, point.fitness_quantiles) == (4, (1.0,) * 5)
