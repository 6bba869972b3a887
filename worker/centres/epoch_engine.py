"""The engine of an evolution strategy: plays slices of the open epoch, and moves the centre itself.

Every worker applies the same exact update to the same centre, so nothing but slice numbers and scores crosses
the wire. Work of a later epoch waits for its centre; work of an earlier one is dropped.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, runtime_checkable

from germline.behaviour import mean, pack, unpack
from germline.eggroll import Evolution, centre_file
from germline.observed import add_up
from germline.pairs import Slice, members
from worker.centres.members import centre_member
from worker.playing.engine import Engine, Evaluation, Key, Played
from worker.playing.stages import Stage, StageClock, Stages

logger = logging.getLogger(__name__)

_ROOM = 1 << 20  # leases wait here for their epoch, so there is always room for them
_KEPT_STATES = 3
_TOLD_FAILURES = 3  # of one slice


class State(NamedTuple):
    """A centre and its optimiser's memory, as a file."""

    epoch: int
    digest: str
    data: bytes


@runtime_checkable
class Evolving(Protocol):
    """What an engine with a centre can do beside playing."""

    @property
    def epoch(self) -> int:
        """Updates applied."""
        ...

    def digest(self) -> str:
        """Digest of the centre."""
        ...

    def update(self, epoch: int, fitness: Sequence[float], next_centre: int = 0) -> bool:
        """Apply a closed epoch, and turn to the next one's centre; False if it is not the next one."""
        ...

    def load(self, data: bytes) -> bool:
        """Go on from a checkpoint; False if the centre is as far already."""
        ...

    def reload(self) -> None:
        """Start over from the first centre."""
        ...

    def state(self, epoch: int) -> State | None:
        """The state after so many updates, if it is still at hand."""
        ...

    def doze(self) -> None:
        """Free what can be built again; the centre stays."""
        ...


@dataclass(slots=True)
class _Open(Generic[Key]):
    """A slice that is being played."""

    evaluation: Evaluation[Key]
    parts: list[Evaluation[tuple[Key, int]]]
    returns: list[float]
    """NaN where a part was not scored, or not yet."""
    left: int
    failures: list[str] = field(default_factory=list)
    behaviours: dict[int, bytes] = field(default_factory=dict)
    """What each part did, by the place of its first return; empty where nothing is said of it."""
    observed: dict[int, bytes] = field(default_factory=dict)
    """What each part saw, likewise."""
    frames: int = 0
    steps: int = 0
    start_s: float = field(default_factory=time.perf_counter)


