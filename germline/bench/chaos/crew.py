"""Real worker processes, each behind two cables of its own, one to each master."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from germline.bench.chaos.cables import TroubledCable
from germline.bench.chaos.worlds import MODULE
from germline.bench.pair import Pair, Place, Process

LONGEST_FAREWELL_S = 30.0
_CLOCKS_S = (0.0, 5 * 3600.0, -7 * 3600.0)  # how wrong the workers' clocks are


class Worker:
    """One machine's worker: its process may be another one after a fault, under the same name or a new one.

    Attributes:
        is_free: whether nothing is being done to it.
        trouble: what it did that it should not have done.
    """

    def __init__(self, number: int, pair: Pair, place: Place, happened: Counter[str], pause_s: float) -> None:
        """Start nothing yet."""
        self._pair, self._place = pair, place
        self._number, self._life = number, 0
        paths = [str(pair.folder / "clock"), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._environment = {
            "CORRIDOR_PAUSE_S": str(pause_s),
            "CLOCK_OFF_BY_S": str(_CLOCKS_S[number % len(_CLOCKS_S)]),
            "PYTHONPATH": os.pathsep.join(paths),
        }
        self.cables = [TroubledCable(host, port, place.gateway, happened) for host, port in pair.targets]
        self.process: Process | None = None
        self.is_free = True
        self.trouble: list[str] = []
        self._log_began = 0  # where its process' part of the log begins

    @property
    def name(self) -> str:
        """What masters know it by."""
        return f"worker-{self._number}-{self._life}"

    @property
    def _log(self) -> Path:
        return self._pair.folder / f"{self.name}.log"

    async def begin(self) -> None:
        """Lay the cables, and start the process."""
        for cable in self.cables:
            await cable.lay()
        await self._start()

    async def end(self) -> None:
        """Take the cables away."""
        for cable in self.cables:
            await cable.take_away()

    async def kill(self) -> None:
        """End its process in the middle of whatever it does; another one comes under the same name."""
        await self._stop(signal.SIGKILL)
        await self._start()

    async def replace(self) -> None:
        """End its process; another one comes under a name of its own."""
        await self._stop(signal.SIGKILL)
        self._life += 1
        await self._start()

    async def terminate(self) -> None:
        """Ask it to leave, which it does in time; another one comes."""
        await self.leave()
        await self._start()

    async def leave(self) -> None:
        """Ask it to leave."""
        try:
            async with asyncio.timeout(LONGEST_FAREWELL_S):
                status = await self._stop(signal.SIGTERM)
        except TimeoutError:
            self.trouble.append(f"{self.name} did not leave within {LONGEST_FAREWELL_S:g} s")
            await self._stop(signal.SIGKILL)
            return
        if status and self._was_there():
            self.trouble.append(f"{self.name} left with status {status}")

    def _was_there(self) -> bool:
        """Whether its process came as far as a master: before, a signal just ends it."""
        with self._log.open("rb") as log:
            log.seek(self._log_began)
            return b"welcomes this worker" in log.read()

    async def stand_still(self, seconds: float) -> None:
        """Stop its process for a while."""
        self._signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._signal(signal.SIGCONT)

    def look(self) -> None:
        """Note if its process ended by itself."""
        if self.is_free and self.process is not None and self.process.returncode is not None:
            status, words = self.process.returncode, self._log.read_text(errors="replace").splitlines()[-1:]
            self.trouble.append(f"{self.name} ended by itself with status {status}: {' '.join(words)}")
            self.process = None

    async def _stop(self, how: signal.Signals) -> int:
        self._signal(how)
        return 0 if self.process is None else await self.process.wait()

    def _signal(self, how: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if self.process is not None:
                self.process.send_signal(how)

    async def _start(self) -> None:
        self._log_began = self._log.stat().st_size if self._log.exists() else 0
        masters = ",".join(f"{cable.host}:{cable.port}" for cable in self.cables)
        flags = ("--master", masters, "--device", "cpu", "--slots", "4", "--worker-id", self.name)
        more = ("--allow-code", MODULE, "--results-log", str(results_log(self._pair.folder, self.name)))
        command = (sys.executable, "-m", "worker", *flags, *more)
        self.process = await self._pair.start(self.name, *command, place=self._place, **self._environment)


def results_log(folder: Path, worker: str) -> Path:
    """Where a worker of this name notes what became of its scores."""
    return folder / f"results-{worker}.jsonl"


def free_one(crew: list[Worker], chance: random.Random) -> Worker | None:
    """A worker to do something to, so that at least one is left in peace."""
    free = [worker for worker in crew if worker.is_free]
    return chance.choice(free) if len(free) > 1 or len(crew) == 1 else None
