"""How a master keeps an evolution's centres in step, on a real store; its workers play nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from germline import noise
from germline.algorithms.base import Result
from germline.algorithms.slices import SliceAsk
from germline.spec import loads
from master.centres.centre import Centre
from master.centres.keeper import Part, Report
from master.experiments.events import CheckpointStored, State, evaluations_of
from master.experiments.experiment import Experiment
from master.experiments.registry import Registry
from master.experiments.workers import WorkerIdentity
from master.journal.connection import connect
from master.journal.journal import Journal
from master.journal.keys import Keys
from master.journal.own_store import OwnStore
from master.metrics import Metrics
from master.work.dispatcher import Dispatcher, Greeting
from master.work.fleet import (
    Acknowledge,
    AskCheckpoint,
    End,
    Introduce,
    Lend,
    Order,
    Revoke,
    SendPart,
    Session,
    StartOver,
    Update,
)
from master.work.leases import Key
from master.work.pending_work import Work

PAIRS, PATIENCE_S = 6, 20.0
SPEC = """
name = "bowl"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.eggroll]
pairs = {pairs}
slice_pairs = 1
validation_epochs = {validation_epochs}
checkpoint_epochs = {checkpoint_epochs}
[stop]
evaluations = {evaluations}
fitness = {fitness}
"""


class Worker:
    """A worker at the master's side of its stream: it reads its orders, and says what the test wants."""

    def __init__(self, dispatcher: Dispatcher, journal: Journal, name: str) -> None:
        identity = WorkerIdentity(name, "cpu", {})
        greeting = Greeting(identity, "test", noise.VERSION, noise.self_test_digest(), 4, ())
        self.name = name
        self.session: Session = dispatcher.hello(greeting)
        self.work: list[Work] = []
        self._dispatcher = dispatcher
        self._journal = journal
        self._heard: list[Order] = []
        self._sequence = 0

    def orders(self) -> list[Order]:
        """What came since the last time, but for leases, which are kept."""
        self._sort_in()
        heard, self._heard = self._heard, []
        return heard

    def ask(self, pieces: int) -> None:
        self._dispatcher.credit(self.session, 2 * pieces)
        self._sort_in()

    def _sort_in(self) -> None:
        while not self.session.orders.empty():
            order = self.session.orders.get_nowait()
            if isinstance(order, Lend):
                self.work += order.work
            elif not isinstance(order, End):
                self._heard.append(order)

    def report(self, epoch: int, digest: str) -> None:
        self._dispatcher.epoch_report(self.session, Report(1, epoch, digest))

    async def tell(self, work: Iterable[Work], bonus: float = 0.0) -> int:
        """Tell the true score, or one with a bonus; how many results were refused."""
        self._sequence += 1
        self._dispatcher.results(self.session, self._sequence, [_told(piece, bonus) for piece in work])
        while True:
            async with asyncio.timeout(PATIENCE_S):
                order = await self.session.orders.get()
            if isinstance(order, Acknowledge):
                return len(order.refused)
            if isinstance(order, Lend):
                self.work += order.work

    async def play(self) -> None:
        """Tell the truth about everything that it holds."""
        work, self.work = self.work, []
        assert await self.tell(work) == 0

    def has_not(self, epoch: int) -> None:
        self._dispatcher.keeper.take_part(self.session, Part(1, epoch, "", 0, 0, b""))

    async def save(self, epoch: int, digest: str) -> None:
        self._dispatcher.keeper.take_part(self.session, Part(1, epoch, digest, 0, 1, digest.encode()))
        assert await self._journal.flush(PATIENCE_S)


def _told(piece: Work, bonus: float) -> tuple[Key, Result]:
    ask = piece.ask
    assert isinstance(ask, SliceAsk)
    score = 100.0 * ask.epoch + ask.first_pair + bonus
    returns = tuple(score + 0.25 * number for number in range(ask.episodes))
    return Key(1, ask.ticket, piece.lease.attempt), Result(ask.ticket, returns, 400, 100)


def true_fitness(epoch: int) -> tuple[float, ...]:
    return tuple(100.0 * epoch + pair + 0.25 * sign for pair in range(PAIRS) for sign in range(2))


