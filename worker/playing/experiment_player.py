"""One experiment on one worker: its rollout engine, and the work that waits for room in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable

from worker.centres.epoch_engine import Evolving
from worker.playing.engine import Engine
from worker.playing.lease_work import Assignment, LeaseKey, Score
from worker.playing.patience import Patience
from worker.playing.stages import Stages
from worker.tasks.base import close_quietly


class ExperimentPlayer:
    """Plays the leases of one experiment. Its engine is built with the first work; :meth:`rest` frees it."""

    def __init__(self, build: Callable[[], Engine[LeaseKey]], patience: Patience | None = None) -> None:
        """Own whatever `build` makes; a tick of it takes no longer than `patience` says, unless it hangs."""
        self._patience = patience or Patience()
        self._build = build
        self._engine: Engine[LeaseKey] | None = None
        self._waiting: deque[Assignment] = deque()
        self._playing: set[LeaseKey] = set()
        self._stages_before = Stages()

    @property
    def longest_s(self) -> float:
        """How long what is done now may take."""
        return self._patience.longest_s

    @property
    def has_work(self) -> bool:
        """Whether a tick would do anything: slices of a later epoch wait without work for anybody."""
        return bool(self._waiting) or (self._engine is not None and self._engine.busy())

    @property
    def playing(self) -> list[LeaseKey]:
        """The leases that are being played now."""
        return list(self._engine.in_play()) if self._engine else []

    @property
    def slots(self) -> int:
        """How many individuals play at a time; 0 while there is no engine."""
        return self._engine.slots if self._engine else 0

    @property
    def frames(self) -> int:
        """Emulator frames since the engine was built, of unfinished episodes too."""
        return self._engine.frames if self._engine else 0

    @property
    def stages(self) -> Stages:
        """Where time went, of engines that are gone, too."""
        playing = [self._engine.stages] if self._engine else []
        return Stages.total([self._stages_before, *playing])

    def lend(self, assignments: Iterable[Assignment]) -> None:
        """Queue work."""
        self._waiting.extend(assignments)

    def revoke(self, keys: Collection[LeaseKey]) -> None:
        """Drop work, waiting or half played."""
        self._waiting = deque(assignment for assignment in self._waiting if assignment.key not in keys)
        playing = self._playing.intersection(keys)
        if self._engine and playing:
            self._engine.cancel(playing)
            self._playing -= playing

    def tick(self) -> list[Score]:
        """Hand the engine what it has room for, and advance every episode; what is finished with it."""
        engine = self._open()
        if self._waiting:
            for _ in range(min(engine.room(), len(self._waiting))):
                assignment = self._waiting.popleft()
                self._playing.add(assignment.key)
                engine.submit(assignment)
        with self._patience.step():
            scores = engine.tick()
        self._playing.difference_update(score.key for score in scores)
        return scores

    def evolving(self) -> Evolving:
        """The engine of an evolution strategy, built if need be.

        Raises:
            TypeError: if the experiment is no evolution strategy.
        """
        engine = self._open()
        if not isinstance(engine, Evolving):
            raise TypeError("an epoch came for an experiment that is no evolution strategy")
        return engine

    def doze(self) -> None:
        """Free what can be built again; an evolution strategy's centre stays."""
        if isinstance(self._engine, Evolving):
            self._engine.doze()
        else:
            self.rest()

    def _open(self) -> Engine[LeaseKey]:
        if self._engine is None:
            self._engine = self._build()
        return self._engine

    def rest(self) -> None:
        """Free the engine and drop all work."""
        self._waiting.clear()
        self._playing.clear()
        if self._engine:
            close_quietly(self._engine)
            stages, self._engine = self.stages, None
            self._stages_before = stages
