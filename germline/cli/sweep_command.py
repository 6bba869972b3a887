"""`germline sweep`: one spec under many settings, over one fleet."""

from __future__ import annotations

from typing import Annotated

import typer

from germline.cli.axes import read_axis
from germline.cli.errors import CommandError, Exit
from germline.cli.hosting import Hosting, VerdictOption, Written, hosting, written
from germline.cli.many import conclude, run_many
from germline.cli.sweep_search import search_of
from germline.cli.taking import taking
from germline.cli.verdict import Judge

_MOST = 10_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(taking(written, hosting)(sweep))


def sweep(
    written: Written,
    hosting: Hosting,
    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            help="What to vary: path=a,b,c for some values, path=low..high for a range, path=low..high:log "
            "for one whose ratios count. May be repeated.",
            show_default=False,
        ),
    ],
    is_grid: Annotated[
        bool, typer.Option("--grid", help="Every combination of the values; the default.")
    ] = False,
    random: Annotated[
        int | None, typer.Option(min=1, max=_MOST, help="So many draws at random.", show_default=False)
    ] = None,
    optuna: Annotated[
        int | None,
        typer.Option(min=1, max=_MOST, help="So many trials chosen by Optuna's TPE.", show_default=False),
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Experiments that share the fleet at a time.")] = 4,
    verdict: VerdictOption = 0,
) -> None:
    """Try a spec under many settings, as experiments that share one fleet evenly.

    A trial's score is the mean of its champion's validated episodes; of several replicates, the interquartile
    mean of theirs. Run it again to go on. Its folder has one for each experiment.

    Example: germline sweep experiments/cartpole.toml --over algorithm.ga.power=0.02,0.05,0.1
    Example: germline sweep experiments/cartpole.toml --over algorithm.ga.power=0.001..0.3:log --random 20
    Example: germline sweep experiments/cartpole.toml --over algorithm.ga.power=0.001..0.3:log --optuna 20
    """
    if sum((is_grid, random is not None, optuna is not None)) > 1:
        raise CommandError("--grid, --random and --optuna exclude each other; choose one", Exit.USAGE)
    code, place = written.check(), hosting.place(f"{written.spec.name}-sweep")
    try:
        axes = [read_axis(text) for text in over]
        search = search_of(axes, random, optuna, written.plan, place.path)
    except ValueError as error:
        raise CommandError(f"--over {error}", Exit.USAGE) from None
    judge = Judge(verdict, hosting.device, hosting.shown)
    outcome = run_many(
        place,
        written.plan,
        search,
        hosting.crew(),
        code,
        judge,
        at_once=at_once,
        dashboard=hosting.dashboard,
    )
    conclude(outcome, place, hosting.shown)
    raise typer.Exit(outcome.exit)
