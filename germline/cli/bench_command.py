"""`germline bench`: measure this build against its references, on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from germline.cli.errors import CommandError, Exit, as_usage, needs_extra
from germline.cli.output import Json, console, emit, notes
from germline.cli.target import JsonOption

if TYPE_CHECKING:
    from germline.bench.learning.report import Row as LearningRow
    from germline.bench.rollout import Row

bench = typer.Typer(no_args_is_help=True, help="Measure against the references. Wants a quiet machine.")

RoundsOption = Annotated[int, typer.Option(min=1, help="How often each contestant is measured, in turns.")]
ProcessesOption = Annotated[
    int | None,
    typer.Option(min=1, help="Processes of each contestant; one per core by default.", show_default=False),
]
ClockOption = Annotated[
    Literal["wall", "cpu"],
    typer.Option(help="cpu counts processor time, for machines with other work to do."),
]
GamesOption = Annotated[
    list[str] | None, typer.Option("--game", help="ROM name, pong by default; may be given again.")
]
SecondsOption = Annotated[float, typer.Option(min=0.1, help="How long each contestant plays in a round.")]
EvaluationsOption = Annotated[int, typer.Option(min=10_000, help="Evaluations of one round.")]

_GAMES = ("pong", "frostbite")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(bench, name="bench")


@bench.command()
def rebuild(rounds: RoundsOption = 25, as_json: JsonOption = False) -> None:
    """A child of a cached parent against one pass of numpy's RandomState, 1.7 million weights.

    Example: germline bench rebuild --json
    """
    _say({"rebuild": _rebuild(rounds)}, as_json)


@bench.command()
def rollout(
    games: GamesOption = None,
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 3.0,
    processes: ProcessesOption = None,
    clock: ClockOption = "wall",
    as_json: JsonOption = False,
) -> None:
    """Atari rollouts against one environment and one network to a process, and against the bare emulator.

    With --json one object with an entry for each row; for several games one such object under each name.

    Example: germline bench rollout --game pong --game frostbite --json
    """
    with needs_extra("worker"):
        from germline.bench.rollout import measure, table
        from worker.tasks.atari import rom_of
    for game in games or ():
        with as_usage():
            rom_of(game)
    measured = {
        game: measure(game, seconds=seconds, rounds=rounds, processes=processes, clock=clock)
        for game in games or _GAMES[:1]
    }
    if as_json:
        plain = {game: _rows(rows) for game, rows in measured.items()}
        emit(plain if len(plain) > 1 else next(iter(plain.values())))
    else:
        for game, rows in measured.items():
            typer.echo(f"{game}\n{table(rows)}")


@bench.command()
def master(
    rounds: RoundsOption = 3, evaluations: EvaluationsOption = 1_000_000, as_json: JsonOption = False
) -> None:
    """Durable, acknowledged evaluations a second through one master, and whether they stay as fast.

    Example: germline bench master --rounds 1 --evaluations 200000
    """
    _say({"master": _master(rounds, evaluations)}, as_json)


@bench.command()
def eggroll(rounds: RoundsOption = 7, as_json: JsonOption = False) -> None:
    """One EGGROLL step against the public packages, which are installed into a folder of their own.

    Example: germline bench eggroll --rounds 3
    """
    with needs_extra("worker"):
        from germline.bench.eggroll import measure, table
    rows = measure(rounds=rounds)
    if as_json:
        emit({"eggroll": [dataclasses.asdict(row) for row in rows]})
    else:
        typer.echo(table(rows))


@bench.command()
def champion(
    runs: Annotated[int, typer.Option(min=2, help="Independent searches at each noise.")] = 100,
    evaluations: Annotated[int, typer.Option(min=1_000, help="Of each search.")] = 5_000,
    as_json: JsonOption = False,
) -> None:
    """Whether what is reported of a champion is true, on noise whose truth is known.

    Example: germline bench champion --runs 60
    """
    from germline.bench.champion import measure, table

    rows = measure(runs, evaluations)
    if as_json:
        emit({"champion": [dataclasses.asdict(row) for row in rows]})
    else:
        typer.echo(table(rows))


@bench.command()
def centre(
    runs: Annotated[int, typer.Option(min=2, help="Independent climbs at each noise.")] = 100,
    epochs: Annotated[int, typer.Option(min=1, help="Of each climb, with a measurement each.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Whether what is reported of an evolution strategy's best centre is true.

    Example: germline bench centre --runs 60
    """
    from germline.bench.centre import measure
    from germline.bench.champion import table

    rows = measure(runs, epochs)
    if as_json:
        emit({"centre": [dataclasses.asdict(row) for row in rows]})
    else:
        typer.echo(table(rows))


