"""`germline bench`: measure this build against its references, on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from germline.cli.errors import needs_extra
from germline.cli.output import console, emit
from germline.cli.target import JsonOption

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


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(bench, name="bench")


@bench.command()
def rebuild(rounds: RoundsOption = 25, as_json: JsonOption = False) -> None:
    """A child of a cached parent against one pass of numpy's RandomState, 1.7 million weights.

    Example: germline bench rebuild --json
    """
    with needs_extra("worker"):
        from germline.bench.rebuild import measure
    _say({"rebuild": measure(rounds)}, as_json)


@bench.command()
def rollout(
    game: Annotated[list[str], typer.Option(help="ROM name; may be given again.")] = ["pong"],  # noqa: B006 - typer's way
    rounds: RoundsOption = 7,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each contestant plays in a round.")] = 3.0,
    processes: ProcessesOption = None,
    clock: ClockOption = "wall",
    as_json: JsonOption = False,
) -> None:
    """Atari rollouts against one environment and one network to a process, and against the bare emulator.

    Example: germline bench rollout --game pong --game frostbite --json
    """
    with needs_extra("worker"):
        from germline.bench.rollout import measure, table
    measured = {
        each: measure(each, seconds=seconds, rounds=rounds, processes=processes, clock=clock) for each in game
    }
    if as_json:
        plain = {
            each: {name: dataclasses.asdict(row) for name, row in rows.items()}
            for each, rows in measured.items()
        }
        emit(plain[game[0]] if len(game) == 1 else plain)
        return
    for each, rows in measured.items():
        typer.echo(f"{each}\n{table(rows)}")


def _say(rows: Mapping[str, Any], as_json: bool) -> None:
    """One entry for each row of the table."""
    plain = {name: _fields(row) for name, row in rows.items()}
    if as_json:
        emit(plain)
        return
    for name, figures in plain.items():
        console.print(f"[bold]{name}[/bold]")
        for figure, value in figures.items():
            text = f"{value:,.3f}" if isinstance(value, float) else str(value)
            console.print(f"  {figure:<28} {text}", highlight=False)


def _fields(row: Any) -> dict[str, Any]:
    """A row's figures: each bench has a dataclass of its own, or a mapping."""
    return dict(row) if isinstance(row, Mapping) else dataclasses.asdict(row)
