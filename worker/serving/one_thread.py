"""A thread of a model's own: its calls run one after the other, and never on the event loop."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from worker.tasks.base import RAISED

Result = TypeVar("Result")


class _Job(Generic[Result]):
    """A call that waits, and where its result is expected."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self.work = work
        self.done: Future[Result] = Future()

    def run(self) -> None:
        if not self.done.set_running_or_notify_cancel():
            return  # whoever wanted it has given up
        try:
            self.done.set_result(self.work())
        except RAISED as error:
            self.done.set_exception(error)


class OneThread:
    """Runs jobs in their order. A job that hangs holds up those behind it, and nobody else."""

    def __init__(self, name: str) -> None:
        """Start; a thread that hangs keeps no process alive."""
        self._jobs: queue.SimpleQueue[_Job[object] | None] = queue.SimpleQueue()
        self._since_s: float | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Have something done; it can be cancelled until it begins."""
        job = _Job(work)
        self._jobs.put(job)  # type: ignore[arg-type]  # a queue of jobs of any result
        return job.done

    @property
    def busy_s(self) -> float:
        """For how long the job that runs now has been running; 0 if none does."""
        since_s = self._since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def close(self) -> None:
        """End after the jobs that wait."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._since_s = time.monotonic()
            job.run()
            self._since_s = None
