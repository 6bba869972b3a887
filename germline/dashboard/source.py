"""What the dashboard reads: a master by its client, or what a run left in its folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Protocol, TypeVar

from germline.client import (
    Bands,
    Checkpoint,
    Experiment,
    ExperimentEvent,
    HistoryPoint,
    Individual,
    KnownReturns,
    QuarantinedWorker,
    Worker,
)
from germline.client.archive import Axis

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")

_THREADS = 12


class Source(Protocol):
    """Calls that wait for an answer; a :class:`germline.client.Client` is one.

    Each raises NotReachableError if nobody answers, and RefusedError, with a sentence, if the answer is no.
    """

    address: str

    def experiments(self) -> list[Experiment]:
        """All of them, oldest first."""
        ...

    def experiment(self, name: str) -> Experiment:
        """One as it stands."""
        ...

    def history(self, name: str) -> list[HistoryPoint]:
        """The curve of the run."""
        ...

    def events(self, name: str) -> list[ExperimentEvent]:
        """What happened to it, oldest first."""
        ...

    def bands(
        self, name: str, axis: Axis, low: float | None, high: float | None, points: int | None
    ) -> Bands:
        """Quantile bands of every evaluation; refused where there is no archive."""
        ...

    def individuals(self, name: str, limit: int = 100) -> list[Individual]:
        """The population, best first."""
        ...

    def individual(self, name: str, individual_id: int | None = None) -> Individual:
        """One with its genome; without an id the champion, or the best."""
        ...

    def returns(self, name: str) -> Iterator[KnownReturns]:
        """What is known of individuals by their episodes."""
        ...

    def checkpoint(self, name: str) -> Checkpoint:
        """An evolution strategy's centre."""
        ...

    def workers(self) -> list[Worker]:
        """Those that are connected."""
        ...

    def quarantined(self) -> list[QuarantinedWorker]:
        """Those that were proven wrong."""
        ...

    def watch(self, name: str, interval_s: float, *, patience_s: float) -> Iterator[Experiment]:
        """As it stands, again and again, until it is over."""
        ...

    def pause(self, name: str) -> Experiment:
        """Lend no more work of it."""
        ...

    def resume(self, name: str) -> Experiment:
        """Undo a pause."""
        ...

    def stop(self, name: str) -> Experiment:
        """End it."""
        ...

    def close(self) -> None:
        """Give up what is under way."""
        ...


class Threads:
    """Threads that wait for answers, so that the loop never does."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, "asking")

    async def ask(
        self, question: Callable[_Asked, _Answer], *args: _Asked.args, **kwargs: _Asked.kwargs
    ) -> _Answer:
        """The answer to a call that waits."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: question(*args, **kwargs))

    def close(self) -> None:
        """Begin no more; what is under way ends when its connection is closed."""
        self._pool.shutdown(wait=False, cancel_futures=True)