@bench.command()
def learning(
    tasks: Annotated[
        list[str] | None,
        typer.Option("--task", help="cartpole, for one; all by default; may be given again."),
    ] = None,
    contestants: Annotated[
        list[str] | None,
        typer.Option("--contestant", help="EGGROLL, for one; all by default; may be given again."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Searches of each contestant on each task.")] = 5,
    folder: Annotated[
        Path, typer.Option(help="Where each search is kept; those that are there are not made again.")
    ] = Path("learning"),
    as_json: JsonOption = False,
) -> None:
    """Our algorithms and the peers' on Gymnasium's small tasks, at equal episodes.

    Takes an hour or two; whoever stops it loses the search under way alone.

    Example: germline bench learning --task cartpole --seeds 2
    """
    with needs_extra("learning"):
        from germline.bench.learning.contest import CONTESTANTS, runs
        from germline.bench.learning.report import behind, rows, table
        from germline.bench.learning.tasks import TASKS

        chosen = _known("task", tasks, TASKS), _known("contestant", contestants, CONTESTANTS)
        made = []
        for run in runs(*chosen, seeds, folder):
            notes.print(f"{run.task} {run.contestant} {run.seed}: {run.score:.1f} in {run.wall_s:.0f} s")
            made.append(run)
    found = rows(made)
    if as_json:
        emit({"learning": [_learnt(row) for row in found]})
        return
    typer.echo(table(found))
    late = ", ".join(behind(found)) or "none"
    typer.echo(f"\nours worse than the best peer by more than the intervals: {late}")


def _learnt(row: LearningRow) -> dict[str, Json]:
    iqm, low, high = row.score
    told: dict[str, Json] = {"task": row.task, "contestant": row.contestant, "seeds": row.seeds, "iqm": iqm}
    interval: Json = [low, high] if row.seeds > 1 else None
    return told | {"interval": interval, "cpu_s": row.cpu_s, "wall_s": row.wall_s}


def _known(option: str, names: list[str] | None, allowed: Collection[str]) -> list[str]:
    for name in names or ():
        if name not in allowed:
            raise CommandError(f"--{option} is {name}; allowed: {', '.join(allowed)}", Exit.USAGE)
    return list(names or allowed)


@bench.command("all")
def everything(rounds: RoundsOption = 3, as_json: JsonOption = False) -> None:
    """All of them, on Pong and on Frostbite: a quarter of an hour.

    Example: germline bench all --json > bench.json
    """
    with needs_extra("worker"):
        from germline.bench import eggroll as eggroll_bench
        from germline.bench import rollout as rollout_bench
    rollouts = {game: rollout_bench.measure(game, rounds=rounds) for game in _GAMES}
    steps = eggroll_bench.measure(rounds=rounds)
    figures = {"rebuild": _rebuild(), "master": _master(rounds)}
    if as_json:
        emit(
            {name: dataclasses.asdict(row) for name, row in figures.items()}
            | {"rollout": {game: _rows(rows) for game, rows in rollouts.items()}}
            | {"eggroll": [dataclasses.asdict(row) for row in steps]}
        )
        return
    for game, rows in rollouts.items():
        typer.echo(f"{game}\n{rollout_bench.table(rows)}")
    typer.echo(eggroll_bench.table(steps))
    _say(figures, as_json)


def _rebuild(rounds: int = 25) -> Any:
    with needs_extra("worker"):
        from germline.bench.rebuild import measure
    return measure(rounds)


def _master(rounds: int, evaluations: int = 1_000_000) -> Any:
    with needs_extra("local"):
        from germline.bench.master import measure
    return measure(rounds, evaluations)


def _rows(rows: Mapping[str, Row]) -> dict[str, Any]:
    return {name: dataclasses.asdict(row) for name, row in rows.items()}


def _say(figures: Mapping[str, Any], as_json: bool) -> None:
    """One entry for each bench; each has a dataclass of its own."""
    plain = {name: dataclasses.asdict(row) for name, row in figures.items()}
    if as_json:
        emit(plain)
        return
    for name, row in plain.items():
        console.print(Text(name, style="bold"))
        for figure, value in row.items():
            text = f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"
            console.print(f"  {figure:<28} {text}")
