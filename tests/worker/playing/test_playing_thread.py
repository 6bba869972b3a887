"""The thread that plays, its players, and the outbox that carries their scores."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Collection, Hashable
from contextlib import asynccontextmanager

import pytest

from germline.genome import Genome
from worker.playing import playing_thread as stage_module
from worker.playing.engine import Evaluation, Played
from worker.playing.experiment_player import ExperimentPlayer
from worker.playing.lease_work import Assignment, ExperimentKey, Failure, LeaseKey, Score
from worker.playing.outbox import ENOUGH, Outbox
from worker.playing.patience import Patience
from worker.playing.playing_thread import PlayingThread
from worker.playing.stages import Stages
from worker.tasks.base import SetupError

FOUNDER = Genome.founder(1)
PATIENCE_S = 20.0


def work(ticket: int, experiment: int = 1) -> Assignment:
    return Assignment(LeaseKey(ExperimentKey(experiment), ticket, 1), FOUNDER, (ticket,))


class OneByOne:
    """An engine with few slots that finishes its oldest evaluation at each tick."""

    def __init__(
        self, slots: int = 2, fails_at: int = -1, error: BaseException | None = None, stays_open: bool = False
    ) -> None:
        self.slots = slots
        self.frames = 0
        self.closed = 0
        self.fails_at = fails_at
        self.error = error or ZeroDivisionError("division by zero")
        self.stays_open = stays_open
        self.playing: list[Evaluation[LeaseKey]] = []
        self.most_playing = 0

    def submit(self, evaluation: Evaluation[LeaseKey]) -> None:
        self.playing.append(evaluation)
        self.most_playing = max(self.most_playing, len(self.playing))

    stages = Stages()

    def in_play(self) -> list[LeaseKey]:
        return [each.key for each in self.playing]

    def room(self) -> int:
        return self.slots - len(self.playing)

    def busy(self) -> bool:
        return bool(self.playing)

    def tick(self) -> list[Played[LeaseKey]]:
        oldest = self.playing.pop(0)
        self.frames += 4
        if oldest.episode_seeds[0] == self.fails_at:
            raise self.error
        return [Played(oldest.key, (1.0,), 4, 1, 0.0)]

    def cancel(self, keys: Collection[Hashable]) -> None:
        self.playing = [each for each in self.playing if each.key not in keys]

    def drop(self) -> None:
        self.playing = []

    def close(self) -> None:
        self.closed += 1
        if self.stays_open:
            raise SystemExit("cannot close")


class Stuck(OneByOne):
    """An engine whose tick takes until its gate opens."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self._gate = gate

    def tick(self) -> list[Played[LeaseKey]]:
        assert self._gate.wait(PATIENCE_S)
        return super().tick()


class Listener:
    """The event loop's end of the outbox."""

    def __init__(self, patience_s: float = 0.0) -> None:
        self.rung = asyncio.Event()
        self.rings = 0
        self.scores: list[Score] = []
        self.failures: list[Failure] = []
        self.outbox = Outbox(self._ring, patience_s)

    def _ring(self) -> None:
        self.rings += 1
        self.rung.set()

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not enough():
                await self.rung.wait()
                self.rung.clear()
                scores, failures = self.outbox.take()
                self.scores += scores
                self.failures += failures


@asynccontextmanager
async def playing(listener: Listener) -> AsyncIterator[PlayingThread]:
    stage = PlayingThread(listener.outbox)
    stage.start()
    try:
        yield stage
    finally:
        assert await asyncio.to_thread(stage.stop, PATIENCE_S)


async def test_everything_lent_is_played_and_no_slot_more_than_there_is() -> None:
    listener, engine = Listener(), OneByOne(slots=3)
    async with playing(listener) as stage:
        stage.introduce(ExperimentKey(1), lambda: engine)
        stage.lend(work(ticket) for ticket in range(100))
        await listener.until(lambda: len(listener.scores) == 100)
        assert sorted(score.key.ticket for score in listener.scores) == list(range(100))
        assert stage.pulse().frames == 400
        assert stage.slots == 3
    assert engine.most_playing == 3
    assert engine.closed == 1


async def test_experiments_take_turns_however_much_one_of_them_has_to_do() -> None:
    listener = Listener()
    async with playing(listener) as stage:
        stage.introduce(ExperimentKey(1), OneByOne)
        stage.introduce(ExperimentKey(2), OneByOne)
        stage.lend([work(ticket) for ticket in range(20_000)] + [work(0, experiment=2)])
        await listener.until(lambda: any(score.key.experiment.number == 2 for score in listener.scores))
        assert len(listener.scores) < 20_000


async def test_an_engine_that_breaks_fails_its_own_experiment_only() -> None:
    listener, broken = Listener(), OneByOne(fails_at=13)
    async with playing(listener) as stage:
        stage.introduce(ExperimentKey(1), lambda: broken)
        stage.introduce(ExperimentKey(2), OneByOne)
        stage.lend([work(13)])
        await listener.until(lambda: bool(listener.failures))
        stage.lend([work(5, experiment=2)])
        await listener.until(lambda: bool(listener.scores))
    assert listener.failures == [Failure(ExperimentKey(1), "ZeroDivisionError: division by zero")]
    assert broken.closed == 1


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
async def test_nothing_that_an_experiment_raises_ends_the_thread(error: BaseException) -> None:
    listener, broken = Listener(), OneByOne(fails_at=13, error=error, stays_open=True)
    async with playing(listener) as stage:
        stage.introduce(ExperimentKey(1), lambda: broken)
        stage.introduce(ExperimentKey(2), lambda: OneByOne(stays_open=True))
        stage.lend([work(13), work(5, experiment=2)])
        await listener.until(lambda: bool(listener.failures and listener.scores))
        stage.introduce(ExperimentKey(2), OneByOne)
        stage.lend([work(6, experiment=2)])
        await listener.until(lambda: len(listener.scores) == 2)
        assert stage.broke == ""
    assert listener.failures == [Failure(ExperimentKey(1), f"{type(error).__name__}: {error}")]
    assert broken.closed == 1


