"""`germline.minimise`: the least value of a plain Python function, with local processes as workers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from germline.algorithms.base import Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.vectors import Vectors
from germline.face.errors import GermlineError
from germline.genome import Genome

Point: TypeAlias = npt.NDArray[np.float64]
Function: TypeAlias = Callable[[Point], float]
Call: TypeAlias = Callable[[Point], "Future[float]"]

MOST_WORKERS = 16  # as many points are always asked ahead, whoever plays them: so no answer depends on it


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """What a search found.

    Attributes:
        x: `[dimension]` float64, the best point.
        value: the function's there; of a noisy function the mean of fresh calls, which did not choose it.
        evaluations: how often the function was called.
        history: `[evaluations]` float64, the least value that any call had given until then.
    """

    x: Point
    value: float
    evaluations: int
    history: npt.NDArray[np.float64]


class _Asked(NamedTuple):
    """Work under way: its ticket, and a value for each of its calls."""

    ticket: int
    values: list[Future[float]]


def minimise(
    function: Function,
    x0: Sequence[float] | npt.NDArray[np.floating] | int,
    budget: int = 10_000,
    *,
    sigma: float = 1.0,
    workers: int = 1,
    seed: int = 0,
    target: float = -math.inf,
    noisy: bool = False,
) -> Minimum:
    """Search for the point where a function is least, by :class:`germline.algorithms.ga.GeneticAlgorithm`.

    The same seed gives the same answer, whatever the number of workers.

    Args:
        function: of a point, `[dimension]` float64; its value is minimised. NaN or an infinity counts for
            nothing. With several workers it runs in processes of its own: one that is defined in a module.
        x0: where to begin; or the dimension, for zeros.
        budget: how often the function may be called.
        sigma: how far from `x0` the answer may well be, in each number.
        workers: processes of this machine that evaluate side by side, 1 to 16; 1: this process itself.
        seed: another seed is another search.
        target: stop as soon as a value is as low as this.
        noisy: whether the function gives another value each time; then a fifth of the calls goes on looking
            at the best points again, so that a lucky one does not win.

    Raises:
        GermlineError: an argument makes no sense, or no value was finite.
    """
    start = np.zeros(x0) if isinstance(x0, int) else np.array(x0, np.float64)
    _check(start, budget, sigma, workers)
    search = _Search(_settings(budget, noisy=noisy), seed, start, sigma)
    with _caller(function, workers) as call:
        search.go_on(call, budget, target)
    return search.found()


class _Search:
    """The algorithm under way: points are asked ahead, and told in the order in which they were asked."""

    def __init__(self, settings: GaSettings, seed: int, start: Point, sigma: float) -> None:
        self._algorithm = GeneticAlgorithm(settings, seed)
        self._vectors, self._start, self._sigma = Vectors(start.size), start, sigma
        self._under_way: deque[_Asked] = deque()
        self._values: list[float] = []

    def go_on(self, call: Call, budget: int, target: float) -> None:
        """Until the budget is spent, or a value is as low as the target."""
        asked = 0
        while asked < budget or self._under_way:
            while asked < budget and len(self._under_way) < MOST_WORKERS:
                (ask,) = self._algorithm.ask(1)
                point = self._point(ask.genome)
                calls = [call(point) for _ in ask.episode_seeds]
                self._under_way.append(_Asked(ask.ticket, calls))
                asked += len(calls)
            if self._tell(self._under_way.popleft()) <= target:
                return

    def found(self) -> Minimum:
        """What it came to."""
        leader = self._algorithm.leader()
        if leader is None:
            raise GermlineError(f"function gave no finite value in {len(self._values):,} calls")
        history = np.minimum.accumulate(self._values)
        return Minimum(self._point(leader.genome), -leader.known_mean, len(self._values), history)

    def _tell(self, asked: _Asked) -> float:
        """Tell the algorithm; gives back the least of the values."""
        values = [float(value.result()) for value in asked.values]
        self._values += [value if math.isfinite(value) else math.inf for value in values]
        if all(map(math.isfinite, values)):
            self._algorithm.tell(Result(asked.ticket, tuple(-value for value in values), frames=1, steps=1))
        else:
            self._algorithm.set_aside(asked.ticket)
        return min(self._values[-len(values) :])

    def _point(self, genome: Genome) -> Point:
        point: Point = self._start + self._sigma * self._vectors(genome)
        return point


def _settings(budget: int, *, noisy: bool) -> GaSettings:
    """Steps from half of sigma to a ten-thousandth of it; the best stay, where a value is the truth."""
    return GaSettings(
        window=50,
        parents=10,
        replacement="oldest" if noisy else "worst",
        power=0.5,
        power_schedule="exponential",
        final_power=0.01 if noisy else 0.0001,
        power_evaluations=budget,
        candidates=5 if noisy else 0,
    )


@contextmanager
def _caller(function: Function, workers: int) -> Generator[Call]:
    """Calls of the function, here and at once, or by processes of their own."""
    if workers == 1:
        yield lambda point: _done(function(point))
        return
    with ProcessPoolExecutor(workers, initializer=_hold, initargs=(function,)) as pool:
        try:
            yield lambda point: pool.submit(_call, point)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _done(value: float) -> Future[float]:
    future: Future[float] = Future()
    future.set_result(value)
    return future


_held: list[Function] = []  # in a worker: the function, which is sent once


def _hold(function: Function) -> None:
    _held[:] = [function]


def _call(point: Point) -> float:
    return float(_held[0](point))


def _check(start: Point, budget: int, sigma: float, workers: int) -> None:
    for name, value, holds, allowed in (
        (
            "x0",
            start,
            start.ndim == 1 and start.size > 0 and bool(np.isfinite(start).all()),
            "a row of finite numbers, or their count",
        ),
        ("budget", budget, budget >= 1, "1 or more"),
        ("sigma", sigma, 0 < sigma < math.inf, "finite and above 0"),
        ("workers", workers, 1 <= workers <= MOST_WORKERS, f"1 to {MOST_WORKERS}"),
    ):
        if not holds:
            raise GermlineError(f"{name} is {value}; allowed: {allowed}")
