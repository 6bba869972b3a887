"""`germline sweep`: one spec under many settings, over one fleet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from germline.cli.axes import Axis, Changes, Planned, Search, Trial, at_random, grid, read_axis
from germline.cli.crew import Crew, default_workers
from germline.cli.errors import CommandError, Exit
from germline.cli.folder import RunFolder
from germline.cli.many import run_many
from germline.cli.optuna_search import OptunaSearch
from germline.cli.output import shown_here
from germline.cli.preflight import check_hostable, check_not_own, check_playable
from germline.cli.settled import NameOption, SetOption, as_set, plan_of
from germline.cli.target import JsonOption
from germline.cli.trials import Plan, noted
from germline.cli.verdict import Judge
from germline.spec import SpecError

_MOST = 10_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sweep)


def sweep(
    spec: Annotated[Path, typer.Argument(help="The spec, a TOML file.", exists=True, dir_okay=False)],
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
    replicates: Annotated[
        int, typer.Option(min=1, help="Experiments of each trial, each with the next seed.")
    ] = 1,
    at_once: Annotated[int, typer.Option(min=1, help="Experiments that share the fleet at a time.")] = 4,
    evaluations: Annotated[
        int | None,
        typer.Option(min=1, help="Of each experiment, whatever the spec says.", show_default=False),
    ] = None,
    settings: SetOption = None,
    name: NameOption = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of the first replicate, and of what is drawn.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; one per core by default.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda or mps.")] = "auto",
    folder: Annotated[
        Path | None, typer.Option(help="Where it lives; runs/NAME-sweep by default.", show_default=False)
    ] = None,
    verdict: Annotated[
        int, typer.Option(min=0, help="Fresh episodes of each champion at the end; 0 plays none.")
    ] = 0,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Show the sweep in a browser, too; its link is printed.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines instead of a table; the default without a terminal.")
    ] = False,
    as_json: JsonOption = False,
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
    written = as_set(spec, settings, name, seed)
    check_not_own(written, str(spec))
    code = check_playable(written, str(spec))
    check_hostable()
    place = RunFolder(folder or Path("runs") / f"{written.name}-sweep")
    plan = plan_of(written, spec, replicates, evaluations)
    search = _search(over, random, optuna, plan, place)
    judge = Judge(verdict, device, shown_here(plain=plain, as_json=as_json))
    crew = Crew(workers or default_workers(), device)
    raise typer.Exit(run_many(place, plan, search, crew, code, judge, at_once=at_once, dashboard=dashboard))


def _search(over: list[str], random: int | None, optuna: int | None, plan: Plan, place: RunFolder) -> Search:
    """Where the trials come from. Raises CommandError for an axis that is none, or another sweep's folder."""
    try:
        axes: list[Axis] = [read_axis(text) for text in over]
        if optuna is not None:
            earlier = [each["changes"] for each in noted(place.path)]
            return OptunaSearch(axes, optuna, plan.seed, earlier)
        planned = grid(axes) if random is None else at_random(axes, random, plan.seed)
    except ValueError as error:
        raise CommandError(f"--over {error}", Exit.USAGE) from None
    _check_same_sweep(place.path, planned, plan.replicates)
    _check_one_can_run(plan, planned)
    return Planned(planned)


def _check_same_sweep(folder: Path, planned: Sequence[Changes], replicates: int) -> None:
    """What is in the folder is a part of this sweep: it may have grown, and is never written over."""
    for each in noted(folder):
        place = each["trial"] - 1
        is_planned = place < len(planned) and dict(planned[place]) == each["changes"]
        if not is_planned or len(each["experiments"]) != replicates:
            times = f", with {len(each['experiments'])} replicates" if len(each["experiments"]) > 1 else ""
            raise CommandError(
                f"{folder} holds another sweep: its trial {each['trial']} is {each['label']}{times}; choose "
                "another --name or --folder, or repeat the command of that sweep",
                Exit.USAGE,
            )


def _check_one_can_run(plan: Plan, planned: Sequence[Changes]) -> None:
    """Settings that are none are left out, one by one; where all are, the command was meant otherwise."""
    refusals = []
    for changes in planned:
        try:
            list(plan.specs(Trial(1, changes)))
        except SpecError as error:
            refusals.append(error)
        else:
            return
    paths = ", ".join(dict.fromkeys(path for changes in planned for path in changes))
    hint = "" if "." in paths else "; a path is written in full, such as algorithm.ga.power"
    raise CommandError(f"--over {paths}: no trial can be run; {refusals[0]}{hint}", Exit.USAGE)
