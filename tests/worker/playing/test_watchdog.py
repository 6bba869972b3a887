"""A step that never comes back is seen, and a process that stood still is not taken for one."""

import asyncio

from worker.playing.lease_work import ExperimentKey, Hang, LeaseKey, Step
from worker.playing.outbox import Outbox
from worker.playing.playing_thread import PlayingThread
from worker.playing.watchdog import LOOK_S, Watchdog

PLAYING = [LeaseKey(ExperimentKey(1), 7, 1)]


class Stage(PlayingThread):
    """A playing thread of which the test says what it does."""

    def __init__(self) -> None:
        super().__init__(Outbox(lambda: None))
        self.doing: Step | None = None

    @property
    def step(self) -> Step | None:
        return self.doing


class House:
    def __init__(self) -> None:
        self.now = 0.0
        self.stage = Stage()
        self.dog = Watchdog(self.stage, lambda: self.now)

    def look(self, looks: int) -> Hang | None:
        """Look once a second, until something hangs."""
        for _ in range(looks):
            self.now += LOOK_S
            if (hang := self.dog.look()) is not None:
                return hang
        return None


async def test_a_step_that_takes_longer_than_it_may_hangs() -> None:
    house = House()
    house.stage.doing = Step(0.0, 10.0, PLAYING)
    assert house.look(11) is None
    assert house.look(1) == Hang(PLAYING, "a step of play has not come back for 10 s")


async def test_steps_that_come_back_do_not_hang_however_many_there_are() -> None:
    house = House()
    for second in range(100):
        house.stage.doing = Step(float(second), 3.0, PLAYING)
        assert house.look(3) is None
        house.stage.doing = None
        assert house.look(20) is None


async def test_a_process_that_stood_still_has_not_hung() -> None:
    house = House()
    house.stage.doing = Step(0.0, 100.0, PLAYING)
    assert house.look(10) is None
    house.now += 1e6
    assert house.look(80) is None
    assert house.look(20) is not None


async def test_a_thread_that_ended_hangs_for_ever() -> None:
    house = House()
    house.stage.broke = "KeyError: 3"
    assert house.look(1) == Hang([], "the playing thread has ended: KeyError: 3")


async def test_whoever_waits_for_a_hang_is_told_of_it() -> None:
    house = House()
    house.stage.broke = "KeyError: 3"
    async with asyncio.timeout(20.0):
        assert (await house.dog.wait()).reason == "the playing thread has ended: KeyError: 3"
