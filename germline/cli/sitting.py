"""One sitting of `germline run`: from starting the master to the last line of the report."""

from __future__ import annotations

import enum
import signal
import threading
import time
from types import FrameType

import typer

from germline.cli import report
from germline.cli.errors import CommandError, Exit
from germline.cli.fleet import Fleet, obituary
from germline.cli.folder import RunFolder
from germline.cli.live import Display, line
from germline.cli.output import console, emit, notes
from germline.cli.target import connection
from germline.client import Client, Experiment, NotReachableError, RefusedError
from germline.spec import to_toml
from germline.v1 import spec_pb2

_START_S = 30.0
_DRAIN_S = 30.0
_LOST_S = 60.0  # a master that is being restarted may be silent for so long
_LOOK_S = 0.5
_LINE_S = 5.0
_SAVE_S = 60.0


class Shown(enum.Enum):
    """What a sitting shows while it lasts."""

    NOTHING = enum.auto()
    LINES = enum.auto()
    DISPLAY = enum.auto()


class Sitting:
    """Runs a fleet until the experiment is over, the time is up, or a person wants it to end."""

    def __init__(
        self,
        folder: RunFolder,
        spec: spec_pb2.ExperimentSpec,
        fleet: Fleet,
        address: str,
        *,
        shown: Shown,
        seconds: float | None,
    ) -> None:
        """Start nothing yet; see :meth:`sit`."""
        self._folder, self._spec, self._fleet, self._address = folder, spec, fleet, address
        self._shown, self._seconds = shown, seconds
        self._asked_to_end = threading.Event()

    def sit(self) -> Exit:
        """Run it all; whatever happens, no process is left behind."""
        self._take_signals()
        try:
            with connection().open(self._address) as client:
                return self._sit(client)
        except KeyboardInterrupt:
            typer.echo("germline: killed; what was acknowledged is kept", err=True)
            return Exit.INTERRUPTED
        finally:
            self._fleet.kill()

    def _sit(self, client: Client) -> Exit:
        self._start_master(client)
        experiment = self._begin(client)
        if not experiment.is_over:
            self._fleet.start_workers()
            self._look_on(client)
        self._fleet.drain_workers(_DRAIN_S)
        final = client.experiment(experiment.name)
        result = report.write(self._folder, client, final, len(self._fleet.workers))
        self._fleet.drain_master(_DRAIN_S)
        self._say_result(final, result)
        return Exit.INTERRUPTED if self._asked_to_end.is_set() else Exit.OK

    def _start_master(self, client: Client) -> None:
        self._fleet.master.start()
        give_up = time.monotonic() + _START_S
        while True:
            if self._fleet.master.status is not None or time.monotonic() > give_up:
                raise CommandError(f"the master did not start. {obituary(self._fleet.master)}")
            try:
                client.wait_until_ready(0.0)
            except NotReachableError:
                time.sleep(0.05)
            else:
                return

    def _begin(self, client: Client) -> Experiment:
        """Create the experiment, or find and resume the one that the folder holds."""
        self._folder.remember_master(self._address, self._spec.name)
        try:
            experiment = client.create(self._spec)
        except RefusedError as error:
            if error.code != "ALREADY_EXISTS":
                raise
            raise CommandError(report.conflict(self._folder, self._spec), Exit.USAGE) from None
        self._folder.spec.write_text(to_toml(self._spec))
        return client.resume(experiment.name) if experiment.state == "paused" else experiment

    def _look_on(self, client: Client) -> None:
        if self._shown is Shown.DISPLAY:
            with Display(console) as display:
                self._watch(client, display)
        else:
            self._watch(client, None)

    def _watch(self, client: Client, display: Display | None) -> None:
        started = heard = saved = time.monotonic()
        next_line = started + 1.0
        note = ""
        while not self._asked_to_end.wait(_LOOK_S if display else 0.2):
            for note in self._fleet.tend():
                notes.print(f"germline: {note}", highlight=False)
            now = time.monotonic()
            try:
                experiment = client.experiment(self._spec.name)
                if display:
                    display.show(experiment, client.workers(), client.history(experiment.name), note)
            except NotReachableError:
                if now - heard > _LOST_S:
                    raise
                continue
            heard = now
            if self._shown is Shown.LINES and now >= next_line:
                typer.echo(line(experiment))
                next_line = now + _LINE_S
            if now - saved > _SAVE_S:
                self._folder.save(client, experiment.name)
                saved = now
            if experiment.is_over or (self._seconds is not None and now - started >= self._seconds):
                return

    def _say_result(self, final: Experiment, result: report.Result) -> None:
        if self._shown is Shown.NOTHING:
            emit(report.as_json(result))
        else:
            report.show(self._folder, final, result)

    def _take_signals(self) -> None:
        """The first Ctrl-C or SIGTERM asks for the end, the second one does not ask."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked_to_end.is_set():
            raise KeyboardInterrupt
        self._asked_to_end.set()
        typer.echo("germline: draining; once more to kill", err=True)
