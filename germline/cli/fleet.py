"""The processes of `germline run`: a master and its workers, started, watched, restarted, drained."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from germline.cli.errors import CommandError

logger = logging.getLogger(__name__)

MOST_RESTARTS = 5
_STEADY_S = 600.0  # a process that lived so long has earned new restarts
_LAST_LINES = 15
_WRONG_SETTINGS = 2  # exit status of both services


@dataclass
class Child:
    """One process of the run, with a log file of its own.

    Attributes:
        name: "master", "worker-1" ...
        module: the Python module that it runs.
        arguments: of the module.
        log: where its output goes, appended.
        environment: its environment variables.
        restarts: how often it was started again after it died, since it last did any good.
    """

    name: str
    module: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    restarts: int = 0
    _started_s: float = field(default=0.0, repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C is for `run`, which then drains its children in order.

        Its standard input is a pipe of ours, on which it hears that we are gone.
        """
        self._release()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._started_s = time.monotonic()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", "germline.cli.child", self.module, *self.arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self.environment),
                start_new_session=True,
            )

    def start_again(self) -> str:
        """Start it after it died; what happened, as a sentence."""
        status = self.status
        self.restarts = 1 if time.monotonic() - self._started_s > _STEADY_S else self.restarts + 1
        self.start()
        return (
            f"{self.name} ended with status {status} and was started again ({self.restarts}/{MOST_RESTARTS})"
        )

    @property
    def is_given_up(self) -> bool:
        """Whether it died too often to be started again, or of settings that will not get better."""
        dead = self.status is not None
        return dead and (self.restarts >= MOST_RESTARTS or self.status == _WRONG_SETTINGS)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll() if self._process else None

    def terminate(self) -> None:
        """Ask it to drain."""
        if self._process and self.is_running:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        if self._process and self.is_running:
            self._process.kill()
            self._process.wait()
        self._release()

    def _release(self) -> None:
        """Let go of the pipe of a process that has ended."""
        if self._process and self._process.stdin:
            self._process.stdin.close()

    def wait(self, until: float) -> bool:
        """Wait until it has ended, or until this point in monotonic time; whether it has."""
        try:
            if self._process:
                self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_words(self) -> str:
        """The end of its log."""
        lines = (
            self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        )
        return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:]) or "  (it wrote nothing)"


class Fleet:
    """A master and its workers, and a dashboard, which the run can do without.

    Attributes:
        link: to the dashboard; empty without one.
    """

    def __init__(
        self,
        master: Child,
        workers: Sequence[Child],
        store: Path,
        dashboard: Child | None = None,
        link: str = "",
    ) -> None:
        """Start nothing yet; `store` is the folder of the master's own store."""
        self.master, self.link = master, link
        self._dashboard = [] if dashboard is None else [dashboard]
        self._store = store
        self.workers = list(workers)

    def credit(self, names: Iterable[str]) -> None:
        """These workers do some good: whatever ends them, it is worth starting them again."""
        for name in names:
            for worker in self.workers:
                if worker.name == name:
                    worker.restarts = 0

    def start_dashboard(self) -> None:
        """Start the dashboard, if there is one; the master answers already."""
        for dashboard in self._dashboard:
            dashboard.start()

    def start_workers(self) -> None:
        """Start all workers."""
        for worker in self.workers:
            worker.start()

    def tend(self) -> list[str]:
        """Start again what has died; what happened, in sentences.

        Raises:
            CommandError: if the master, or every worker, keeps dying; with the last lines of its log.
        """
        for lost in (
            self.master.is_given_up,
            bool(self.workers) and all(w.is_given_up for w in self.workers),
        ):
            if lost:
                raise CommandError(obituary(next(child for child in self._children() if child.is_given_up)))
        dead = [child for child in self._children() if child.status is not None and not child.is_given_up]
        return [child.start_again() for child in dead]

    def _children(self) -> list[Child]:
        return [self.master, *self.workers, *self._dashboard]

    def drain_workers(self, timeout_s: float) -> None:
        """Let the workers hand back their leases; kill those that take too long."""
        _drain(self.workers, timeout_s)

    def drain_master(self, timeout_s: float) -> None:
        """Let the master write its journal; kill it if it takes too long. The journal survives that too."""
        _drain([*self._dashboard, self.master], timeout_s)

    def kill(self) -> None:
        """End everything that still runs, at once. The journal survives it."""
        interrupted = self.master.is_running
        for child in self._children():
            child.kill()
        if interrupted:
            asyncio.run(close_store(self._store))


def _drain(children: Sequence[Child], timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    for child in children:
        child.terminate()
    for child in children:
        if not child.wait(until):
            logger.warning("%s did not end within %.0f s and is killed", child.name, timeout_s)
            child.kill()


def obituary(child: Child) -> str:
    """What became of a process that is given up, with the end of its log."""
    return (
        f"{child.name} ended with status {child.status}; the last lines of {child.log}:\n{child.last_words()}"
    )


async def close_store(folder: Path) -> None:
    """Stop the store's server that a killed master left behind; its data is on disk already."""
    from master.journal.connection import StoreError
    from master.journal.own_store import OwnStore

    with contextlib.suppress(StoreError):
        async with OwnStore(folder):
            pass
