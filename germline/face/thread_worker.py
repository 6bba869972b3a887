"""A worker in a thread of this process, which plays what no other process can import."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from pathlib import Path

from germline.cli.crew import Crew
from germline.cli.fleet import Child
from germline.face.objects import HOME
from worker.config import WorkerConfig
from worker.loop import Ending, work

_FAILED = 1
_LONGEST_S = 5.0  # that an end is waited for which nobody asked for politely


class ThreadWorker(Child):
    """A child of the fleet, as others are, but for its thread."""

    def __init__(self, name: str, log: Path, config: WorkerConfig) -> None:
        """Start nothing yet; what ends it by mistake is written into `log`."""
        super().__init__(name, "worker", (), log, {})
        self._config = config
        self._thread: threading.Thread | None = None
        self._stop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._ended: int | None = None

    def start(self) -> None:
        """Start it."""
        self._ended, self._stop = None, None
        self._started_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._thread is not None and self._ended is None

    @property
    def status(self) -> int | None:
        """0 after it left as it was asked to, 1 after something else; None while it runs."""
        return self._ended

    def terminate(self) -> None:
        """Ask it to hand back what it holds, and to leave."""
        if self._stop is not None and self.is_running:
            loop, stop = self._stop
            loop.call_soon_threadsafe(stop.set)

    def kill(self) -> None:
        """The same: a thread cannot be ended, but it ends soon."""
        self.terminate()
        self.wait(time.monotonic() + _LONGEST_S)

    def wait(self, until: float) -> bool:
        """Wait until it has ended, or until this point in monotonic time; whether it has."""
        if self._thread is not None:
            self._thread.join(max(0.0, until - time.monotonic()))
        return not self.is_running

    def _run(self) -> None:
        try:
            ending = asyncio.run(work(self._config, self._heed))
            self._ended = _FAILED if ending is Ending.HUNG else 0
        except BaseException:  # whatever it is, it ends this thread alone
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("a", encoding="utf-8") as log:
                log.write(traceback.format_exc())
            self._ended = _FAILED

    def _heed(self, stop: asyncio.Event) -> None:
        self._stop = (asyncio.get_running_loop(), stop)


def thread_workers(crew: Crew, address: str, token: str, logs: Path) -> list[Child]:
    """Workers in threads, instead of those in processes."""
    return [
        ThreadWorker(
            name,
            logs / f"{name}.log",
            WorkerConfig(
                master=address,
                token=token,
                device=crew.device,
                worker_id=name,
                allow_code=HOME,
                slots=-(-crew.parallelism // crew.size),
            ),
        )
        for name in (f"worker-{number}" for number in range(1, crew.size + 1))
    ]
