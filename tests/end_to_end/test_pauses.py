"""Both sides of the stream in one process, on the test's clock: whoever stands still is taken back."""

import asyncio
from collections.abc import AsyncIterator, Collection, Hashable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from grpc import aio

from germline import noise
from germline.spec import loads
from master.config import MasterConfig
from master.errors import (
    STATUS_CODES,
    DrainingError,
    MasterError,
    OutdatedStreamError,
    SilentStreamError,
    StoreFailingError,
)
from master.server import Master
from master.steady_clock import SteadyClock
from worker.connection import backoff
from worker.connection.link import REFUSING_CODES, TAKEN_CODE, Link
from worker.connection.wire import Identity
from worker.connection.worker_state import LinkSettings
from worker.playing.engine import Evaluation, Played
from worker.playing.lease_work import LeaseKey
from worker.playing.stages import Stages

PATIENCE_S, HEARTBEAT_S = 20.0, 10.0
PAUSE_S = 3 * HEARTBEAT_S + 1
SPEC = loads("""
name = "one"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 20
parents = 4
""")


class Engine:
    """Finishes what it is given in one tick."""

    slots, frames = 4, 0

    def __init__(self) -> None:
        self._playing: list[Evaluation[LeaseKey]] = []

    def submit(self, evaluation: Evaluation[LeaseKey]) -> None:
        self._playing.append(evaluation)

    stages = Stages()

    def in_play(self) -> list[LeaseKey]:
        return [each.key for each in self._playing]

    def room(self) -> int:
        return self.slots - len(self._playing)

    def busy(self) -> bool:
        return bool(self._playing)

    def tick(self) -> list[Played[LeaseKey]]:
        finished, self._playing = self._playing, []
        return [Played(each.key, (1.0,), 4, 1, 0.5) for each in finished]

    def cancel(self, keys: Collection[Hashable]) -> None:
        self._playing = [each for each in self._playing if each.key not in keys]

    def drop(self) -> None:
        self._playing = []

    def close(self) -> None:
        self._playing = []


class Wall:
    """A clock that the test winds."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def working(address: str) -> AsyncIterator[asyncio.Task[None]]:
    identity = Identity("w", "test", noise.VERSION, noise.self_test_digest(), "cpu", {})
    options = [("grpc.use_local_subchannel_pool", 1)]
    link = Link(
        LinkSettings(
            master=address,
            dial=lambda: aio.insecure_channel(address, options=options),
            metadata=(),
            identity=identity,
            slots=4,
            build=lambda _, __: Engine(),
            patience_s=0.0,
        )
    )
    stop = asyncio.Event()
    link.state.playing.start()
    task = asyncio.create_task(link.keep(stop))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert link.state.playing.stop(timeout_s=PATIENCE_S)


@pytest.fixture
def config(tmp_path: Path) -> MasterConfig:
    return MasterConfig(
        listen="localhost:0", metrics_port=-1, store_folder=tmp_path / "store", heartbeat_s=HEARTBEAT_S
    )


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)


async def more_results(master: Master, task: asyncio.Task[None]) -> bool:
    """Whether further evaluations come in, the worker being alive."""
    seen = master.registry.named("one").progress.evaluations
    async with asyncio.timeout(PATIENCE_S):
        while master.registry.named("one").progress.evaluations <= seen:
            if task.done():
                task.result()
                return False
            await asyncio.sleep(0)
    return True


async def test_a_worker_that_stood_still_is_taken_back(config: MasterConfig) -> None:
    wall = Wall()
    async with Master.serving(config, wall) as master, working(master.address) as task:
        master.registry.create(SPEC)
        assert await more_results(master, task)
        (before,) = master.dispatcher.fleet
        wall.now += PAUSE_S
        master.dispatcher.tick()  # nothing was heard of it
        assert len(master.dispatcher.fleet) == 0
        assert await more_results(master, task)
        (after,) = master.dispatcher.fleet
        assert after is not before


async def test_a_master_that_stood_still_holds_its_workers_silence_against_nobody(
    config: MasterConfig,
) -> None:
    wall = Wall()
    async with Master.serving(config, SteadyClock(wall)) as master, working(master.address) as task:
        master.registry.create(SPEC)
        assert await more_results(master, task)
        (before,) = master.dispatcher.fleet
        wall.now += PAUSE_S
        master.dispatcher.tick()
        assert await more_results(master, task)
        assert list(master.dispatcher.fleet) == [before]


@pytest.mark.parametrize("error", [OutdatedStreamError, SilentStreamError, DrainingError, StoreFailingError])
def test_a_status_that_means_come_back_is_none_that_means_go_away(error: type[MasterError]) -> None:
    assert STATUS_CODES[error] not in {*REFUSING_CODES, TAKEN_CODE}
