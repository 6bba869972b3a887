"""An experiment goes on after its end as if that had been further away, and what is deleted is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from germline.algorithms.base import Result
from germline.spec import loads
from germline.v1 import spec_pb2
from germline.v1.spec_pb2 import Stop
from master.centres.centre import Checkpoint
from master.centres.consequences import keep_checkpoint, newest_checkpoint, release_checkpoints
from master.errors import ConflictError, InvalidFieldError, Refusal, UnknownNameError
from master.experiments.events import State, returns_of
from master.experiments.experiment import Experiment, RefusedResult
from master.experiments.registry import Registry
from master.experiments.workers import WorkerIdentity
from master.journal.connection import connect
from master.journal.journal import Journal
from master.journal.keys import Keys
from master.journal.own_store import OwnStore
from master.work.leases import Key
from master.work.pending_work import Work

COMMON = '[task.function]\npath = "germline.functions:sphere"\n[policy]\nname = "vector"\n'
POPULATION = loads(
    f'name = "one"\n{COMMON}[algorithm.ga]\nwindow = 6\nparents = 2\ncandidates = 2\n'
    "validation_episodes = 2\n[stop]\nevaluations = 12\n"
)
CENTRE = loads(
    f'name = "one"\n{COMMON}[algorithm.eggroll]\npairs = 4\nslice_pairs = 1\nvalidation_epochs = 1\n'
    "validation_episodes = 2\n[stop]\nevaluations = 21\n"
)
KEYS = Keys("house[1]")
PATIENCE_S = 20.0


class House:
    """A registry on a journal, and a clock that the test turns."""

    def __init__(self, client: Redis) -> None:
        self.now = 0.0
        self.client = client
        self.journal = journal = Journal(client, KEYS)
        self.registry = Registry(journal, lambda: self.now)

    async def extend(self, stop: Stop, *, only: bool = False) -> Experiment:
        return await self.registry.extend("one", stop, only=only)


Open = Callable[[], AbstractAsyncContextManager[House]]


@pytest.fixture
async def open_house(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens a house, again and again, on one store."""
    async with OwnStore(tmp_path / "store") as store:

        @asynccontextmanager
        async def begin() -> AsyncIterator[House]:
            client = connect(store.url)
            house = House(client)
            await house.registry.recover()
            committer = asyncio.create_task(house.journal.run())
            yield house
            assert await house.journal.flush(PATIENCE_S)
            committer.cancel()
            await client.aclose()

        yield begin


@pytest.fixture
async def house(open_house: Open) -> AsyncIterator[House]:
    async with open_house() as house:
        yield house


def tell(experiment: Experiment, work: Iterable[Work]) -> list[RefusedResult]:
    results = [
        (Key(experiment.number, ask.ticket, lease.attempt), result_of(ask.ticket, returns_of(ask)))
        for ask, lease in work
    ]
    return experiment.tell(WorkerIdentity("w", "cpu", {}), results)


def result_of(ticket: int, episodes: int) -> Result:
    return Result(ticket, tuple(float((ticket * 7 + number) % 11) for number in range(episodes)), 40, 10)


def play(experiment: Experiment) -> None:
    """One worker does all there is to do, until the end."""
    while experiment.is_running:
        assert not tell(experiment, experiment.lend("w", 1, (), 0))


@pytest.mark.parametrize("spec", [POPULATION, CENTRE], ids=["population", "centre"])
async def test_a_complete_experiment_goes_on_to_what_a_longer_one_comes_to(
    house: House, spec: spec_pb2.ExperimentSpec
) -> None:
    short, long = house.registry.create(spec), house.registry.create(_longer(spec))
    for experiment in (short, long):
        play(experiment)
    assert (short.state, short.progress.evaluations) == (State.COMPLETE, spec.stop.evaluations)
    assert await house.extend(Stop(evaluations=60)) is short
    play(short)
    assert (short.state, short.progress.evaluations) == (State.COMPLETE, long.progress.evaluations)
    assert short.search.snapshot() == long.search.snapshot()


def _longer(spec: spec_pb2.ExperimentSpec) -> spec_pb2.ExperimentSpec:
    longer = spec_pb2.ExperimentSpec()
    longer.CopyFrom(spec)
    longer.name = "long"
    longer.stop.evaluations = 60
    return longer


