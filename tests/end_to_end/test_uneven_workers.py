"""Workers of all kinds on one fleet: slow ones, stopped ones, wrong clocks, some that are told to leave."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from germline.bench.chaos.worlds import CLOCK
from germline.client import Client, Experiment
from germline.spec import loads
from master.config import MasterConfig
from master.server import Master

PATIENCE_S = 100.0
HEARTBEAT_S = 0.5  # who is silent for three of them loses its leases
FAREWELL_S = 30.0
PAIRS = 6
TASK = """
import os, time

PAUSE_S = float(os.environ["PAUSE_S"])


def measure(weights, seed):
    time.sleep(PAUSE_S)
    return -float((weights ** 2).sum())
"""
PLAYED = """
[task.function]
path = "uneven:measure"
dimension = 4
[policy]
name = "vector"
"""
CLIMBED = f"""
name = "climbed"
{PLAYED}
[algorithm.eggroll]
pairs = {PAIRS}
slice_pairs = 1
validation_epochs = 0
"""
SEARCHED = f"""
name = "searched"
{PLAYED}
[algorithm.ga]
window = 40
parents = 5
"""

Process = asyncio.subprocess.Process


class House:
    """A master in this process, and workers in theirs."""

    def __init__(self, master: Master, folder: Path) -> None:
        (folder / "uneven.py").write_text(TASK)
        (folder / "clock").mkdir()
        (folder / "clock" / "sitecustomize.py").write_text(CLOCK)
        self._address, self._folder = master.address, folder
        self.client = Client(master.address)

    @asynccontextmanager
    async def worker(
        self, name: str, pause_s: float = 0.01, clock_off_s: float = 0.0
    ) -> AsyncIterator[Process]:
        paths = os.pathsep.join([str(self._folder / "clock"), os.environ.get("PYTHONPATH", "")])
        more = {"PAUSE_S": str(pause_s), "CLOCK_OFF_BY_S": str(clock_off_s), "PYTHONPATH": paths}
        flags = ("--master", self._address, "--device", "cpu", "--worker-id", name, "--allow-code", "uneven")
        with (self._folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "worker", *flags, cwd=self._folder, stderr=log, env=os.environ | more
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def until(self, name: str, is_so: Callable[[Experiment], bool]) -> Experiment:
        """Look on until it is so."""

        def watch() -> Experiment:
            return next(look for look in self.client.watch(name, 0.1) if is_so(look))

        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.to_thread(watch)

    async def until_told(self, worker: str, more: int) -> int:
        """Wait until so many more evaluations of a worker's stream counted; how many there are."""
        first = last = await self.told_by(worker) or 0
        async with asyncio.timeout(PATIENCE_S):
            while last < first + more:
                last = await self.told_by(worker) or 0
                first = min(first, last)  # a new stream counts from 0
        return last

    async def told_by(self, worker: str) -> int | None:
        """What counts of a connected worker's stream; None if it is not there."""
        seen = await asyncio.to_thread(self.client.workers)
        return next((each.evaluations for each in seen if each.worker_id == worker), None)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    config = MasterConfig(
        listen="127.0.0.1:0", store_folder=tmp_path / "store", metrics_port=-1, heartbeat_s=HEARTBEAT_S
    )
    async with Master.serving(config) as master:
        house = House(master, tmp_path)
        yield house
        house.client.close()


@pytest.mark.slow
async def test_slow_workers_stopped_ones_and_wrong_clocks_keep_nobody_waiting_and_are_all_still_there(
    house: House,
) -> None:
    for spec in (CLIMBED, SEARCHED):
        await asyncio.to_thread(house.client.create, loads(spec))
    async with (
        house.worker("quick") as quick,
        house.worker("slow", pause_s=0.1),
        house.worker("early", clock_off_s=-7 * 3600.0),
        house.worker("late", clock_off_s=5 * 3600.0) as late,
    ):
        for name in ("quick", "slow", "early", "late"):
            await house.until_told(name, 1)
        late.send_signal(signal.SIGSTOP)  # for longer than it may be silent
        async with asyncio.timeout(PATIENCE_S):
            while await house.told_by("late") is not None:
                pass
        before = await house.until("climbed", lambda look: look.epochs >= 3)
        await house.until("climbed", lambda look: look.epochs >= before.epochs + 3)  # without it
        late.send_signal(signal.SIGCONT)
        for name in ("quick", "slow", "early", "late"):
            await house.until_told(name, 1)
        assert quick.returncode is None
        climbed = await house.until("climbed", lambda look: look.epochs >= before.epochs + 6)
        searched = await asyncio.to_thread(house.client.experiment, "searched")
    assert (climbed.failed, searched.failed) == (0, 0)
    assert 2 * PAIRS * climbed.epochs <= climbed.evaluations < 2 * PAIRS * (climbed.epochs + 1)
    assert searched.population > 0


@pytest.mark.slow
async def test_a_worker_that_is_told_to_leave_is_gone_in_time_and_its_work_is_played_by_others(
    house: House,
) -> None:
    await asyncio.to_thread(house.client.create, loads(CLIMBED))
    async with house.worker("leaving", pause_s=3600.0) as leaving:  # in the middle of what takes an hour
        await house.until("climbed", lambda look: look.leased > 0)
        async with house.worker("other"):
            leaving.send_signal(signal.SIGTERM)
            began_s = time.monotonic()
            async with asyncio.timeout(PATIENCE_S):
                assert await leaving.wait() == 0
            assert time.monotonic() - began_s < FAREWELL_S
            done = await house.until("climbed", lambda look: look.epochs >= 2)
    assert done.failed == 0
