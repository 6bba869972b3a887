"""`germline events`: what happened to an experiment."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from germline.cli.output import emit, event_json, show_table
from germline.cli.target import JsonOption, NameArgument, Target, with_target
from germline.cli.words import duration
from germline.client import ExperimentEvent


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(with_target(events))


def events(
    target: Target,
    name: NameArgument = None,
    last: Annotated[
        int | None, typer.Option(help="Only so many, the newest.", min=1, show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What happened: pauses, restarts, quarantines, champions, what could not be scored; oldest first.

    The journal keeps it, the last 50 of each kind, so whoever looks a day later sees it, too.

    Example: germline events --run runs/pong --last 20
    """
    with target.source(name) as source:
        found = source.events()
    found = found[-last:] if last else found
    if as_json:
        emit([event_json(each) for each in found])
    elif found:
        show_table(_table(found))
    else:
        typer.echo("nothing happened yet")


def _table(found: list[ExperimentEvent]) -> Table:
    table = Table("evaluations", "running", "when", "what", box=None, header_style="dim")
    for each in found:
        when = "" if each.time is None else f"{each.time.astimezone():%Y-%m-%d %H:%M:%S}"
        table.add_row(f"{each.evaluations:,}", duration(each.running_s), when, each.text)
    return table