class House:
    """A master without a network."""

    def __init__(self, registry: Registry, journal: Journal) -> None:
        self.journal = journal
        self.registry = registry
        self.dispatcher = Dispatcher(
            registry, journal, Metrics(), lambda: 100.0, master_id="m", heartbeat_s=10.0
        )

    @property
    def experiment(self) -> Experiment:
        return self.registry.named("bowl")

    @property
    def centre(self) -> Centre:
        assert self.experiment.centre is not None
        return self.experiment.centre

    def create(
        self,
        epochs: int = 100,
        validation_epochs: int = 0,
        checkpoint_epochs: int = 0,
        fitness: float = 1e9,
    ) -> None:
        evaluations = 2 * PAIRS * epochs
        text = SPEC.format(
            pairs=PAIRS,
            evaluations=evaluations,
            validation_epochs=validation_epochs,
            checkpoint_epochs=checkpoint_epochs,
            fitness=fitness,
        )
        self.registry.create(loads(text))

    def worker(self, name: str) -> Worker:
        return Worker(self.dispatcher, self.journal, name)

    async def crew(self, *names: str) -> list[Worker]:
        """Workers that played the first epoch together, and have not said where that took their centres."""
        workers = [self.worker(name) for name in names]
        for worker in workers:
            worker.ask(PAIRS // len(names))
            worker.report(0, "centre 0")
        while self.experiment.pending_work.waiting:
            workers[0].ask(1)
        for worker in workers:
            await worker.play()
        await self.closes(true_fitness(0))
        for worker in workers:
            worker.orders()
        return workers

    async def closes(self, fitness: tuple[float, ...]) -> None:
        """The newest epoch that everybody has been told of is this."""
        await self.journal.durable()
        assert self.experiment.centre is not None
        assert self.experiment.centre.updates[-1].fitness == fitness


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[House]:
    """A start of the master; leaving it is a kill, as far as the journal can tell."""
    client = connect(url)
    journal = Journal(client, Keys("centres"), snapshot_interval_s=1e9)
    registry = Registry(journal, lambda: 100.0)
    await registry.recover()
    committer = asyncio.create_task(journal.run())
    try:
        yield House(registry, journal)
    finally:
        committer.cancel()
        await asyncio.wait([committer])
        await client.aclose()


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with OwnStore(tmp_path / "store") as store:
        yield store.url


@pytest.fixture
async def house(url: str) -> AsyncIterator[House]:
    async with opened(url) as house:
        yield house


# A centre that is not the others'


async def test_what_a_worker_told_of_the_open_epoch_with_a_wrong_centre_does_not_count(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.create()
    crew = a, b, odd = await house.crew("a", "b", "odd")
    for worker in crew:
        worker.ask(2)
    a.report(1, "centre 1")
    odd.report(1, "wrong")
    told, held = odd.work
    assert await odd.tell([told], bonus=1e6) == 0
    assert house.experiment.progress.evaluations == 2 * PAIRS + 2
    b.report(1, "centre 1")
    assert "of worker odd after 1 epochs is not the others' (centre 1); 1 results of it are discarded" in (
        caplog.text
    )
    assert house.experiment.progress.evaluations == 2 * PAIRS
    reload, update, revoke = odd.orders()
    assert isinstance(reload, StartOver)
    assert isinstance(update, Update)
    assert revoke == Revoke([Key(1, held.ask.ticket, held.lease.attempt, house.experiment.identity)])
    odd.report(1, "wrong")  # it was on its way
    assert odd.orders() == []


async def test_a_worker_that_has_started_over_plays_again_and_the_epoch_comes_out_true(house: House) -> None:
    house.create()
    crew = a, b, odd = await house.crew("a", "b", "odd")
    for worker in crew:
        worker.ask(2)
    told, held = odd.work
    await odd.tell([told], bonus=1e6)
    for worker, digest in ((a, "centre 1"), (b, "centre 1"), (odd, "wrong")):
        worker.report(1, digest)
    odd.work.clear()
    odd.ask(2)
    assert [piece.ask for piece in odd.work] == [held.ask, told.ask]
    assert await odd.tell([told, held], bonus=1e6) == 2  # played before, and on its way since
    odd.report(0, "centre 0")
    odd.report(1, "centre 1")
    for worker in crew:
        await worker.play()
    await house.closes(true_fitness(1))


@pytest.mark.parametrize("with_snapshot", [False, True])
@pytest.mark.parametrize("discarded", [False, True], ids=["told", "discarded"])
async def test_a_restart_knows_what_was_told_by_whom_and_what_was_discarded(
    url: str, with_snapshot: bool, discarded: bool
) -> None:
    async with opened(url) as house:
        house.create(validation_epochs=1)
        (odd,) = await house.crew("odd")
        odd.ask(3)
        best = house.experiment.search.leader()
        await odd.tell(odd.work[:2], bonus=1e6)  # the centre, and a pair
        other = house.worker("other")
        if discarded:
            _differ(house, odd, other)
        await house.journal.flush(PATIENCE_S, with_snapshots=with_snapshot)
    async with opened(url) as house:
        odd, other = house.worker("odd"), house.worker("other")
        if not discarded:
            _differ(house, odd, other)
        assert house.experiment.search.leader() == best
        assert house.experiment.progress.evaluations == 2 * PAIRS + 1
        other.ask(PAIRS + 1)
        await other.play()
        await house.closes(true_fitness(1))


async def test_results_that_were_discarded_before_a_restart_do_not_count_when_told_again(url: str) -> None:
    async with opened(url) as house:
        house.create()
        (odd,) = await house.crew("odd")
        odd.ask(3)
        told, held = odd.work[:2], odd.work[2]
        await odd.tell(told, bonus=1e6)
        _differ(house, odd, house.worker("other"))
        await house.journal.durable()
    async with opened(url) as house:
        odd, other = house.worker("odd"), house.worker("other")
        assert await odd.tell([*told, held], bonus=1e6) == 3
        other.ask(PAIRS)
        await other.play()
        await house.closes(true_fitness(1))


def _differ(house: House, *workers: Worker) -> None:
    """Both report another centre, and so nobody is believed."""
    for worker in workers:
        worker.session.introduce(house.experiment)
        worker.report(1, f"centre 1 of {worker.name}")


async def test_of_two_that_differ_neither_is_believed_until_both_have_started_over(house: House) -> None:
    house.create()
    crew = await house.crew("a", "b")
    for worker in crew:
        worker.ask(3)
        await worker.tell([worker.work.pop()], bonus=1e6)
    _differ(house, *crew)
    assert house.experiment.progress.evaluations == 2 * PAIRS
    for worker in crew:
        assert any(isinstance(order, StartOver) for order in worker.orders())
        worker.work.clear()
        worker.report(0, "centre 0")
        worker.report(1, "centre 1")
        worker.ask(3)
    for worker in crew:
        await worker.play()
    await house.closes(true_fitness(1))


async def test_a_worker_whose_stream_breaks_before_it_started_over_is_heard_on_the_next(
    house: House,
) -> None:
    house.create()
    a, b, odd = await house.crew("a", "b", "odd")
    for worker, digest in ((a, "centre 1"), (b, "centre 1"), (odd, "wrong")):
        worker.report(1, digest)
    back = house.worker("odd")
    back.ask(1)
    back.orders()
    back.report(1, "wrong")
    assert any(isinstance(order, StartOver) for order in back.orders())


async def test_a_worker_that_differs_again_and_again_gets_no_more_work_and_is_not_heard(house: House) -> None:
    house.create()
    a, b, odd = await house.crew("a", "b", "odd")
    for worker in (a, b):
        worker.report(1, "centre 1")
    for _ in range(4):
        odd.report(0, "centre 0")
        odd.report(1, "wrong")
    odd.ask(1)
    assert odd.work == []
    assert "again and again" in house.experiment.rejections["odd"]
    a.report(2, "centre 2")
    odd.report(2, "wrong")
    assert house.experiment.centre is not None
    assert house.experiment.centre.agreement.agreed(2) == "centre 2"


# Checkpoints


async def test_a_checkpoint_is_asked_for_once_every_worker_has_said_the_same(house: House) -> None:
    house.create(checkpoint_epochs=1)
    a, b = await house.crew("a", "b")
    a.report(1, "centre 1")
    assert a.orders() == []
    b.report(1, "centre 1")
    assert a.orders() == [AskCheckpoint(1, 1)]
    await a.save(1, "centre 1")
    late = house.worker("late")
    late.ask(1)
    _welcome, introduction, part = late.orders()
    assert isinstance(introduction, Introduce)
    assert isinstance(part, SendPart)
    assert part.checkpoint.part(0) == b"centre 1"


async def test_a_centre_of_another_store_is_neither_compared_nor_kept(house: House) -> None:
    house.create(checkpoint_epochs=1)
    (only,) = await house.crew("only")
    other = house.experiment.identity ^ 1
    house.dispatcher.epoch_report(only.session, Report(1, 1, "foreign", other))
    assert house.centre.digest == ""
    house.dispatcher.keeper.take_part(only.session, Part(1, 1, "foreign", 0, 1, b"foreign", other))
    assert house.centre.newest is None


@pytest.mark.parametrize("with_snapshot", [False, True])
async def test_a_restart_still_wants_the_best_centre_and_ends_the_run_only_with_its_weights(
    url: str, with_snapshot: bool
) -> None:
    async with opened(url) as house:
        house.create(validation_epochs=1, fitness=100.0)
        (only,) = await house.crew("only")  # measures less than 100
        only.report(1, "centre 1")
        await only.save(0, "centre 0")
        only.ask(1)
        await only.tell(only.work[:1], bonus=1e6)
        assert house.centre.wanted == {1}
        await house.journal.flush(PATIENCE_S, with_snapshots=with_snapshot)
    async with opened(url) as house:
        only = house.worker("only")
        assert house.centre.wanted == {1}
        only.ask(PAIRS)
        only.report(1, "centre 1")
        await only.play()
        await house.closes(true_fitness(1))
        only.ask(1)
        await only.tell(only.work[:1])  # a later measurement, worse than the best
        assert not house.experiment.state.is_final
        await only.save(1, "centre 1")
        assert house.experiment.state is State.COMPLETE
        assert house.centre.best == CheckpointStored(1, "centre 1", 8, is_best=True)


async def test_a_late_joiner_does_not_keep_the_best_centre_from_being_asked_for(house: House) -> None:
    house.create(validation_epochs=1)
    a, b = await house.crew("a", "b")
    late = house.worker("late")
    late.session.introduce(house.experiment)
    late.report(0, "centre 0")
    await a.save(0, "centre 0")
    for worker in (a, b):
        worker.report(1, "centre 1")
    b.ask(1)
    await b.tell(b.work, bonus=1e6)
    assert a.orders() == [AskCheckpoint(1, 1)]


async def test_a_best_centre_that_everybody_has_dropped_is_come_to_again(house: House) -> None:
    house.create(validation_epochs=1, fitness=100.0)
    (only,) = await house.crew("only")
    only.report(1, "centre 1")
    only.ask(1 + PAIRS)
    best, *slices = only.work
    only.work.clear()
    await only.tell([best], bonus=1e6)
    assert house.centre.wanted == {1}
    await only.tell(slices)
    await house.closes(true_fitness(1))
    only.report(2, "centre 2")
    only.orders()
    only.has_not(0)
    only.has_not(1)
    replay = [order for order in only.orders() if not isinstance(order, Introduce)]
    kinds = [type(order) for order in replay]
    assert kinds == [StartOver, Update, AskCheckpoint, Update]
    assert replay[2] == AskCheckpoint(1, 1)
    for epoch in range(3):
        only.report(epoch, f"centre {epoch}")
    await only.save(1, "centre 1")
    assert house.experiment.state is State.COMPLETE


@pytest.mark.parametrize("restarts", [False, True])
async def test_the_last_centre_is_had_from_a_worker_that_joins_when_all_others_are_gone(
    url: str, restarts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with opened(url) as house:
        house.create(epochs=1)
        (only,) = await house.crew("only")
        assert house.experiment.state.is_final
        house.dispatcher.goodbye(only.session, "spot", ())
        if not restarts:
            await _replay_last(house, caplog)
    if restarts:
        async with opened(url) as house:
            await _replay_last(house, caplog)


async def _replay_last(house: House, caplog: pytest.LogCaptureFixture) -> None:
    late = house.worker("late")
    assert "experiment bowl is over, and its last centre is not stored: worker late replays it" in caplog.text
    _welcome, introduction, update = late.orders()
    assert isinstance(introduction, Introduce)
    assert isinstance(update, Update)
    late.report(0, "centre 0")
    late.report(1, "centre 1")
    assert late.orders() == [AskCheckpoint(1, 1)]
    await late.save(1, "centre 1")
    assert house.experiment.centre is not None
    assert house.experiment.centre.newest == CheckpointStored(1, "centre 1", 8, is_best=False)
    await house.journal.durable()
    assert house.journal.checkpoints.held(1, 1) is None  # in memory are those that somebody may start from
    assert await house.journal.checkpoints.get(1, 1) == b"centre 1"
    late.report(1, "wrong")
    house.dispatcher.tick()
    assert late.orders() == []


async def test_a_master_that_starts_again_holds_the_checkpoints_that_somebody_may_start_from(
    url: str,
) -> None:
    async with opened(url) as house:
        house.create(checkpoint_epochs=1)
        (only,) = await house.crew("only")
        only.report(1, "centre 1")
        await only.save(1, "centre 1")
        await house.journal.durable()
        assert house.journal.checkpoints.held(1, 1) == b"centre 1"
    async with opened(url) as house:
        assert house.journal.checkpoints.held(1, 1) == b"centre 1"
        house.experiment.stop()
        house.dispatcher.tick()
        await house.journal.durable()
        assert house.journal.checkpoints.held(1, 1) is None
    async with opened(url) as house:
        assert house.journal.checkpoints.held(1, 1) is None
        assert await house.journal.checkpoints.get(1, 1) == b"centre 1"


async def test_a_centres_measurement_does_not_leave_the_rest_of_a_workers_room_empty(house: House) -> None:
    house.create(validation_epochs=1)
    worker = house.worker("a")
    worker.ask(pieces=3)
    played = [evaluations_of(work.ask) for work in worker.work]
    assert 1 in played
    assert sum(played) >= 2 * 3
