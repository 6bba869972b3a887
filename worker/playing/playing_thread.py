"""The thread that plays: ticks every experiment that has work, in turn, and never waits for the network.

The event loop gives orders and gets scores through the outbox; nothing else is shared. Native code that runs
for long delays this thread only: heartbeats come from the event loop.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from functools import partial

from worker.centres.epoch_engine import Evolving
from worker.playing.engine import Engine
from worker.playing.experiment_player import ExperimentPlayer
from worker.playing.lease_work import (
    Assignment,
    CentreReport,
    Checkpoint,
    ExperimentKey,
    Failure,
    LeaseKey,
    PlayedSoFar,
    Pulse,
    Score,
    Step,
)
from worker.playing.outbox import Outbox
from worker.playing.patience import Patience
from worker.playing.stages import Stages
from worker.plugins import described
from worker.tasks.base import RAISED, SetupError

logger = logging.getLogger(__name__)

SLICE_S = 0.002  # an experiment's turn, beyond its first step
REST_S = 60.0  # an experiment without work for so long frees its engine


class PlayingThread:
    """Owns a player for each experiment. Public methods are for the event loop; the thread is its own."""

    def __init__(self, outbox: Outbox, clock: Callable[[], float] = time.monotonic) -> None:
        """Start nothing yet; see :meth:`start`."""
        self._outbox = outbox
        self._clock = clock
        self._orders: deque[Callable[[], None]] = deque()
        self._ordered = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="playing", daemon=True)
        self._players: dict[ExperimentKey, ExperimentPlayer] = {}
        self._failed: dict[ExperimentKey, str] = {}
        self._last_work_s: dict[ExperimentKey, float] = {}
        self._meter = _Meter(clock)
        self._stages_gone = self._stages_told = Stages()
        self._since_s = 0.0
        self._acting: ExperimentKey | None = None  # whose code has been running since then
        self.broke = ""
        """Why the thread has ended by itself; empty if it has not."""
        self.slots = 0
        """How many individuals the largest engine plays at a time; 0 before there is one."""

    def start(self) -> None:
        """Let the thread run."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """End the thread after the tick it is in; False if native code keeps it longer than `timeout_s`."""
        self._stopping = True
        self._ordered.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def introduce(
        self,
        experiment: ExperimentKey,
        build: Callable[[], Engine[LeaseKey]],
        patience: Patience | None = None,
    ) -> None:
        """Play this experiment with what `build` makes; drops work under another meaning of the number.

        No step of it takes longer than `patience` says, unless it hangs.
        """
        self._order(partial(self._introduce, experiment, build, patience))

    def lend(self, assignments: Iterable[Assignment]) -> None:
        """Queue work of experiments that were introduced."""
        self._order(partial(self._lend, list(assignments)))

    def revoke(self, keys: Collection[LeaseKey]) -> None:
        """Drop work, played half or not at all."""
        self._order(partial(self._revoke, frozenset(keys)))

    def evolve(self, experiment: ExperimentKey, change: Callable[[Evolving], object]) -> None:
        """Change an evolution strategy's centre, in the order of the calls, and report its digest."""
        self._order(partial(self._evolve, experiment, change))

    def save(self, experiment: ExperimentKey, epoch: int) -> None:
        """Hand out the state of an evolution strategy's centre after so many updates."""
        self._order(partial(self._save, experiment, epoch))

    def pulse(self) -> Pulse:
        """What was played since the last call."""
        before, self._stages_told = self._stages_told, self.stages
        return self._meter.read()._replace(stages=self._stages_told.since(before))

    @property
    def stages(self) -> Stages:
        """Where the time went since the start. Added up when somebody asks, from any thread."""
        return Stages.total([self._stages_gone, *(player.stages for player in list(self._players.values()))])

    @property
    def played(self) -> PlayedSoFar:
        """What was played since the start; from any thread."""
        return self._meter.so_far()

    @property
    def step(self) -> Step | None:
        """What the thread does now; None if it waits. From the event loop, while it may be stuck."""
        experiment, since_s = self._acting, self._since_s
        player = self._players.get(experiment) if experiment is not None else None
        return None if player is None else Step(since_s, player.longest_s, player.playing)

    @property
    def longest_s(self) -> float:
        """How long any step may take."""
        return max((player.longest_s for player in list(self._players.values())), default=math.inf)

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        self._ordered.set()

    def _run(self) -> None:
        try:
            self._play()
        except RAISED as error:
            logger.exception("the playing thread ended")
            self.broke = described(error)

    def _play(self) -> None:
        while not self._stopping:
            self._ordered.clear()
            while self._orders:
                self._orders.popleft()()
            busy = [number for number, player in self._players.items() if player.has_work]
            for experiment in busy:
                self._tick(experiment)
            if not busy:
                self._ordered.wait(self._rest_idle())
        for player in self._players.values():
            player.rest()

    def _tick(self, experiment: ExperimentKey) -> None:
        """Advance one experiment."""
        self._guard(experiment, partial(self._advance, experiment))

    def _guard(self, experiment: ExperimentKey, action: Callable[[], None]) -> None:
        """Whatever an experiment's code raises is its own failure; the others play on."""
        if experiment in self._failed:
            return
        self._since_s = self._clock()
        self._acting = experiment  # last: the event loop looks at any time
        try:
            with self._meter:
                action()
        except SetupError as error:
            self._fail(experiment, str(error))
        except RAISED as error:
            logger.exception("experiment %s broke while it played", experiment)
            self._fail(experiment, described(error))
        self._acting = None

    def _advance(self, experiment: ExperimentKey) -> None:
        player = self._players[experiment]
        frames = player.frames
        scores = self._play_a_slice(player)
        self._meter.add(player.frames - frames)
        self._last_work_s[experiment] = self._clock()
        self._measure_slots()
        if scores:
            self._outbox.put(scores, urgent=not player.has_work)

    def _play_a_slice(self, player: ExperimentPlayer) -> list[Score]:
        """One step of an emulator, or many steps of something quick: looking around has a price."""
        scores = player.tick()
        self._since_s = self._clock()
        until_s = self._since_s + SLICE_S
        while player.has_work and not self._orders and self._since_s < until_s:
            scores += player.tick()
            self._since_s = self._clock()
        return scores

    def _measure_slots(self) -> None:
        slots = max(player.slots for player in self._players.values())
        if slots != self.slots:
            self.slots = slots
            self._outbox.nudge()

    def _evolve(self, experiment: ExperimentKey, change: Callable[[Evolving], object]) -> None:
        def report() -> None:
            engine = self._players[experiment].evolving()
            change(engine)
            self._outbox.notify(CentreReport(experiment, engine.epoch, engine.digest()))

        self._guard(experiment, report)

    def _save(self, experiment: ExperimentKey, epoch: int) -> None:
        def save() -> None:
            state = self._players[experiment].evolving().state(epoch)
            digest, data = (state.digest, state.data) if state else ("", b"")
            self._outbox.notify(Checkpoint(experiment, epoch, digest, data))

        self._guard(experiment, save)

    def _fail(self, experiment: ExperimentKey, reason: str) -> None:
        logger.error("experiment %s cannot be played here: %s", experiment, reason)
        self._players[experiment].rest()
        self._failed[experiment] = reason
        self._outbox.fail(Failure(experiment, reason))

    def _introduce(
        self, experiment: ExperimentKey, build: Callable[[], Engine[LeaseKey]], patience: Patience | None
    ) -> None:
        for former in [key for key in self._players if key.number == experiment.number]:
            gone = self._players.pop(former)
            gone.rest()
            self._stages_gone = Stages.total([self._stages_gone, gone.stages])
            self._failed.pop(former, None)
            self._last_work_s.pop(former, None)
        self._players[experiment] = ExperimentPlayer(build, patience)

    def _lend(self, assignments: list[Assignment]) -> None:
        by_experiment: defaultdict[ExperimentKey, list[Assignment]] = defaultdict(list)
        for assignment in assignments:
            by_experiment[assignment.key.experiment].append(assignment)
        for experiment, work in by_experiment.items():
            if experiment in self._failed:
                self._outbox.fail(Failure(experiment, self._failed[experiment]))
            else:
                self._players[experiment].lend(work)

    def _revoke(self, keys: frozenset[LeaseKey]) -> None:
        for experiment in {key.experiment for key in keys} & self._players.keys():
            self._players[experiment].revoke(keys)

    def _rest_idle(self) -> float | None:
        """Free engines without work for `REST_S`; returns the time until the next one is due."""
        due_s = []
        for experiment, since_s in list(self._last_work_s.items()):
            left_s = since_s + REST_S - self._clock()
            if left_s > 0:
                due_s.append(left_s)
            else:
                self._players[experiment].doze()
                del self._last_work_s[experiment]
        return min(due_s, default=None)


