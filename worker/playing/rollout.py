"""The rollout engine: many evaluations at once, each determined by its genome and its episode seeds.

An evaluation has a slot of the population, and that slot's lanes play its episodes; a lane whose episode ends
takes the evaluation's next seed, and a slot whose evaluation ends takes the next one from the queue. Lanes
without an episode are not stepped.

    queue of evaluations --fill--> slots --act--> actions --step--> lanes --ended--> returns --> Played

What goes wrong costs the evaluation that it is of. Where that is not known (something broke in a step that
many took), all that were playing are played again, one by one: each is scored as ever, or found out.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic

import numpy as np
import torch

from germline.behaviour import Numbers, Range, mean, pack
from worker.networks.forward.base import Outputs
from worker.networks.population import Answering, Population
from worker.playing.engine import Evaluation, Key, Played
from worker.playing.normaliser import Normaliser
from worker.playing.stages import Stage, StageClock, Stages
from worker.plugins import described
from worker.tasks.base import (
    RAISED,
    Lanes,
    LanesBrokenError,
    Observations,
    SetupError,
    Stepped,
    close_quietly,
    expect_behaving,
)

logger = logging.getLogger(__name__)

_LOOK_S = 1.0  # between two looks for episodes that take too long


@dataclass(slots=True)
class _Slot(Generic[Key]):
    """An evaluation that is being played. Rows are numbered within the slot."""

    evaluation: Evaluation[Key]
    returns: list[float]
    episode_of_row: list[int]
    """Which of the evaluation's episodes each row plays."""
    since_s: list[float]
    """When each row's episode began."""
    frames_of_row: list[int]
    """How long each row's episode is."""
    behaviours: dict[int, Numbers] = field(default_factory=dict)
    """What each episode did, where the task says it."""
    begun: int = 0
    ended: int = 0
    cut: int = 0
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
        *,
        max_episode_s: float = math.inf,
        behaviour: Range | None = None,
        make_normaliser: Callable[[int, int], Normaliser] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Build lanes and population; if the device's memory is too small for the slots, halve them.

        Args:
            make_lanes: builds so many lanes.
            make_population: builds a population of so many slots.
            slots: evaluations to play at a time.
            max_episode_s: how long one episode may take, in seconds.
            behaviour: the ranges of what lanes say of an episode; None if they are not asked.
            make_normaliser: makes what stands between lanes and networks, for so many slots and rows; None:
                networks see what lanes show.
            clock: tells the time.
        """
        self._frames = 0
        self._make_lanes, self._make_population = make_lanes, make_population
        self._max_episode_s, self._clock, self._behaviour = max_episode_s, clock, behaviour
        self._make_normaliser = make_normaliser
        self._look_s = clock()
        self._stage = StageClock()
        self._queue: deque[Evaluation[Key]] = deque()
        self._alone: deque[Evaluation[Key]] = deque()  # to be played one by one; the first may be playing
        self._done: list[Played[Key]] = []
        self._population = _that_fits(make_population, slots)
        self._rows = self._population.rows
        count = self._population.slots * self._rows
        logger.info(
            "%d networks at a time (slots) with %d episodes side by side: %d lanes",
            self.slots,
            self._rows,
            count,
        )
        self._lanes = make_lanes(count)
        self._stepping: np.ndarray[tuple[int], np.dtype[np.intp]] | None = None
        self._lay_out()

    def _lay_out(self) -> None:
        """Match slots to lanes: lane `slot * rows + row`."""
        slots = self._population.slots
        self._slots: list[_Slot[Key] | None] = [None] * slots
        self._active = np.zeros((slots, self._rows), np.bool_)
        observations = self._lanes.observations[: slots * self._rows]
        self._observations = observations.reshape(slots, self._rows, *observations.shape[1:])
        make = self._make_normaliser
        self._normaliser = make(slots, self._rows) if make is not None else None

    @property
    def slots(self) -> int:
        """Evaluations that are played at a time."""
        return self._population.slots

    @property
    def frames(self) -> int:
        """Emulator frames so far, of unfinished episodes too."""
        return self._frames

    @property
    def outputs(self) -> Outputs | None:
        """What the networks answered in the step that is under way; None where nobody says so."""
        return self._population.outputs if isinstance(self._population, Answering) else None

    @property
    def stages(self) -> Stages:
        """Where the time of its ticks went."""
        return self._stage.read(self._population)

    def submit(self, evaluation: Evaluation[Key]) -> None:
        """Queue an evaluation. More than there is room for is kept until there is."""
        if not evaluation.episode_seeds:
            raise ValueError(f"evaluation {evaluation.key} has no episode seeds; allowed: 1 or more")
        self._queue.append(evaluation)

    def room(self) -> int:
        """How many more evaluations fill the slots."""
        playing = sum(slot is not None for slot in self._slots)
        return max(0, self.slots - playing - len(self._queue) - len(self._alone))

    def busy(self) -> bool:
        """Whether there is anything to play."""
        return bool(self._queue or self._alone) or any(slot is not None for slot in self._slots)

    def in_play(self) -> list[Key]:
        """What is being played now."""
        return [slot.evaluation.key for slot in self._slots if slot is not None]

    def tick(self) -> list[Played[Key]]:
        """Finish the step that is under way, and start the next one."""
        self._stage.switch(Stage.REPORT)
        try:
            self._finish_step()
            self._give_up_overdue()
            self._fill_slots()
            self._start_step()
        except torch.OutOfMemoryError:
            self._halve()
        except SetupError:
            raise
        except RAISED as error:
            self._find_out(described(error))
        finally:
            self._stage.switch(Stage.NOTHING)
        done, self._done = self._done, []
        return done

    def cancel(self, keys: Collection[Key]) -> None:
        """Stop playing these."""
        self._queue = deque(evaluation for evaluation in self._queue if evaluation.key not in keys)
        self._alone = deque(evaluation for evaluation in self._alone if evaluation.key not in keys)
        for index, slot in enumerate(self._slots):
            if slot is not None and slot.evaluation.key in keys:
                self._free(index)

    def drop(self) -> None:
        """Stop playing everything."""
        self._queue.clear()
        self._alone.clear()
        self._slots = [None] * self.slots
        self._active[:] = False

    def close(self) -> None:
        """Free the lanes."""
        close_quietly(self._lanes)

    def _fill_slots(self) -> None:
        self._stage.switch(Stage.FILL)
        for index, slot in enumerate(self._slots):
            if slot is None and (evaluation := self._next()) is not None:
                self._begin_evaluation(index, evaluation)

    def _next(self) -> Evaluation[Key] | None:
        """What a free slot should play; nothing beside what is played alone."""
        if self._alone:
            return None if any(slot is not None for slot in self._slots) else self._alone[0]
        return self._queue.popleft() if self._queue else None

    def _begin_evaluation(self, index: int, evaluation: Evaluation[Key]) -> None:
        returns, rows = [0.0] * len(evaluation.episode_seeds), self._rows
        slot = _Slot(evaluation, returns, [0] * rows, [0.0] * rows, [0] * rows)
        self._slots[index] = slot
        with self._at_its_cost(index, slot):
            self._population.fill(index, evaluation.genome, evaluation.parent)
            if self._normaliser is not None:
                self._normaliser.begin(index, evaluation.genome, is_observed=evaluation.is_observed)
            for row in range(min(self._rows, len(evaluation.episode_seeds))):
                self._begin_episode(index, slot, row)

    @contextmanager
    def _at_its_cost(self, index: int, slot: _Slot[Key]) -> Iterator[None]:
        """Whatever is raised here is this evaluation's own failure."""
        try:
            yield
        except (SetupError, LanesBrokenError, torch.OutOfMemoryError):
            raise
        except RAISED as error:
            self._give_up(index, slot, described(error))

    def _begin_episode(self, index: int, slot: _Slot[Key], row: int) -> None:
        """Let a row play the evaluation's next episode."""
        seed = slot.evaluation.episode_seeds[slot.begun]
        slot.since_s[row] = self._clock()
        before = self._stage.switch(Stage.EMULATE)
        self._lanes.begin(np.array([index * self._rows + row]), [seed])
        self._stage.switch(before)
        self._population.begin(index, row)
        slot.episode_of_row[row], slot.frames_of_row[row] = slot.begun, 0
        slot.begun += 1
        self._active[index, row] = True

    def _start_step(self) -> None:
        lanes = np.flatnonzero(self._active)
        if not lanes.size:
            return
        self._stage.switch(Stage.INFER)
        actions = self._population.act(self._seen(), self._active)
        self._stage.switch(Stage.EMULATE)
        self._lanes.send(lanes, actions[self._active])
        self._stepping = lanes

    def _seen(self) -> Observations:
        """What networks see of what lanes show."""
        if self._normaliser is None:
            return self._observations
        return self._normaliser.see(self._observations, self._active)

    def _finish_step(self) -> None:
        if self._stepping is None:
            return
        lanes, self._stepping = self._stepping.tolist(), None
        self._stage.switch(Stage.EMULATE)
        stepped = self._lanes.receive()
        self._stage.switch(Stage.REPORT)
        self._frames += int(stepped.frames.sum())
        for place, reason in stepped.failures.items():
            index = lanes[place] // self._rows
            if (slot := self._slots[index]) is not None:
                self._give_up(index, slot, reason)
        self._account(lanes, stepped)

    def _account(self, lanes: list[int], stepped: Stepped) -> None:
        """Add the step to each row's episode."""
        columns = (stepped.rewards.tolist(), stepped.ended.tolist(), stepped.frames.tolist())
        for lane, reward, ended, frames in zip(lanes, *columns, strict=True):
            index, row = divmod(lane, self._rows)
            slot = self._slots[index]
            if slot is None:  # cancelled or given up while it was stepping
                continue
            slot.returns[slot.episode_of_row[row]] += reward
            slot.frames += frames
            slot.frames_of_row[row] += frames
            slot.steps += 1
            if ended or self._is_cut(slot, row):
                self._end_episode(index, slot, row)

    def _is_cut(self, slot: _Slot[Key], row: int) -> bool:
        """Whether an episode that is not over has reached its evaluation's cap."""
        cap = slot.evaluation.cap_frames
        is_cut = bool(cap) and slot.frames_of_row[row] >= cap
        slot.cut += is_cut
        return is_cut

    def _end_episode(self, index: int, slot: _Slot[Key], row: int) -> None:
        """Free a row, or let it play on; after its last episode, the evaluation is done."""
        slot.ended += 1
        self._active[index, row] = False
        with self._at_its_cost(index, slot):
            self._note_behaviour(index, slot, row)
        if self._slots[index] is not slot:  # what it did could not be said
            return
        if slot.begun < len(slot.returns):
            with self._at_its_cost(index, slot):
                self._begin_episode(index, slot, row)
        elif slot.ended == len(slot.returns):
            self._finish(index, slot, tuple(slot.returns))

    def _note_behaviour(self, index: int, slot: _Slot[Key], row: int) -> None:
        """Ask the lane what the episode that is over did."""
        if self._behaviour is None:
            return
        values = expect_behaving(self._lanes).behaviour(index * self._rows + row)
        slot.behaviours[slot.episode_of_row[row]] = self._behaviour.quantise(values)

    # What goes wrong

    def _give_up_overdue(self) -> None:
        """Now and then: give up evaluations of which an episode takes too long."""
        now_s = self._clock()
        if now_s < self._look_s:
            return
        self._look_s = now_s + min(_LOOK_S, self._max_episode_s / 10)
        for index, slot in enumerate(self._slots):
            rows = np.flatnonzero(self._active[index]).tolist() if slot is not None else []
            late = [row for row in rows if slot and now_s - slot.since_s[row] > self._max_episode_s]
            if slot is not None and late:
                seed = slot.evaluation.episode_seeds[slot.episode_of_row[late[0]]]
                reason = f"the episode of seed {seed} is not over after {self._max_episode_s:g} s"
                self._give_up(index, slot, f"{reason}; the evaluation took {slot.steps} steps so far")

    def _give_up(self, index: int, slot: _Slot[Key], reason: str) -> None:
        self._finish(index, slot, (), reason)

    def _find_out(self, reason: str) -> None:
        """Something broke, and it is not known whose fault it was: play all of them again, one by one."""
        playing = [(index, slot) for index, slot in enumerate(self._slots) if slot is not None]
        if len(playing) == 1:
            self._give_up(*playing[0], reason)
        elif playing:
            logger.warning("%d evaluations are played again, one by one: %s", len(playing), reason)
            self._alone.extend(slot.evaluation for _, slot in playing)
        close_quietly(self._lanes)
        self._lanes = self._make_lanes(self._population.slots * self._rows)
        self._stepping = None
        self._lay_out()

    def _finish(self, index: int, slot: _Slot[Key], returns: tuple[float, ...], failure: str = "") -> None:
        """An evaluation is done, one way or the other."""
        key, elapsed_s = slot.evaluation.key, time.perf_counter() - slot.start_s
        cut = slot.cut if slot.evaluation.cap_frames else None
        done = b"" if failure or not slot.behaviours else pack(mean(list(slot.behaviours.values())))
        seen = self._normaliser.told(index) if self._normaliser is not None and not failure else b""
        self._done.append(Played(key, returns, slot.frames, slot.steps, elapsed_s, failure, cut, done, seen))
        self._free(index)
        if self._alone and self._alone[0].key == key:
            self._alone.popleft()

    def _free(self, index: int) -> None:
        self._slots[index] = None
        self._active[index] = False

    def _halve(self) -> None:
        """The device ran out of memory: start over what was being played, with half the slots."""
        again = [slot.evaluation for slot in self._slots if slot is not None and not self._alone]
        smaller = self.slots // 2
        del self._population
        self._population = _that_fits(self._make_population, smaller)
        self._queue.extendleft(reversed(again))
        self._lay_out()


def _that_fits(make_population: Callable[[int], Population], slots: int) -> Population:
    """The largest population, of `slots` or a half, quarter ... of them, that the device's memory holds."""
    while slots:
        try:
            return make_population(slots)
        except torch.OutOfMemoryError:
            slots //= 2
            torch.cuda.empty_cache()
    raise SetupError("the device has no room for a single slot; use a smaller policy or another device")
