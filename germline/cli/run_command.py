"""`germline run`: a master with its own store and workers, until the experiment is complete."""

from __future__ import annotations

from typing import Annotated

import typer

from germline.cli.axes import Planned
from germline.cli.beginning import Wanted
from germline.cli.crew import hire
from germline.cli.errors import CommandError, Exit
from germline.cli.hosting import Hosting, VerdictOption, Written, hosting, written
from germline.cli.many import conclude, run_many
from germline.cli.sitting import Sitting
from germline.cli.taking import taking
from germline.cli.verdict import DEFAULT_EPISODES, Judge
from germline.client import Client


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(taking(written, hosting)(run))


def run(
    written: Written,
    hosting: Hosting,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0, help="End this sitting after so many seconds; run again to go on.", show_default=False
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The master's port; 0 takes a free one.")] = 0,
    verdict: VerdictOption = DEFAULT_EPISODES,
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
    judge = Judge(verdict, hosting.device, hosting.shown)
    if written.replicates == 1:
        raise typer.Exit(_run_one(written, hosting, judge, port, seconds))
    if seconds is not None:
        raise CommandError("--seconds and --replicates do not go together; use stop.seconds", Exit.USAGE)
    raise typer.Exit(_run_replicates(written, hosting, judge, port))


def _run_one(written: Written, hosting: Hosting, judge: Judge, port: int, seconds: float | None) -> Exit:
    wanted = Wanted.of(written.spec, written.evaluations, str(written.path))
    code, place = written.check(), hosting.place(written.spec.name)
    with place.locked():
        place.check_holds(wanted.spec.name)
        crew = hosting.crew(wanted.spec.parallelism)
        hired = hire(place, crew, code, port, dashboard=hosting.dashboard)
        sitting = Sitting(place, wanted, hired.fleet, judge, seconds=seconds)
        with Client(hired.address, token=hired.token) as client:
            return sitting.sit(client)


def _run_replicates(written: Written, hosting: Hosting, judge: Judge, port: int) -> Exit:
    code, place = written.check(), hosting.place(written.spec.name)
    outcome = run_many(
        place,
        written.plan,
        Planned([{}]),
        hosting.crew(),
        code,
        judge,
        at_once=written.replicates,
        port=port,
        dashboard=hosting.dashboard,
    )
    conclude(outcome, place, hosting.shown)
    return outcome.exit