class EpochEngine(Generic[Key]):
    """Plays slices around an evolution's centre. An :class:`Engine` that is :class:`Evolving`."""

    def __init__(
        self,
        begin: Callable[[], Evolution],
        stage: Callable[[Evolution], tuple[Engine[tuple[Key, int]], Callable[[], None]]],
        *,
        episodes: int,
        rows: int,
        measured_every: int = 0,
        checkpoint_every: int = 0,
    ) -> None:
        """Begin with the first centre.

        Args:
            begin: makes the evolution with its first centre.
            stage: builds the engine that plays its members, and what tells that engine that the centre moved.
            episodes: of one member.
            rows: episodes that one member's slot plays at a time.
            measured_every: epochs between two measured centres, whose states are kept for a while: the best
                of them will be asked for. 0: none is.
            checkpoint_every: epochs between two centres that will be asked for, whose states are kept for a
                while, too: the master asks when the slowest worker has come so far. 0: none is.
        """
        self._begin, self._stage = begin, stage
        self._episodes, self._rows = episodes, rows
        self._asked_every = [every for every in (measured_every, checkpoint_every) if every]
        self._evolution = begin()
        self._engine: Engine[tuple[Key, int]] | None = None
        self._refresh: Callable[[], None] = _nothing
        self._frames_before = 0
        self._stages_before = Stages()
        self._clock = StageClock()
        self._slots = 0
        self._open: dict[Key, _Open[Key]] = {}
        self._later: list[Evaluation[Key]] = []
        self._states: dict[int, State] = {}
        self._keep_if_asked_for()

    # An engine

    @property
    def slots(self) -> int:
        """Members that are played at a time; 0 before the first."""
        return self._engine.slots if self._engine else self._slots

    @property
    def frames(self) -> int:
        """Emulator frames so far, of unfinished episodes too."""
        return self._frames_before + (self._engine.frames if self._engine else 0)

    @property
    def stages(self) -> Stages:
        """Where the time of ticks and updates went."""
        playing = [self._engine.stages] if self._engine else []
        return Stages.total([self._stages_before, self._clock.read(), *playing])

    def room(self) -> int:
        """Always enough: what cannot be played yet waits here."""
        return _ROOM

    def busy(self) -> bool:
        """Whether there is anything to play now."""
        return bool(self._open)

    def in_play(self) -> set[Key]:
        """The slices of which members are being played now."""
        return {key for key, _ in self._engine.in_play()} if self._engine else set()

    def submit(self, evaluation: Evaluation[Key]) -> None:
        """Take a slice; it waits for its epoch, or is dropped if that has closed."""
        slice_ = _slice_of(evaluation)
        if slice_.epoch > self.epoch:
            self._later.append(evaluation)
        elif slice_.epoch == self.epoch:
            self._play(evaluation, slice_)

    def tick(self) -> list[Played[Key]]:
        """Play one step of everything; the slices that are finished with it."""
        if self._engine is None:
            return []
        finished = []
        for played in self._engine.tick():
            key, first = played.key
            part = self._open.get(key)
            if part is not None and self._finish(part, first, played):
                finished.append(self._close(key))
        return finished

    def cancel(self, keys: Collection[Key]) -> None:
        """Stop playing these."""
        self._later = [evaluation for evaluation in self._later if evaluation.key not in keys]
        for key in self._open.keys() & set(keys):
            parts = self._open.pop(key).parts
            if self._engine:
                self._engine.cancel({part.key for part in parts})

    def drop(self) -> None:
        """Stop playing everything."""
        self._later.clear()
        self._drop_open()

    def close(self) -> None:
        """Free the task."""
        self.doze()

    # Evolving

    @property
    def epoch(self) -> int:
        """Updates applied."""
        return self._evolution.epoch

    def digest(self) -> str:
        """Digest of the centre."""
        return self._evolution.digest()

    def update(self, epoch: int, fitness: Sequence[float], next_centre: int = 0) -> bool:
        """Apply a closed epoch, and turn to the next one's centre; False if it is not the next one.

        Raises:
            ValueError: if it has not a fitness for each member, or there is no such centre.
        """
        if epoch != self.epoch:
            if epoch > self.epoch:
                logger.warning("epoch %d closed, but this centre stands at %d", epoch, self.epoch)
            return False
        with self._clock.during(Stage.UPDATE):
            self._evolution.tell(fitness)
            self._evolution.turn_to(next_centre)
            self._keep_if_asked_for()
            self._go_on()
        return True

    def load(self, data: bytes) -> bool:
        """Go on from a checkpoint; False if the centre is as far already.

        Raises:
            ValueError: if the checkpoint is damaged, or another network's.
        """
        if centre_file.read(data).epoch <= self.epoch:
            return False
        centre_file.restore(self._evolution, data)
        self._keep_if_asked_for()
        self._go_on()
        return True

    def reload(self) -> None:
        """Start over from the first centre; slices that were begun wait for their epoch again."""
        self._later += [part.evaluation for part in self._open.values()]
        self.doze()
        self._states.clear()
        self._evolution = self._begin()
        self._keep_if_asked_for()
        self._go_on()

    def state(self, epoch: int) -> State | None:
        """The state after so many updates, if it is still at hand."""
        if epoch == self.epoch:
            return self._state()
        return self._states.get(epoch)

    def doze(self) -> None:
        """Free what can be built again; the centre stays."""
        self._open.clear()
        if self._engine:
            self._frames_before, self._slots = self.frames, self._engine.slots
            self._stages_before = Stages.total([self._stages_before, self._engine.stages])
            self._engine.close()
            self._engine, self._refresh = None, _nothing  # which knows the population

    # Inside

    def _go_on(self) -> None:
        """Begin what waited for this centre."""
        self._drop_open()
        self._refresh()
        waiting, self._later = self._later, []
        for evaluation in waiting:
            self.submit(evaluation)

    def _play(self, evaluation: Evaluation[Key], slice_: Slice) -> None:
        if self._engine is None:
            self._engine, self._refresh = self._stage(self._evolution)
        parts = list(self._parts(evaluation, slice_))
        count = sum(len(part.episode_seeds) for part in parts)
        self._open[evaluation.key] = _Open(evaluation, parts, [math.nan] * count, len(parts))
        for part in parts:
            self._engine.submit(part)

    def _parts(self, evaluation: Evaluation[Key], slice_: Slice) -> Iterator[Evaluation[tuple[Key, int]]]:
        """What each slot plays, under the key (slice's key, place of its first return)."""
        seeds = evaluation.episode_seeds
        if not slice_.pairs:
            for first in range(0, len(seeds), self._rows):
                part = seeds[first : first + self._rows]
                yield Evaluation(
                    (evaluation.key, first),
                    centre_member(slice_.epoch),
                    part,
                    is_observed=evaluation.is_observed,
                )
            return
        each = len(seeds) // slice_.pairs
        for number, member in enumerate(members(slice_.epoch, slice_.first_pair, slice_.pairs)):
            place = (member.pair - slice_.first_pair) * each
            own = seeds[place : place + each]
            yield Evaluation((evaluation.key, number * each), member, own, is_observed=evaluation.is_observed)

    def _finish(self, slice_: _Open[Key], first: int, played: Played[tuple[Key, int]]) -> bool:
        """Note what a part came to; whether it was the slice's last."""
        slice_.returns[first : first + len(played.returns)] = played.returns
        if played.failure:
            (part,) = (part for part in slice_.parts if part.key == played.key)
            who = f"member {part.genome}" if _slice_of(slice_.evaluation).pairs else "the centre"
            slice_.failures.append(f"{who}: {played.failure}")
        if played.behaviour:
            slice_.behaviours[first] = played.behaviour
        if played.observed:
            slice_.observed[first] = played.observed
        slice_.frames += played.frames
        slice_.steps += played.steps
        slice_.left -= 1
        return slice_.left == 0

    def _close(self, key: Key) -> Played[Key]:
        done = self._open.pop(key)
        elapsed_s = time.perf_counter() - done.start_s
        failure = "; ".join(done.failures[:_TOLD_FAILURES])
        played = Played(key, tuple(done.returns), done.frames, done.steps, elapsed_s, failure)
        if failure:
            return played
        seen = add_up([done.observed[first] for first in sorted(done.observed)])
        return played._replace(behaviour=_behaviour(done), observed=seen)

    def _drop_open(self) -> None:
        self._open.clear()
        if self._engine:
            self._engine.drop()

    def _keep_if_asked_for(self) -> None:
        """Keep a state that the master may ask for when this centre has gone on."""
        if any(self.epoch % every == 0 for every in self._asked_every):
            self._states[self.epoch] = self._state()
            while len(self._states) > _KEPT_STATES:
                del self._states[min(self._states)]

    def _state(self) -> State:
        return State(self.epoch, self.digest(), centre_file.write(self._evolution))


def _behaviour(done: _Open[Key]) -> bytes:
    """What the members did, one after the other; of a measured centre, the mean over its parts."""
    parts = [done.behaviours[first] for first in sorted(done.behaviours)]
    if not parts or _slice_of(done.evaluation).pairs:
        return b"".join(parts)
    return pack(mean([unpack(part) for part in parts]))


def _slice_of(evaluation: Evaluation[Key]) -> Slice:
    if not isinstance(evaluation.genome, Slice):
        raise TypeError(f"evaluation {evaluation.key} is no slice of an epoch; this engine plays only those")
    return evaluation.genome


def _nothing() -> None:
    """There is no engine yet."""
