"""`germline.run`: a master and workers on this machine, from a program or a notebook."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from germline.cli.archive import Archive
from germline.cli.beginning import Wanted
from germline.cli.crew import Crew, hire
from germline.cli.ending import Ending
from germline.cli.errors import CommandError, Exit
from germline.cli.folder import RunFolder
from germline.cli.live import why_nothing
from germline.cli.sitting import Sitting
from germline.cli.verdict import Judge, Verdict
from germline.client import Client, Experiment, HistoryPoint, Individual, State
from germline.face.errors import in_words
from germline.face.objects import is_here
from germline.face.policy import Policy, load

_CURVE_S = 1.0  # between two looks at the curve


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left behind.

    Attributes:
        name: of the experiment.
        state: "complete", or where it was when the run was ended.
        evaluations: accepted results.
        frames: emulator frames played; outside emulators, steps.
        seconds: time in which the experiment was running, over all sittings.
        champion: the best individual, with the verdict's score where there is one; None before any result.
        folder: where everything lies.
    """

    name: str
    state: State
    evaluations: int
    frames: int
    seconds: float
    champion: Individual | None
    folder: Path

    @property
    def policy(self) -> Policy:
        """The champion, or the centre of an evolution strategy. Raises GermlineError if there is none."""
        return load(self.folder)

    @property
    def curve(self) -> list[HistoryPoint]:
        """Quantiles of the population's fitness, and the champion's mean, oldest point first."""
        return Archive(RunFolder(self.folder)).history()


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What to call, if anything; what one of them raises ends the run, and is raised where it is waited for.

    Attributes:
        on_champion: with each new champion that has a validated score.
        on_point: with each new point of the curve.
        on_end: with the result.
    """

    on_champion: Callable[[Individual], object] | None = None
    on_point: Callable[[HistoryPoint], object] | None = None
    on_end: Callable[[RunResult], object] | None = None

    def call(self, event: Event) -> None:
        """Call whoever wants to hear of it."""
        if isinstance(event, Individual) and self.on_champion is not None:
            self.on_champion(event)
        elif isinstance(event, HistoryPoint) and self.on_point is not None:
            self.on_point(event)
        elif isinstance(event, RunResult) and self.on_end is not None:
            self.on_end(event)


Event: TypeAlias = "Individual | HistoryPoint | RunResult | BaseException"
"""What a run says: a new champion, a new point of the curve; at last its result, or why there is none."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that a run takes.

    Attributes:
        place: where it lives.
        wanted: which experiment, and until when.
        crew: the workers.
        code: import paths that the workers may import.
        judge: who plays the champion anew.
        seconds: how long to sit; None for as long as it takes.
    """

    place: RunFolder
    wanted: Wanted
    crew: Crew
    code: tuple[str, ...]
    judge: Judge
    seconds: float | None = None

    def sit(self, looks: Looks, ending: Ending) -> RunResult:
        """Run it. Raises CommandError if nothing came of it."""
        with self.place.locked():
            self.place.check_holds(self.wanted.spec.name)
            hired = hire(self.place, self.crew, self.code)
            if is_here(self.wanted.spec):
                from germline.face.thread_worker import thread_workers

                workers = thread_workers(self.crew, hired.address, hired.token, self.place.logs)
                hired.fleet.workers[:] = workers
            sitting = Sitting(
                self.place,
                self.wanted,
                hired.fleet,
                self.judge,
                seconds=self.seconds,
                watcher=looks,
                ending=ending,
            )
            with Client(hired.address, token=hired.token) as client:
                code = sitting.sit(client)
        if code is Exit.FAILED or looks.result is None:
            why = sitting.trouble or looks.why_nothing
            logs = self.place.logs
            raise CommandError(f"{self.wanted.spec.name}: {why}; the logs are in {logs}", code)
        return looks.result


class Looks:
    """Looks on, and says what is new. A Watcher."""

    def __init__(self, folder: Path, say: Callable[[Event], object]) -> None:
        """Say what happens to a run in this folder."""
        self._folder, self._say = folder, say
        self._champion: int | None = None
        self._evaluations = -1  # of the newest point
        self._looked_s = -_CURVE_S
        self.result: RunResult | None = None
        self.why_nothing = ""

    def looked(self, client: Client, experiment: Experiment) -> None:
        """Say a new champion, and new points of the curve."""
        champion = experiment.champion
        if champion is not None and champion.id != self._champion:
            self._champion = champion.id
            self._say(client.individual(experiment.name))
        if time.monotonic() - self._looked_s >= _CURVE_S:
            self._looked_s = time.monotonic()
            self._say_points(client.history(experiment.name))

    def _say_points(self, history: list[HistoryPoint]) -> None:
        """Those that were not there before; old ones may be thinned out meanwhile."""
        for point in history:
            if point.evaluations > self._evaluations:
                self._evaluations = point.evaluations
                self._say(point)

    def ended(self, final: Experiment, best: Individual | None, verdict: Verdict | None) -> None:
        """Say the rest of the curve, and keep the result."""
        self.why_nothing = why_nothing(final)
        self._say_points(Archive(RunFolder(self._folder)).history())
        self.result = RunResult(
            name=final.name,
            state=final.state,
            evaluations=final.evaluations,
            frames=final.frames,
            seconds=final.running_s,
            champion=verdict.individual if verdict else best,
            folder=self._folder,
        )


class Running:
    """A run that goes on by itself. Iterate over it for the points of its curve as they come.

    Use it in a `with` statement: leaving that ends the run, which can be gone on with later. Callbacks are
    called in the thread that iterates or waits for the result.
    """

    def __init__(self, job: Job, callbacks: Callbacks) -> None:
        """Begin at once, in a thread of its own."""
        self._callbacks = callbacks
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._ending = Ending(says_so=False)
        self._last: RunResult | BaseException | None = None
        self._job = job
        self._thread = threading.Thread(target=self._run, name="germline.run")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join()

    def __iter__(self) -> Iterator[HistoryPoint]:
        """Points of the curve as they come, until the run is over; raises GermlineError as `result` does."""
        while self._last is None:
            event = self._events.get()
            if isinstance(event, RunResult | BaseException):
                self._last = event
            self._callbacks.call(event)
            if isinstance(event, HistoryPoint):
                yield event
        if isinstance(self._last, BaseException):
            raise self._last

    def stop(self) -> None:
        """Ask for the end: workers hand back what they hold; the same run can be gone on with later."""
        self._ending.ask()

    def result(self) -> RunResult:
        """Wait until the run is over.

        An interrupt (Ctrl-C) ends the run, as leaving its `with` statement does.

        Raises:
            GermlineError: if nothing came of it; the sentence says why.
        """
        try:
            for _ in self:
                pass
        except BaseException:
            self.stop()
            self._thread.join()
            raise
        assert isinstance(self._last, RunResult)  # noqa: S101 - or iterating has raised
        return self._last

    def _run(self) -> None:
        try:
            self._events.put(self._sit())
        except BaseException as error:
            self._events.put(error)

    @in_words
    def _sit(self) -> RunResult:
        return self._job.sit(Looks(self._job.place.path, self._events.put), self._ending)
