"""Options of commands that evolve on this machine: which spec, changed how, and who plays it where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from germline.cli.crew import Crew, default_workers
from germline.cli.folder import RunFolder
from germline.cli.output import Shown, shown_here
from germline.cli.preflight import check_hostable, check_not_own, check_playable
from germline.cli.settled import as_set, plan_of
from germline.cli.target import JsonOption
from germline.cli.trials import Plan
from germline.v1 import spec_pb2

VerdictOption: TypeAlias = Annotated[
    int,
    typer.Option(
        min=0,
        help="Fresh episodes of each champion at the end, where its protocol's starts are without end, else "
        "all starts; 0 plays none.",
    ),
]


@dataclass(frozen=True, slots=True)
class Written:
    """A spec's file as the command line changes it.

    Attributes:
        path: of the file.
        spec: complete.
        evaluations: after which each experiment is complete; None: as the spec says.
        replicates: how many experiments, each with the next seed.
    """

    path: Path
    spec: spec_pb2.ExperimentSpec
    evaluations: int | None
    replicates: int

    @property
    def plan(self) -> Plan:
        """What its experiments have in common, if there are several."""
        return plan_of(self.spec, str(self.path), self.path.parent, self.replicates, self.evaluations)

    def check(self) -> list[str]:
        """Look whether this machine can play it; returns the code that workers may import.

        Raises:
            SpecError: if it cannot; the sentence says why.
            CommandError: if nothing here can keep a journal.
        """
        check_not_own(self.spec, str(self.path))
        code = check_playable(self.spec, str(self.path))
        check_hostable()
        return code


def written(
    spec: Annotated[Path, typer.Argument(help="The spec, a TOML file.", exists=True, dir_okay=False)],
    evaluations: Annotated[
        int | None,
        typer.Option(
            min=1, help="Complete after so many evaluations, whatever the spec says.", show_default=False
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a setting of the spec, path=value, such as algorithm.ga.power=0.01. May be "
            "repeated.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Call it so, instead of the spec's name.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="The seed of the first experiment, instead of the spec's, and of what a sweep draws.",
            show_default=False,
        ),
    ] = None,
    replicates: Annotated[
        int,
        typer.Option(
            min=1,
            help="So many experiments over one fleet, or of each trial, each with the next seed; see "
            "`compare`.",
        ),
    ] = 1,
) -> Written:
    """The spec that these options ask for. Raises CommandError or SpecError."""
    return Written(spec, as_set(spec, settings, name, seed), evaluations, replicates)


@dataclass(frozen=True, slots=True)
class Hosting:
    """Who plays, where it lives, and what is shown meanwhile.

    Attributes:
        workers: how many worker processes.
        device: where their networks run.
        folder: where it all lives; None: in the default place.
        dashboard: whether it is shown in a browser, too.
        shown: on the terminal.
    """

    workers: int
    device: str
    folder: Path | None
    dashboard: bool
    shown: Shown

    def place(self, name: str) -> RunFolder:
        """The folder, or runs/NAME."""
        return RunFolder(self.folder or Path("runs") / name)

    def crew(self, parallelism: int = 0) -> Crew:
        """The workers, who are to play so many evaluations at a time together; 0 leaves it to them."""
        return Crew(self.workers, self.device, parallelism)


def hosting(
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; one per core by default.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda or mps.")] = "auto",
    folder: Annotated[
        Path | None,
        typer.Option(help="Where it lives; runs/NAME, or runs/NAME-sweep, by default.", show_default=False),
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Show it in a browser, too; its link is printed.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines instead of a live display; the default without a terminal.")
    ] = False,
    as_json: JsonOption = False,
) -> Hosting:
    """What these options say."""
    shown = shown_here(plain=plain, as_json=as_json)
    return Hosting(workers or default_workers(), device, folder, dashboard, shown)
