"""A thread of a model's own: its calls run one after the other, and never on the event loop."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
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
        self._jobs: deque[_Job[object] | None] = deque()
        self._more = threading.Condition()
        self._since_s: float | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Have something done; it can be cancelled until it begins, and then nothing of it is kept."""
        job = _Job(work)
        self._put(job)  # type: ignore[arg-type]  # jobs of any result
        job.done.add_done_callback(lambda done: self._forget(job) if done.cancelled() else None)
        return job.done

    @property
    def busy_s(self) -> float:
        """For how long the job that runs now has been running; 0 if none does."""
        since_s = self._since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return len(self._jobs)

    def close(self) -> None:
        """End after the jobs that wait."""
        self._put(None)

    def _put(self, job: _Job[object] | None) -> None:
        with self._more:
            self._jobs.append(job)
            self._more.notify()

    def _forget(self, job: _Job[Result]) -> None:
        """Behind a job that hangs, those that nobody waits for any more would pile up."""
        with self._more, suppress(ValueError):
            self._jobs.remove(job)  # type: ignore[arg-type]  # the same; it may have been taken just now

    def _take(self) -> _Job[object] | None:
        with self._more:
            self._more.wait_for(lambda: bool(self._jobs))
            return self._jobs.popleft()

    def _run(self) -> None:
        while (job := self._take()) is not None:
            self._since_s = time.monotonic()
            job.run()
            self._since_s = None