class _Meter:
    """Measures the time inside its `with` blocks, the running one included; read from another thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._busy_s = 0.0
        self._entered_s: float | None = None
        self._read_s = clock()
        self._frames = 0
        self._before = PlayedSoFar(0.0, 0)

    def __enter__(self) -> None:
        with self._lock:
            self._entered_s = self._clock()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._settle(self._clock())
            self._entered_s = None

    def _settle(self, now_s: float) -> None:
        if self._entered_s is not None:
            self._busy_s += now_s - self._entered_s
            self._entered_s = now_s

    def add(self, frames: int) -> None:
        """Count emulator frames."""
        with self._lock:
            self._frames += frames

    def read(self) -> Pulse:
        """The busy share and the frames since the last reading."""
        with self._lock:
            now_s = self._clock()
            self._settle(now_s)
            elapsed_s, self._read_s = now_s - self._read_s, now_s
            share = min(1.0, self._busy_s / elapsed_s) if elapsed_s > 0 else 0.0
            pulse = Pulse(share, self._frames)
            self._before = self._sum()
            self._busy_s, self._frames = 0.0, 0
        return pulse

    def so_far(self) -> PlayedSoFar:
        """Everything since the start."""
        with self._lock:
            self._settle(self._clock())
            return self._sum()

    def _sum(self) -> PlayedSoFar:
        return PlayedSoFar(self._before.busy_s + self._busy_s, self._before.frames + self._frames)
