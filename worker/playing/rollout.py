"""The rollout engine: many evaluations at once, each determined by its genome and its episode seeds.

An evaluation has a slot of the population, and that slot's lanes play its episodes; a lane whose episode ends
takes the evaluation's next seed, and a slot whose evaluation ends takes the next one from the queue. Lanes
without an episode are not stepped.

    queue of evaluations --fill--> slots --act--> actions --step--> lanes --ended--> returns --> Played
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Generic

import numpy as np
import torch

from worker.networks.population import Population
from worker.playing.engine import Evaluation, Key, Played
from worker.tasks.base import Lanes, Stepped


@dataclass(slots=True)
class _Slot(Generic[Key]):
    """An evaluation that is being played. Rows are numbered within the slot."""

    evaluation: Evaluation[Key]
    returns: list[float]
    episode_of_row: list[int]
    """Which of the evaluation's episodes each row plays."""
    begun: int = 0
    ended: int = 0
    frames: int = 0
    steps: int = 0
    start_s: float = field(default_factory=time.perf_counter)


class Rollout(Generic[Key]):
    """Plays episodes of a population in lanes. See :class:`.engine.Engine`."""

    def __init__(
        self,
        make_lanes: Callable[[int], Lanes],
        make_population: Callable[[int], Population],
        slots: int,
    ) -> None:
        """Build lanes and population; if the device's memory is too small for the slots, halve them.

        Args:
            make_lanes: builds so many lanes.
            make_population: builds a population of so many slots.
            slots: evaluations to play at a time.
        """
        self._frames = 0
        self._make_population = make_population
        self._queue: deque[Evaluation[Key]] = deque()
        self._population = _that_fits(make_population, slots)
        self._rows = self._population.rows
        self._lanes = make_lanes(self._population.slots * self._rows)
        self._stepping: np.ndarray[tuple[int], np.dtype[np.intp]] | None = None
        self._lay_out()

    def _lay_out(self) -> None:
        """Match slots to lanes: lane `slot * rows + row`."""
        slots = self._population.slots
        self._slots: list[_Slot[Key] | None] = [None] * slots
        self._active = np.zeros((slots, self._rows), np.bool_)
        observations = self._lanes.observations[: slots * self._rows]
        self._observations = observations.reshape(slots, self._rows, *observations.shape[1:])

    @property
    def slots(self) -> int:
        """Evaluations that are played at a time."""
        return self._population.slots

    @property
    def frames(self) -> int:
        """Emulator frames so far, of unfinished episodes too."""
        return self._frames

    def submit(self, evaluation: Evaluation[Key]) -> None:
        """Queue an evaluation. More than there is room for is kept until there is."""
        if not evaluation.episode_seeds:
            raise ValueError(f"evaluation {evaluation.key} has no episode seeds; allowed: 1 or more")
        self._queue.append(evaluation)

    def room(self) -> int:
        """How many more evaluations fill the slots."""
        playing = sum(slot is not None for slot in self._slots)
        return max(0, self.slots - playing - len(self._queue))

    def busy(self) -> bool:
        """Whether there is anything to play."""
        return bool(self._queue) or any(slot is not None for slot in self._slots)

    def tick(self) -> list[Played[Key]]:
        """Finish the step that is under way, and start the next one."""
        played = self._finish_step()
        self._fill_slots()
        self._start_step()
        return played

    def cancel(self, keys: Collection[Key]) -> None:
        """Stop playing these."""
        self._queue = deque(evaluation for evaluation in self._queue if evaluation.key not in keys)
        for index, slot in enumerate(self._slots):
            if slot is not None and slot.evaluation.key in keys:
                self._slots[index] = None
                self._active[index] = False

    def drop(self) -> None:
        """Stop playing everything."""
        self._queue.clear()
        self._slots = [None] * self.slots
        self._active[:] = False

    def close(self) -> None:
        """Free the lanes."""
        self._lanes.close()

    def _unplayed(self) -> list[Evaluation[Key]]:
        return [slot.evaluation for slot in self._slots if slot is not None] + list(self._queue)

    def _fill_slots(self) -> None:
        for index, slot in enumerate(self._slots):
            if slot is None and self._queue:
                self._begin_evaluation(index, self._queue.popleft())

    def _begin_evaluation(self, index: int, evaluation: Evaluation[Key]) -> None:
        self._population.fill(index, evaluation.genome, evaluation.parent)
        slot = _Slot(evaluation, [0.0] * len(evaluation.episode_seeds), [0] * self._rows)
        self._slots[index] = slot
        for row in range(min(self._rows, len(evaluation.episode_seeds))):
            self._begin_episode(index, slot, row)

    def _begin_episode(self, index: int, slot: _Slot[Key], row: int) -> None:
        """Let a row play the evaluation's next episode."""
        seed = slot.evaluation.episode_seeds[slot.begun]
        self._lanes.begin(np.array([index * self._rows + row]), [seed])
        self._population.begin(index, row)
        slot.episode_of_row[row] = slot.begun
        slot.begun += 1
        self._active[index, row] = True

    def _start_step(self) -> None:
        lanes = np.flatnonzero(self._active)
        if not lanes.size:
            return
        try:
            actions = self._population.act(self._observations, self._active)
        except torch.OutOfMemoryError:
            self._halve()
            return
        self._lanes.send(lanes, actions[self._active])
        self._stepping = lanes

    def _finish_step(self) -> list[Played[Key]]:
        if self._stepping is None:
            return []
        lanes, self._stepping = self._stepping, None
        stepped = self._lanes.receive()
        self._frames += int(stepped.frames.sum())
        return self._account(lanes.tolist(), stepped)

    def _account(self, lanes: list[int], stepped: Stepped) -> list[Played[Key]]:
        """Add the step to each row's episode; the evaluations that ended with it."""
        finished = []
        for lane, reward, ended, frames in zip(lanes, *(column.tolist() for column in stepped), strict=True):
            index, row = divmod(lane, self._rows)
            slot = self._slots[index]
            if slot is None:  # cancelled while it was stepping
                continue
            slot.returns[slot.episode_of_row[row]] += reward
            slot.frames += frames
            slot.steps += 1
            if ended and self._end_episode(index, slot, row):
                finished.append(_played(slot))
        return finished

    def _end_episode(self, index: int, slot: _Slot[Key], row: int) -> bool:
        """Free a row, or let it play on; whether this was the evaluation's last episode."""
        slot.ended += 1
        self._active[index, row] = False
        if slot.begun < len(slot.returns):
            self._begin_episode(index, slot, row)
        if slot.ended < len(slot.returns):
            return False
        self._slots[index] = None
        return True

    def _halve(self) -> None:
        """The device ran out of memory: start over what was being played, with half the slots."""
        again = self._unplayed()
        smaller = self.slots // 2
        del self._population
        self._population = _that_fits(self._make_population, smaller)
        self._queue = deque(again)
        self._lay_out()


def _played(slot: _Slot[Key]) -> Played[Key]:
    elapsed = time.perf_counter() - slot.start_s
    return Played(slot.evaluation.key, tuple(slot.returns), slot.frames, slot.steps, elapsed)


def _that_fits(make_population: Callable[[int], Population], slots: int) -> Population:
    """The largest population, of `slots` or a half, quarter ... of them, that the device's memory holds."""
    while slots:
        try:
            return make_population(slots)
        except torch.OutOfMemoryError:
            slots //= 2
            torch.cuda.empty_cache()
    raise MemoryError("the device has no room for a single slot; use a smaller policy or another device")
