"""Many experiments over one fleet: replicates, and the trials of a sweep, some of them at a time."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import typer
from rich.live import Live

from germline.cli import report
from germline.cli.axes import Search, Trial
from germline.cli.beginning import Wanted, begin
from germline.cli.crew import Crew, hire
from germline.cli.ending import DRAINING, Ending
from germline.cli.errors import CommandError, Exit
from germline.cli.files import write_whole
from germline.cli.fleet import Fleet
from germline.cli.folder import RunFolder
from germline.cli.output import Shown, console, emit, show_table
from germline.cli.sitting import DRAIN_S, Clocks, start_master
from germline.cli.streams import unheard
from germline.cli.trials import NOTE, Member, Plan, Tally, ranked, score_of, table_of
from germline.cli.verdict import Judge
from germline.cli.words import counted, number
from germline.client import Client, Experiment, MasterError, NotReachableError
from germline.spec import SpecError

_LOOK_S = 0.25
_LINE_S = 5.0
_SAVE_S = 20.0


def run_many(
    place: RunFolder,
    plan: Plan,
    search: Search,
    crew: Crew,
    code: Sequence[str],
    judge: Judge,
    *,
    at_once: int,
    port: int = 0,
    dashboard: bool = False,
    ending: Ending | None = None,
) -> Outcome:
    """Run trials in a folder; the arguments are those of :class:`Many` and of :func:`.crew.hire`."""
    with place.locked():
        place.check_holds_many()
        hired = hire(place, crew, code, port, dashboard=dashboard)
        with Client(hired.address, token=hired.token) as client:
            return Many(place, plan, search, hired.fleet, judge, at_once, ending).sit(client)


def conclude(outcome: Outcome, place: RunFolder, shown: Shown) -> None:
    """Say what came of it all."""
    with unheard():
        if shown is Shown.NOTHING:
            trials = [tally.as_json() for tally in ranked(outcome.tallies)]
            emit({"folder": str(place.path), "trials": trials})
        else:
            show_table(table_of(outcome.tallies))
            typer.echo(f"compare them: germline compare {place.path}")


class Outcome(NamedTuple):
    """What came of many experiments: how it ended, and the trials in their order."""

    exit: Exit
    tallies: Sequence[Tally]


class Many:
    """Runs trials over one fleet, some experiments at a time, until all are over or somebody ends it."""

    def __init__(
        self,
        place: RunFolder,
        plan: Plan,
        search: Search,
        fleet: Fleet,
        judge: Judge,
        at_once: int,
        ending: Ending | None = None,
    ) -> None:
        """Start nothing yet; see :meth:`sit`.

        Args:
            place: where the fleet lives; each experiment has a folder of its own below.
            plan: what the trials have in common.
            search: where they come from.
            fleet: what to start.
            judge: who plays each champion anew.
            at_once: experiments that share the fleet at a time, at least.
            ending: whether somebody wants the end; None: signals say it.
        """
        self._place, self._plan, self._search, self._fleet = place, plan, search, fleet
        self._judge, self._shown, self._at_once = judge, judge.shown, at_once
        self._heeds_signals = ending is None
        self._ending = ending or Ending(says_so=self._shown is not Shown.DISPLAY)
        self._tallies: list[Tally] = []
        self._is_dry = False

    def sit(self, client: Client) -> Outcome:
        """Run it all; whatever happens, no process is left behind."""
        if self._heeds_signals:
            self._ending.heed_signals()
        try:
            return Outcome(self._sit(client), self._tallies)
        except KeyboardInterrupt:
            return Outcome(Exit.INTERRUPTED, self._tallies)
        except NotReachableError as error:
            raise CommandError(f"{error}; run again to go on", Exit.UNREACHABLE) from None
        finally:
            self._fleet.kill()

    def _sit(self, client: Client) -> Exit:
        start_master(self._fleet, client, self._ending, self._say)
        self._fleet.start_dashboard()
        if self._fleet.link:
            self._say(f"dashboard: {self._fleet.link}")
        self._fill(client)
        if self._running():
            self._fleet.start_workers()
            self._look_on(client)
        self._fleet.drain_workers(DRAIN_S)
        for member in self._members():
            self._keep(client, member)
        self._note()
        self._fleet.drain_master(DRAIN_S)
        self._judge_all()
        if self._ending.asked:
            return Exit.INTERRUPTED
        return Exit.OK if any(member.value is not None for member in self._members()) else Exit.FAILED

    def _look_on(self, client: Client) -> None:
        clocks = Clocks(time.monotonic())
        with self._display() as live:
            while self._running() and not self._ending.wait(_LOOK_S):
                for note in self._fleet.tend():
                    self._say(note)
                with contextlib.suppress(MasterError):  # it may be being started again
                    self._look(client)
                    self._fill(client)
                    if clocks.is_due("save", _SAVE_S):
                        self._save(client)
                self._show(live, clocks)
        if self._ending.asked and self._shown is Shown.DISPLAY:
            self._say(DRAINING)

    def _fill(self, client: Client) -> None:
        """Begin trials until enough experiments are at work."""
        while not self._is_dry and len(self._running()) < self._at_once:
            trial = self._search.next()
            if trial is None:
                self._is_dry = True
            else:
                self._begin(client, trial)

    def _begin(self, client: Client, trial: Trial) -> None:
        """Create a trial's experiments, or go on with those that are there."""
        try:
            specs = list(self._plan.specs(trial))
        except SpecError as error:  # this setting is none; others may be
            self._say(f"trial {trial.number} is left out: {error}")
            self._search.tell(trial, None)
            return
        tally = Tally(trial)
        for spec in specs:
            folder = self._folder(spec.name)
            folder.path.mkdir(parents=True, exist_ok=True)
            member = Member(spec, begin(client, folder, Wanted(spec, "", asks_for_stop=True)))
            tally.members.append(member)
            if member.is_over:
                self._keep(client, member)
        self._tallies.append(tally)
        self._note()

    def _look(self, client: Client) -> None:
        """See how each stands; what is over is kept, and told to the search with the rest of its trial."""
        self._fleet.credit(worker.worker_id for worker in client.workers() if worker.evaluations)
        for member in self._running():
            member.experiment = self._seen(client, member)
            if member.is_over:
                self._keep(client, member)
        for tally in self._tallies:
            if tally.is_over and not tally.told:
                tally.told = True
                self._search.tell(tally.trial, tally.value)
                self._note()

    def _seen(self, client: Client, member: Member) -> Experiment:
        """The experiment as it stands; one that paused by itself holds up nobody."""
        experiment = client.experiment(member.spec.name)
        nobody = experiment.state == "running" and experiment.unable >= len(self._fleet.workers)
        if nobody or experiment.state == "paused":
            self._say(f"{experiment.name} is stopped: {experiment.trouble}")
            return client.stop(member.spec.name)
        return experiment

    def _keep(self, client: Client, member: Member) -> None:
        """Leave all of it in its folder; once it is over, its champion is judged."""
        folder = self._folder(member.spec.name)
        member.experiment = client.experiment(member.spec.name)
        best = report.keep(folder, client, member.experiment)
        if member.is_over:
            member.value, member.best = score_of(member.experiment), best

    def _judge_all(self) -> None:
        """Play each champion anew: that is its experiment's score then."""
        for member in self._members():
            folder = self._folder(member.spec.name)
            verdict = self._judge.verdict(folder, member.experiment, member.best, self._ending)
            if verdict is not None:
                report.keep_verdict(folder, member.experiment, verdict)
                member.value = verdict.individual.validated_mean
        self._note()

    def _save(self, client: Client) -> None:
        for member in self._running():
            self._folder(member.spec.name).save(client, member.spec.name)

    def _folder(self, name: str) -> RunFolder:
        return RunFolder(self._place.path / name)

    def _note(self) -> None:
        """Write down which trials there are, for `compare` and for whoever goes on."""
        noted = json.dumps([tally.as_json() for tally in self._tallies], indent=1) + "\n"
        write_whole(self._place.path / NOTE, noted.encode())

    def _members(self) -> Iterator[Member]:
        return (member for tally in self._tallies for member in tally.members)

    def _running(self) -> list[Member]:
        return [member for member in self._members() if not member.is_over]

    def _display(self) -> AbstractContextManager[Live | None]:
        if self._shown is not Shown.DISPLAY:
            return contextlib.nullcontext()
        return Live(console=console, auto_refresh=False, transient=True)

    def _show(self, live: Live | None, clocks: Clocks) -> None:
        with unheard():
            if live is not None:
                live.update(table_of(self._tallies), refresh=True)
            elif self._shown is Shown.LINES and clocks.is_due("line", _LINE_S):
                typer.echo(self._line())

    def _line(self) -> str:
        members = list(self._members())
        over = sum(member.is_over for member in members)
        evaluations = sum(member.experiment.evaluations for member in members)
        best = next((tally for tally in ranked(self._tallies) if tally.value is not None), None)
        leader = f", best {number(best.value)} ({best.label})" if best else ""
        return (
            f"{self._plan.name}: {over} of {counted(len(members), 'experiment')} over, "
            f"{counted(evaluations, 'evaluation')}{leader}"
        )

    def _say(self, text: str) -> None:
        with unheard():
            typer.echo(f"germline: {text}", err=True)
