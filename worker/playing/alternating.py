"""Two engines that take turns, so that one's emulators run while the other's networks do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Generic

from worker.playing.engine import Engine, Evaluation, Key, Played
from worker.playing.stages import Stages


class Alternating(Generic[Key]):
    """Engines of one task as one. See :class:`.engine.Engine`.

    It pays when lanes step in the background and networks are on another device: while one engine waits for
    its lanes, the lanes of the other one are stepping.
    """

    def __init__(self, engines: Sequence[Engine[Key]]) -> None:
        """Take the engines over."""
        self._engines = list(engines)
        self._next = 0

    @property
    def slots(self) -> int:
        """Evaluations that are played at a time, by all together."""
        return sum(engine.slots for engine in self._engines)

    @property
    def frames(self) -> int:
        """Emulator frames so far, of unfinished episodes too."""
        return sum(engine.frames for engine in self._engines)

    @property
    def stages(self) -> Stages:
        """Where the time of all of them went."""
        return Stages.total(engine.stages for engine in self._engines)

    def room(self) -> int:
        """How many more evaluations fill the slots."""
        return sum(engine.room() for engine in self._engines)

    def busy(self) -> bool:
        """Whether there is anything to play."""
        return any(engine.busy() for engine in self._engines)

    def in_play(self) -> list[Key]:
        """What is being played now, by any of them."""
        return [key for engine in self._engines for key in engine.in_play()]

    def submit(self, evaluation: Evaluation[Key]) -> None:
        """Hand it to the engine with the most room."""
        max(self._engines, key=lambda engine: engine.room()).submit(evaluation)

    def tick(self) -> list[Played[Key]]:
        """Let the next engine that has work play a step."""
        for _ in self._engines:
            engine = self._engines[self._next]
            self._next = (self._next + 1) % len(self._engines)
            if engine.busy():
                return engine.tick()
        return []

    def cancel(self, keys: Collection[Key]) -> None:
        """Stop playing these."""
        for engine in self._engines:
            engine.cancel(keys)

    def drop(self) -> None:
        """Stop playing everything."""
        for engine in self._engines:
            engine.drop()

    def close(self) -> None:
        """Free the lanes."""
        for engine in self._engines:
            engine.close()
