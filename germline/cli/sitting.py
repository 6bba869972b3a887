"""One sitting of `germline run`: from starting the master to the last line of the report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

import typer

from germline.cli import report
from germline.cli.beginning import Wanted, begin
from germline.cli.ending import DRAINING, Ending
from germline.cli.errors import CommandError, Exit
from germline.cli.fleet import Fleet, obituary
from germline.cli.folder import RunFolder
from germline.cli.live import Display, line, why_nothing
from germline.cli.output import Shown, console, emit
from germline.cli.streams import unheard
from germline.cli.verdict import Judge, Verdict
from germline.client import Client, Experiment, Individual, MasterError, NotReachableError

DRAIN_S = 30.0
_LOST_S = 60.0  # a master that is being restarted may be silent for so long
_LOOK_S = 0.25
_LINE_S = 5.0
_SAVE_S = 20.0
_HINT_S = 30.0
_CENTRE_S = 60.0  # longest wait for the last centre of an experiment that is over
_KEPT = "what was acknowledged is kept: run again to go on"


class Clocks:
    """When things were last done, in monotonic seconds."""

    def __init__(self, now_s: float) -> None:
        self.heard_s = now_s
        self.over_s: float | None = None
        self._start_s = now_s
        self._done_s: dict[str, float] = {}

    def is_due(self, what: str, every_s: float) -> bool:
        """Whether this was not done for so long; if so, it is taken as done now."""
        now_s = time.monotonic()
        due = now_s - self._done_s.get(what, self._start_s) >= every_s
        if due:
            self._done_s[what] = now_s
        return due


def start_master(fleet: Fleet, client: Client, ending: Ending, say: Callable[[str], object]) -> None:
    """Start it, and wait until it has read its journal and answers; `say` tells that this takes long.

    Raises:
        CommandError: if it ends instead.
        KeyboardInterrupt: if somebody wants the end.
    """
    fleet.master.start()
    clocks = Clocks(time.monotonic())
    while fleet.master.status is None:
        if clocks.is_due("hint", _HINT_S):
            say(f"still waiting for the master; its log is {fleet.master.log}")
        if ending.asked:
            raise KeyboardInterrupt
        try:
            client.wait_until_ready(1.0)
        except NotReachableError:
            continue
        return
    raise CommandError(f"the master did not start: {obituary(fleet.master)}")


class Watcher(Protocol):
    """Whoever looks on from a program: told of everything, in the thread that sits."""

    def looked(self, client: Client, experiment: Experiment) -> None:
        """The experiment as it stands, several times a second."""
        ...

    def ended(self, final: Experiment, best: Individual | None, verdict: Verdict | None) -> None:
        """The experiment as the sitting leaves it, its best individual, and what a verdict says of it."""
        ...


class Sitting:
    """Runs a fleet until the experiment is over, the time is up, or a person wants it to end."""

    def __init__(
        self,
        folder: RunFolder,
        wanted: Wanted,
        fleet: Fleet,
        judge: Judge,
        *,
        seconds: float | None,
        watcher: Watcher | None = None,
        ending: Ending | None = None,
    ) -> None:
        """Start nothing yet; see :meth:`sit`.

        Args:
            folder: where everything is kept.
            wanted: which experiment, and until when.
            fleet: what to start.
            judge: who plays the champion of a complete run anew; shows what the sitting shows, too.
            seconds: how long to sit; None for as long as it takes.
            watcher: a program that looks on; it hears what came of it instead of standard output.
            ending: by which the program ends the sitting; signals do, without one.
        """
        self._folder, self._wanted, self._fleet = folder, wanted, fleet
        self._judge, self._shown, self._seconds = judge, judge.shown, seconds
        self._heeds_signals = ending is None
        self._ending = ending or Ending(says_so=self._shown is not Shown.DISPLAY)
        self.trouble = ""
        self._watcher = watcher

    def sit(self, client: Client) -> Exit:
        """Run it all; whatever happens, no process is left behind."""
        if self._heeds_signals:
            self._ending.heed_signals()
        try:
            return self._sit(client)
        except KeyboardInterrupt:
            self._say(f"killed; {_KEPT}")
            return Exit.INTERRUPTED
        except NotReachableError as error:
            raise CommandError(f"{error}; {_KEPT}", Exit.UNREACHABLE) from None
        finally:
            self._fleet.kill()

    def _sit(self, client: Client) -> Exit:
        start_master(self._fleet, client, self._ending, self._say)
        self._fleet.start_dashboard()
        if self._fleet.link:
            self._note(f"dashboard: {self._fleet.link}")
        experiment = begin(client, self._folder, self._wanted)
        if not experiment.is_over or experiment.checkpoints_wanted:
            self._fleet.start_workers()
            self._look_on(client)
        self._fleet.drain_workers(DRAIN_S)
        final = client.experiment(experiment.name)
        best = report.keep(self._folder, client, final)
        self._fleet.drain_master(DRAIN_S)
        self._conclude(final, best)
        return self._exit(final)

    def _exit(self, final: Experiment) -> Exit:
        """What came of the sitting; a sentence if nothing did."""
        if self._ending.asked and not final.is_over:
            return Exit.INTERRUPTED
        trouble = self.trouble or why_nothing(final)
        if trouble and self._watcher is None:
            self._say(f"{final.name} is {final.state}: {trouble}; the logs are in {self._folder.logs}")
        return Exit.FAILED if trouble else Exit.OK

    def _look_on(self, client: Client) -> None:
        """Show what happens and tend the fleet, until it is time to end."""
        with (
            Display(console, self._fleet.link)
            if self._shown is Shown.DISPLAY
            else contextlib.nullcontext() as display
        ):
            started = time.monotonic()
            clocks = Clocks(started)
            while not self._ending.wait(_LOOK_S):
                note = self._tend()
                experiment = self._look(client, clocks)
                if experiment is None:
                    continue
                self._show(client, experiment, clocks, display, note)
                ends = self._is_done(experiment, clocks) or self._is_time_up(experiment, started)
                if ends or self._is_stuck(experiment):
                    break
        if self._ending.asked and self._shown is Shown.DISPLAY:
            self._say(DRAINING)

    def _tend(self) -> str:
        happened = self._fleet.tend()
        for note in happened:
            self._note(note)
        return "; ".join(happened)

    def _note(self, text: str) -> None:
        """Say something in passing; a display has a place of its own for it."""
        if self._shown is not Shown.DISPLAY:
            self._say(text)

    def _say(self, text: str) -> None:
        with unheard():
            typer.echo(f"germline: {text}", err=True)

    def _look(self, client: Client, clocks: Clocks) -> Experiment | None:
        """The experiment as it stands; None while the master is away, which a restart may take."""
        try:
            experiment = client.experiment(self._wanted.spec.name)
            self._fleet.credit(worker.worker_id for worker in client.workers() if worker.evaluations)
            clocks.heard_s = time.monotonic()
            if clocks.is_due("save", _SAVE_S):
                self._folder.save(client, experiment.name)
        except MasterError:
            if time.monotonic() - clocks.heard_s > _LOST_S:
                raise
            return None
        return experiment

    def _show(
        self, client: Client, experiment: Experiment, clocks: Clocks, display: Display | None, note: str
    ) -> None:
        if self._watcher is not None:
            self._watcher.looked(client, experiment)
        if not experiment.evaluations and clocks.is_due("hint", _HINT_S):
            note = f"no result yet; the logs are in {self._folder.logs}"
            self._note(note)
        if display is not None:
            with contextlib.suppress(MasterError), unheard():
                display.show(experiment, client.workers(), client.history(experiment.name), note)
        elif self._shown is Shown.LINES and clocks.is_due("line", _LINE_S):
            with unheard():
                typer.echo(line(experiment))

    def _is_done(self, experiment: Experiment, clocks: Clocks) -> bool:
        """Whether it is over and its last centre is stored: only its workers have that, so they stay."""
        if not experiment.is_over or not experiment.checkpoints_wanted:
            return experiment.is_over
        now_s = time.monotonic()
        if clocks.over_s is None:
            clocks.over_s = now_s
        if now_s - clocks.over_s < _CENTRE_S:
            return False
        self._note(f"no worker sent the last centre within {_CENTRE_S:g} s; run again to have it replayed")
        return True

    def _is_stuck(self, experiment: Experiment) -> bool:
        """Whether it paused by itself, or nobody of this fleet can play it: nothing will come of it."""
        nobody = experiment.state == "running" and experiment.unable >= len(self._fleet.workers)
        if nobody or experiment.state == "paused":
            self.trouble = experiment.trouble
        return bool(self.trouble)

    def _is_time_up(self, experiment: Experiment, started_s: float) -> bool:
        over_time = self._seconds is not None and time.monotonic() - started_s >= self._seconds
        return over_time and not experiment.is_over

    def _conclude(self, final: Experiment, best: Individual | None) -> None:
        """Play the champion anew, if the run is complete, and say what came of it all."""
        verdict = self._judge.verdict(self._folder, final, best, self._ending)
        if verdict is not None:
            report.keep_verdict(self._folder, final, verdict)
        if self._watcher is not None:
            self._watcher.ended(final, best, verdict)
            return
        with unheard():
            if self._shown is Shown.NOTHING:
                workers = len(self._fleet.workers)
                emit(report.as_json(report.result(self._folder, final, best, verdict, workers)))
            else:
                report.show(self._folder, final, verdict)