@pytest.mark.parametrize("spec", [POPULATION, CENTRE], ids=["population", "centre"])
async def test_an_extension_outlives_a_restart(open_house: Open, spec: spec_pb2.ExperimentSpec) -> None:
    async with open_house() as house:
        play(house.registry.create(spec))
    async with open_house() as house:
        assert house.registry.named("one").state is State.COMPLETE
        await house.extend(Stop(evaluations=60))
    for with_snapshots in (False, True):
        async with open_house() as house:
            experiment = house.registry.named("one")
            assert (experiment.is_running, experiment.settings.stop.evaluations) == (True, 60)
            assert not tell(experiment, experiment.lend("w", 1, (), 0))
            assert await house.journal.flush(PATIENCE_S, with_snapshots=with_snapshots)
    async with open_house() as house:
        experiment = house.registry.named("one")
        play(experiment)
        assert experiment.progress.evaluations >= 60


async def test_any_condition_can_be_changed_in_any_state(house: House) -> None:
    experiment = house.registry.create(POPULATION)
    await house.extend(Stop(frames=400))
    assert experiment.is_running
    experiment.pause()
    await house.extend(Stop(seconds=2.5))
    assert experiment.state is State.PAUSED
    experiment.stop()
    await house.extend(Stop(fitness=99.0))
    assert experiment.is_running
    assert experiment.settings.stop == (12, 400, 2.5, 99.0)
    assert experiment.lend("w", 1, (), 0)
    house.now = 2.5
    experiment.tick()
    assert not experiment.is_running
    await house.extend(Stop(evaluations=13), only=True)
    assert experiment.settings.spec.stop == Stop(evaluations=13)
    play(experiment)
    assert experiment.progress.evaluations == 13


@pytest.mark.parametrize(
    ("stop", "sentence"),
    [
        (Stop(evaluations=12), "stop.evaluations is 12, and it has 12 already"),
        (Stop(frames=480), "stop.evaluations is 12, and it has 12 already, stop.frames is 480"),
        (Stop(evaluations=99, seconds=1.5), "stop.seconds is 1.5, and it has 2 already"),
    ],
)
async def test_an_end_that_is_reached_already_is_refused_and_changes_nothing(
    house: House, stop: Stop, sentence: str
) -> None:
    experiment = house.registry.create(POPULATION)
    assert experiment.lend("w", 1, (), 0)
    house.now = 2.0
    play(experiment)
    with pytest.raises(ConflictError, match=f"experiment one cannot go on: {sentence}"):
        await house.extend(stop)
    assert (experiment.state, experiment.settings.spec) == (State.COMPLETE, POPULATION)


async def test_a_fitness_that_fresh_episodes_confirm_already_is_refused(house: House) -> None:
    experiment = house.registry.create(POPULATION)
    play(experiment)
    await house.extend(Stop(evaluations=90))
    play(experiment)
    with pytest.raises(ConflictError, match=r"cannot go on: stop\.fitness is -1, and it has "):
        await house.extend(Stop(evaluations=99, fitness=-1.0))


async def test_a_condition_that_is_not_allowed_is_refused_by_its_field(house: House) -> None:
    house.registry.create(POPULATION)
    with pytest.raises(InvalidFieldError, match=r"stop\.seconds is -1"):
        await house.extend(Stop(seconds=-1.0))


async def test_the_time_between_the_end_and_the_extension_does_not_count(house: House) -> None:
    experiment = house.registry.create(POPULATION)
    assert experiment.lend("w", 1, (), 0)
    house.now = 3.0
    play(experiment)
    house.now = 1_000.0
    await house.extend(Stop(evaluations=60))
    assert experiment.lend("w", 1, (), 0)
    house.now = 1_002.0
    assert experiment.progress.running_s == 5.0


async def test_a_lease_of_before_the_end_is_lent_again_and_counts_once(house: House) -> None:
    experiment = house.registry.create(POPULATION)
    late = experiment.lend("w", 1, (), 0)
    play(experiment)
    await house.extend(Stop(evaluations=60))
    again = experiment.lend("w", 1, (), 0)
    assert [ask for ask, _ in again] == [ask for ask, _ in late]
    assert [refused.code for refused in tell(experiment, late)] == [Refusal.UNKNOWN]
    assert not tell(experiment, again)
    assert [refused.code for refused in tell(experiment, again)] == [Refusal.ALREADY_TOLD]


