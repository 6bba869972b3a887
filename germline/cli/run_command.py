"""`germline run`: a master with its own store and workers, until the experiment is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from germline.cli.axes import Planned
from germline.cli.beginning import Wanted
from germline.cli.crew import Crew, default_workers, hire
from germline.cli.errors import CommandError, Exit
from germline.cli.folder import RunFolder
from germline.cli.many import run_many
from germline.cli.output import shown_here
from germline.cli.preflight import check_hostable, check_not_own, check_playable
from germline.cli.settled import NameOption, SetOption, as_set, plan_of
from germline.cli.sitting import Sitting
from germline.cli.target import JsonOption
from germline.cli.verdict import DEFAULT_EPISODES, Judge
from germline.client import Client


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    spec: Annotated[Path, typer.Argument(help="The spec, a TOML file.", exists=True, dir_okay=False)],
    evaluations: Annotated[
        int | None,
        typer.Option(
            min=1, help="Complete after so many evaluations, whatever the spec says.", show_default=False
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0, help="End this sitting after so many seconds; run again to go on.", show_default=False
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; one per core by default.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda or mps.")] = "auto",
    folder: Annotated[
        Path | None, typer.Option(help="Where the run lives; runs/NAME by default.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The master's port; 0 takes a free one.")] = 0,
    verdict: Annotated[
        int,
        typer.Option(
            min=0,
            help="Fresh episodes of the champion once the run is complete, where its protocol's starts are "
            "without end, else all starts; 0 plays none.",
        ),
    ] = DEFAULT_EPISODES,
    settings: SetOption = None,
    name: NameOption = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="The experiment's seed, instead of the spec's.", show_default=False),
    ] = None,
    replicates: Annotated[
        int,
        typer.Option(
            min=1, help="So many experiments over one fleet, each with the next seed; see `compare`."
        ),
    ] = 1,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Show the run in a browser, too; its link is printed.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines instead of a live display; the default without a terminal.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Evolve on this machine: all in one, with a live display.

    Ctrl-C drains and leaves everything resumable; a second Ctrl-C kills. Run again to go on: a complete run
    does so once its spec stops later, or with more --evaluations. A complete run ends with a verdict: its
    champion is played anew, apart from what selection saw, and that is its score, on its policy card
    runs/NAME/champion.toml, too. With --json the last line of standard output is one JSON object.

    Example: germline run experiments/pong.toml
    Example: germline run experiments/function.toml --evaluations 2000 --workers 2 --json
    Example: germline run experiments/pong.toml --set algorithm.ga.power=0.01 --name pong-strong --seed 3
    Example: germline run experiments/cartpole.toml --replicates 5
    """
    written = as_set(spec, settings, name, seed)
    wanted = Wanted.of(written, evaluations, str(spec))
    check_not_own(wanted.spec, str(spec))
    code = check_playable(wanted.spec, str(spec))
    check_hostable()
    place = RunFolder(folder or Path("runs") / wanted.spec.name)
    shown = shown_here(plain=plain, as_json=as_json)
    if replicates > 1:
        if seconds is not None:
            raise CommandError("--seconds and --replicates do not go together; use stop.seconds", Exit.USAGE)
        plan = plan_of(written, spec, replicates, evaluations)
        crew = Crew(workers or default_workers(), device)
        judge = Judge(verdict, device, shown)
        code_of_exit = run_many(
            place,
            plan,
            Planned([{}]),
            crew,
            code,
            judge,
            at_once=replicates,
            port=port,
            dashboard=dashboard,
        )
        raise typer.Exit(code_of_exit)
    with place.locked():
        place.check_holds(wanted.spec.name)
        crew = Crew(workers or default_workers(), device, wanted.spec.parallelism)
        hired = hire(place, crew, code, port, dashboard=dashboard)
        sitting = Sitting(place, wanted, hired.fleet, Judge(verdict, device, shown), seconds=seconds)
        with Client(hired.address, token=hired.token) as client:
            raise typer.Exit(sitting.sit(client))