async def test_what_a_step_is_of_is_known_while_it_lasts() -> None:
    listener, gate = Listener(), threading.Event()
    async with playing(listener) as stage:
        assert stage.longest_s == math.inf
        stage.introduce(ExperimentKey(1), lambda: Stuck(gate), Patience(30.0))
        stage.lend([work(4)])
        async with asyncio.timeout(PATIENCE_S):
            while not (stage.step and stage.step.playing):
                await asyncio.sleep(0)
        assert stage.step[1:] == (30.0, [work(4).key])
        assert stage.longest_s == 30.0
        gate.set()
        await listener.until(lambda: bool(listener.scores))
        async with asyncio.timeout(PATIENCE_S):
            while stage.step:
                await asyncio.sleep(0)


async def test_a_thread_that_ends_by_itself_says_why() -> None:
    listener = Listener()
    stage = PlayingThread(listener.outbox)
    stage.start()
    stage.revoke([work(1).key])
    stage.lend([work(1)])  # of an experiment that nobody introduced
    async with asyncio.timeout(PATIENCE_S):
        while not stage.broke:
            await asyncio.sleep(0)
    assert await asyncio.to_thread(stage.stop, PATIENCE_S)
    assert stage.broke.startswith("KeyError: ")


async def test_work_for_an_experiment_that_failed_fails_again_until_it_means_something_else() -> None:
    def refuse() -> OneByOne:
        raise SetupError("task.atari.game is 'chess'")

    listener = Listener()
    async with playing(listener) as stage:
        stage.introduce(ExperimentKey(1), refuse)
        stage.lend([work(1)])
        await listener.until(lambda: len(listener.failures) == 1)
        stage.lend([work(2)])
        await listener.until(lambda: len(listener.failures) == 2)
        stage.introduce(ExperimentKey(1), OneByOne)
        stage.lend([work(3)])
        await listener.until(lambda: bool(listener.scores))
    assert (
        listener.failures[0]
        == listener.failures[1]
        == Failure(ExperimentKey(1), "task.atari.game is 'chess'")
    )


async def test_an_engine_without_work_is_freed_and_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "REST_S", 0.01)
    engines: list[OneByOne] = []

    def build() -> OneByOne:
        engines.append(OneByOne())
        return engines[-1]

    listener = Listener()
    async with playing(listener) as stage:
        stage.introduce(ExperimentKey(1), build)
        for ticket in range(2):
            stage.lend([work(ticket)])
            await listener.until(lambda ticket=ticket: len(listener.scores) == ticket + 1)  # type: ignore[misc]
            async with asyncio.timeout(PATIENCE_S):
                while not engines[-1].closed:
                    await asyncio.sleep(0.001)
    assert len(engines) == 2


async def test_the_busy_share_counts_the_tick_that_is_under_way() -> None:
    gate = threading.Event()
    listener, engine = Listener(), Stuck(gate)
    async with playing(listener) as stage:
        stage.introduce(ExperimentKey(1), lambda: engine)
        assert stage.pulse().busy_share == 0.0
        stage.lend([work(1)])
        async with asyncio.timeout(PATIENCE_S):
            while stage.pulse().busy_share < 0.9:
                await asyncio.sleep(0.01)
        gate.set()


async def test_the_loop_is_woken_once_for_many_scores_but_a_lone_one_does_not_wait_for_ever() -> None:
    listener = Listener(patience_s=PATIENCE_S)
    score = Score(LeaseKey(ExperimentKey(1), 1, 1), (1.0,), 4, 1, 0.0)
    for _ in range(ENOUGH * 3):
        listener.outbox.put([score])
    await asyncio.sleep(0)
    assert listener.rings == 1
    assert len(listener.outbox.take()[0]) == ENOUGH * 3

    prompt = Listener(patience_s=0.001)
    prompt.outbox.put([score])
    await prompt.until(lambda: len(prompt.scores) == 1)


async def test_the_last_scores_do_not_wait_for_company() -> None:
    listener = Listener(patience_s=PATIENCE_S * 10)
    async with playing(listener) as stage:
        stage.introduce(ExperimentKey(1), OneByOne)
        stage.lend([work(1), work(2)])
        await listener.until(lambda: len(listener.scores) == 2)


def test_revoked_work_is_dropped_whether_it_waits_or_plays() -> None:
    engine = OneByOne(slots=2)
    player = ExperimentPlayer(lambda: engine)
    player.lend([work(ticket) for ticket in range(5)])
    assert [score.key.ticket for score in player.tick()] == [0]
    assert [each.key for each in engine.playing] == [work(1).key]
    player.revoke({work(1).key, work(3).key})
    assert engine.playing == []
    told = [score.key.ticket for _ in range(2) for score in player.tick()]
    assert told == [2, 4]
    assert not player.has_work
