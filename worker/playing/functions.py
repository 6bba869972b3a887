"""The engine for tasks without episodes: one call of a function for each seed, or for many of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Generic, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from germline import weights
from germline.behaviour import Numbers, Range, mean, pack
from germline.weights import Layout
from worker.networks.parent_cache import ParentCache
from worker.networks.population import expect_genome
from worker.playing.engine import Evaluation, Key, Played
from worker.playing.stages import Stage, StageClock, Stages
from worker.plugins import described
from worker.tasks.base import RAISED, BatchTask, SetupError, WeightsTask


class FunctionEngine(Generic[Key]):
    """Measures one genome after the other, one call a tick, which counts as one frame and one step.

    An :class:`Engine`.
    """

    def __init__(
        self,
        task: WeightsTask,
        policy: nn.Module,
        *,
        slots: int = 64,
        cache_bytes: int = 256 << 20,
        behaviour: Range | None = None,
    ) -> None:
        """Prepare; `slots` is how many evaluations it holds in its queue.

        With the ranges of a `behaviour`, a call answers with a pair: the return, and what was done.
        """
        self._batch = (
            task.batch or 0 if isinstance(task, BatchTask) else 0
        )  # rows of one call at most; 0: one
        self.slots = max(slots, self._batch)
        self._alone = 0  # evaluations to be measured one by one, since a call for many of them failed
        self._frames = 0
        self._task = task
        self._layout = Layout.of(policy)
        self._weights = torch.zeros(self._layout.size)
        self.cache = ParentCache(self._layout, torch.device("cpu"), cache_bytes)
        self._queue: deque[Evaluation[Key]] = deque()
        self._returns: list[float] = []  # of the oldest evaluation
        self._behaviour = behaviour
        self._behaviours: list[Numbers] = []  # beside its returns
        self._start_s = 0.0
        self._clock = StageClock()

    @property
    def frames(self) -> int:
        """Calls so far."""
        return self._frames

    @property
    def stages(self) -> Stages:
        """Where the time went."""
        return self._clock.read(self)

    def submit(self, evaluation: Evaluation[Key]) -> None:
        """Queue an evaluation."""
        self._queue.append(evaluation)

    def room(self) -> int:
        """How many more evaluations fill the queue."""
        return max(0, self.slots - len(self._queue))

    def busy(self) -> bool:
        """Whether there is anything to measure."""
        return bool(self._queue)

    def in_play(self) -> list[Key]:
        """What is being measured now."""
        if self._batch and not self._alone:
            return [evaluation.key for evaluation in self._taken()]
        return [self._queue[0].key] if self._queue else []

    def tick(self) -> list[Played[Key]]:
        """Measure the oldest evaluation under its next seed."""
        if not self._queue:
            return []
        if self._batch and not self._alone:
            return self._tick_many()
        self._alone = max(0, self._alone - 1)
        try:
            is_done = self._measure(self._queue[0])
        except SetupError:
            raise
        except RAISED as error:
            return [self._finish(described(error))]
        return [self._finish()] if is_done else []

    def _tick_many(self) -> list[Played[Key]]:
        """Measure as many of the oldest evaluations as one call takes; one by one, if that fails."""
        taken = self._taken()
        self._start_s = time.perf_counter()
        seeds = [seed for evaluation in taken for seed in evaluation.episode_seeds]
        try:
            told = self._measured(taken, seeds)
            answers = iter([self._told(each) for each in told])
        except SetupError:
            raise
        except RAISED as error:
            self._returns, self._behaviours = [], []
            if len(taken) == 1:
                return [self._finish(described(error))]
            self._alone = len(taken)
            return []
        behaviours, self._behaviours = iter(self._behaviours), []
        self._frames += len(seeds)
        played = []
        for evaluation in taken:
            count = len(evaluation.episode_seeds)
            self._returns = list(islice(answers, count))
            self._behaviours = list(islice(behaviours, count))
            played.append(self._finish())
        return played

    def _taken(self) -> list[Evaluation[Key]]:
        """The oldest evaluations whose seeds are rows of one call; the oldest of all in any case."""
        taken: list[Evaluation[Key]] = []
        rows = 0
        for evaluation in self._queue:
            rows += len(evaluation.episode_seeds)
            if taken and rows > self._batch:
                break
            taken.append(evaluation)
        return taken

    def _measured(
        self, taken: Sequence[Evaluation[Key]], seeds: Sequence[int]
    ) -> Sequence[float | tuple[float, npt.ArrayLike]]:
        """What the task says of their weights, a row for each seed."""
        rows = np.empty((len(seeds), self._layout.size), np.float32)
        place = 0
        with self._clock.during(Stage.FILL):
            for evaluation in taken:
                self._rebuild(evaluation)
                rows[place : place + len(evaluation.episode_seeds)] = self._weights.numpy()
                place += len(evaluation.episode_seeds)
        with self._clock.during(Stage.EMULATE):
            return cast(BatchTask, self._task).measure_many(rows, seeds)

    def cancel(self, keys: Collection[Key]) -> None:
        """Measure these no more."""
        if self._queue and self._queue[0].key in keys:
            self._returns, self._behaviours = [], []
        self._queue = deque(evaluation for evaluation in self._queue if evaluation.key not in keys)

    def drop(self) -> None:
        """Measure nothing more."""
        self._queue.clear()
        self._returns, self._behaviours = [], []

    def close(self) -> None:
        """Nothing to free."""

    def _measure(self, evaluation: Evaluation[Key]) -> bool:
        """Call the function once; whether that was the evaluation's last seed."""
        if not self._returns:
            self._start_s = time.perf_counter()
            with self._clock.during(Stage.FILL):
                self._rebuild(evaluation)
        seed = evaluation.episode_seeds[len(self._returns)]
        with self._clock.during(Stage.EMULATE):
            measured = self._task.measure(self._weights.numpy(), seed)
        self._returns.append(self._told(measured))
        self._frames += 1
        return len(self._returns) == len(evaluation.episode_seeds)

    def _told(self, measured: float | tuple[float, npt.ArrayLike]) -> float:
        """The return of a call; what it says of the behaviour is noted."""
        if self._behaviour is None:
            return float(measured[0] if isinstance(measured, tuple) else measured)
        if not isinstance(measured, tuple) or len(measured) != 2:
            raise TypeError(
                f"the function returned {type(measured).__name__}; allowed: a pair, its return and the "
                f"{self._behaviour.dimensions} numbers of its behaviour"
            )
        self._behaviours.append(self._behaviour.quantise(measured[1]))
        return float(measured[0])

    def _finish(self, failure: str = "") -> Played[Key]:
        """Take the oldest evaluation out, with what came of it."""
        evaluation, returns, self._returns = self._queue.popleft(), self._returns, []
        behaviours, self._behaviours = self._behaviours, []
        done = b"" if failure or not behaviours else pack(mean(behaviours))
        calls, play_s = len(returns), time.perf_counter() - self._start_s
        told = () if failure else tuple(returns)
        return Played(evaluation.key, told, calls, calls, play_s, failure, behaviour=done)

    def _rebuild(self, evaluation: Evaluation[Key]) -> None:
        genome = expect_genome(evaluation.genome)
        parent = evaluation.parent or genome.parent()
        if parent is None:
            weights.initialise(genome.init_seed, self._layout, self._weights)
        else:
            self.cache.write_child(parent, genome, self._weights)