async def test_a_late_joiner_of_an_extended_experiment_starts_from_its_checkpoint(house: House) -> None:
    experiment = house.registry.create(CENTRE)
    play(experiment)
    checkpoint = Checkpoint(2, "digest", b"centre")
    keep_checkpoint(experiment, checkpoint)
    assert await house.journal.flush(PATIENCE_S)
    release_checkpoints(experiment)
    assert newest_checkpoint(experiment) is None
    await house.extend(Stop(evaluations=60))
    assert newest_checkpoint(experiment) == checkpoint


async def test_a_release_that_still_waits_does_not_take_an_extended_experiments_checkpoint(
    house: House,
) -> None:
    experiment = house.registry.create(CENTRE)
    play(experiment)
    keep_checkpoint(experiment, Checkpoint(2, "digest", b"centre"))
    release_checkpoints(experiment)  # as soon as it is stored
    await house.extend(Stop(evaluations=60))
    assert await house.journal.flush(PATIENCE_S)
    assert newest_checkpoint(experiment) is not None


async def test_the_spec_of_an_extended_experiment_is_the_same_experiment_before_and_after(
    house: House,
) -> None:
    experiment = house.registry.create(POPULATION)
    await house.extend(Stop(evaluations=60))
    assert house.registry.create(POPULATION) is experiment
    assert house.registry.create(experiment.settings.spec) is experiment


@pytest.mark.parametrize("change", ["pause", "stop", "extend"])
async def test_whoever_waits_for_a_change_hears_of_it_at_once(house: House, change: str) -> None:
    experiment = house.registry.create(POPULATION)
    waiting = asyncio.create_task(experiment.standing.wait_for_change(3_600))
    await asyncio.sleep(0)
    if change == "extend":
        await house.extend(Stop(frames=9))
    else:
        getattr(experiment, change)()
    async with asyncio.timeout(PATIENCE_S):
        await waiting
    assert waiting.done()


async def test_what_is_deleted_leaves_nothing_in_the_store_and_its_number_is_never_used_again(
    open_house: Open,
) -> None:
    async with open_house() as house:
        kept = house.registry.create(POPULATION)
        gone = house.registry.create(_named(CENTRE, "two"))
        play(gone)
        keep_checkpoint(gone, Checkpoint(2, "digest", b"centre"))
        assert await house.journal.flush(PATIENCE_S, with_snapshots=True)
        house.registry.delete("two")
        await house.journal.durable()
        assert house.journal.checkpoints.held(gone.number, 2) is None
        found = [key.decode() async for key in house.client.scan_iter()]
        assert [key for key in found if key.startswith(KEYS.of(gone.number))] == []
        assert KEYS.snapshot(kept.number) in found
    async with open_house() as house:
        assert [experiment.settings.name for experiment in house.registry] == ["one"]
        assert house.registry.create(_named(CENTRE, "two")).number == 3
    async with open_house() as house:
        assert [experiment.number for experiment in house.registry] == [1, 3]


async def test_a_number_is_not_used_again_when_the_store_lost_everything(house: House) -> None:
    house.registry.create(POPULATION)
    play(house.registry.create(_named(POPULATION, "two")))
    house.registry.delete("two")
    await house.journal.durable()
    await house.client.flushall()
    house.registry.named("one").pause()
    assert await house.journal.flush(PATIENCE_S)
    assert await house.client.get(KEYS.deleted) == b"2"


async def test_only_what_is_over_is_deleted(house: House) -> None:
    experiment = house.registry.create(POPULATION)
    with pytest.raises(
        ConflictError, match="experiment one is running; only one that is complete or stopped"
    ):
        house.registry.delete("one")
    experiment.stop()
    house.registry.delete("one")
    with pytest.raises(UnknownNameError, match="name is 'one'; experiments here: none yet"):
        await house.extend(Stop(evaluations=60))


def _named(spec: spec_pb2.ExperimentSpec, name: str) -> spec_pb2.ExperimentSpec:
    other = spec_pb2.ExperimentSpec()
    other.CopyFrom(spec)
    other.name = name
    return other
