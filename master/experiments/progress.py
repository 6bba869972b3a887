"""What a run has come to: counters, running time, rates and its curve."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from germline.algorithms.base import JsonValue, Result
from germline.algorithms.means import mean_of
from master.experiments.happenings import Happenings, Kind

MAX_POINTS = 2_048
QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)

_RATE_WINDOW_S = 30.0
_NAMED = 10  # of those that were set aside


class Point(NamedTuple):
    """A point of the curve; see germline.v1.HistoryPoint."""

    evaluations: int
    frames: int
    running_s: float
    fitness_quantiles: tuple[float, ...]
    champion_mean: float | None


class History:
    """At most 2,048 points, evenly spread over the evaluations: when it is full, every other one goes.

    A point's place is a multiple of the stride, which doubles with each thinning, so that the same
    evaluations give the same curve whatever restarts were in between.
    """

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.stride = 1

    def is_due(self, place: int) -> bool:
        """Whether a point belongs here; places count up by one, from 1."""
        return place % self.stride == 0

    def add(self, point: Point) -> None:
        """Take in a point that is due."""
        self.points.append(point)
        if len(self.points) > MAX_POINTS:
            self.stride *= 2
            self.points = self.points[1::2]


class Unscored(NamedTuple):
    """Work that was set aside; see germline.v1.Unscored."""

    name: str
    reason: str
    attempts: int
    worker: str


class Progress:
    """Counters of one experiment; the clock is injected, and time counts only between start and stop.

    Attributes:
        evaluations: accepted ones.
        episodes: in them.
        frames: emulator frames in them.
        steps: agent steps in them.
        best_fitness: of any single evaluation under the longest cap so far, or of whole games without caps.
        best_cap: which cap that was, in frames; 0: none.
        failed: individuals that were set aside.
        set_aside: the last of them.
        history: the curve.
        happened: what people will ask about later.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.failed = 0
        self.set_aside: deque[Unscored] = deque(maxlen=_NAMED)
        self.evaluations = self.episodes = self.frames = self.steps = 0
        self.best_fitness: float | None = None
        self.best_cap = 0
        self.history = History()
        self.happened = Happenings()
        self._clock = clock
        self._ran_s = 0.0
        self._running_since: float | None = None

    @property
    def running_s(self) -> float:
        """Time in which the experiment was running and workers held work of it, over all restarts."""
        now = 0.0 if self._running_since is None else self._clock() - self._running_since
        return self._ran_s + now

    def start_clock(self) -> None:
        """From now on, time counts."""
        if self._running_since is None:
            self._running_since = self._clock()

    def stop_clock(self) -> None:
        """From now on, time does not count."""
        self._ran_s, self._running_since = self.running_s, None

    def recall_running(self, running_s: float) -> None:
        """Replay: so long it had been running at this moment."""
        self._ran_s = running_s

    def count(self, result: Result, evaluations: int = 1, cap_frames: int = 0) -> None:
        """Take in an accepted result of one evaluation, or of several with equally many returns each."""
        returns = result.returns
        self.evaluations += evaluations
        self.episodes += len(returns)
        self.frames += result.frames
        self.steps += result.steps
        fitness = returns[0] if len(returns) == 1 else _best_mean(returns, len(returns) // evaluations)
        if self.best_fitness is None or (cap_frames, fitness) > (self.best_cap, self.best_fitness):
            self.best_cap, self.best_fitness = cap_frames, fitness

    def count_failed(self, failed: int, unscored: Unscored) -> None:
        """So many individuals were set aside with this work."""
        self.failed += failed
        self.set_aside.append(unscored)
        self.note(Kind.SET_ASIDE, f"{unscored.name} could not be scored: {unscored.reason}")

    def note(self, kind: Kind, text: str, time: float = 0.0) -> None:
        """Remember that something happened here, live and in a replay."""
        self.happened.add(kind, text, self.evaluations, self.frames, time)

    def uncount(self, result: Result, evaluations: int) -> None:
        """Take a result out again that was accepted by mistake; the best score stays what it was."""
        self.evaluations -= evaluations
        self.episodes -= len(result.returns)
        self.frames -= result.frames
        self.steps -= result.steps

    def snapshot(self) -> dict[str, JsonValue]:
        """Everything as JSON values."""
        return {
            "evaluations": self.evaluations,
            "episodes": self.episodes,
            "frames": self.frames,
            "steps": self.steps,
            "best_fitness": self.best_fitness,
            "best_cap": self.best_cap,
            "failed": self.failed,
            "set_aside": [list(unscored) for unscored in self.set_aside],
            "running_s": self.running_s,
            "stride": self.history.stride,
            "points": [list(point) for point in self.history.points],
            **self.happened.snapshot(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Become what :meth:`snapshot` wrote."""
        for counter in ("evaluations", "episodes", "frames", "steps", "best_fitness"):
            setattr(self, counter, snapshot[counter])
        self.best_cap = snapshot.get("best_cap", 0)  # which snapshots of earlier builds lack, as what follows
        self.failed = snapshot.get("failed", 0)
        self.set_aside.extend(Unscored(*each) for each in snapshot.get("set_aside", ()))
        self._ran_s = snapshot["running_s"]
        self.history.stride = snapshot["stride"]
        self.history.points = list(_read_points(snapshot["points"]))
        self.happened.restore(snapshot)


class Rates:
    """Evaluations and frames a second over the last half minute, sampled about once a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int, int]] = deque()

    def sample(self, evaluations: int, frames: int) -> None:
        """Note the counters as they are now."""
        now = self._clock()
        self._samples.append((now, evaluations, frames))
        while now - self._samples[0][0] > _RATE_WINDOW_S:
            self._samples.popleft()

    def per_second(self, evaluations: int, frames: int) -> tuple[float, float]:
        """Evaluations and frames a second, up to the counters as they are now."""
        if not self._samples:
            return 0.0, 0.0
        then, evaluations_then, frames_then = self._samples[0]
        seconds = max(self._clock() - then, 1e-3)
        return (evaluations - evaluations_then) / seconds, (frames - frames_then) / seconds


def _best_mean(returns: tuple[float, ...], episodes: int) -> float:
    """The best mean of so many returns that stand together."""
    return max(mean_of(returns[i : i + episodes]) for i in range(0, len(returns), episodes))


def _read_points(points: Iterable[list[Any]]) -> Iterable[Point]:
    for evaluations, frames, running_s, quantiles, champion_mean in points:
        yield Point(evaluations, frames, running_s, tuple(quantiles), champion_mean)
