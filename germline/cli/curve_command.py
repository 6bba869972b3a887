"""`germline curve`: a run's curve as numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from germline.cli.curves import SUFFIXES, encoded, rows_of, write_rows
from germline.cli.errors import CommandError
from germline.cli.files import ForceOption, check_free
from germline.cli.target import NameArgument, Target, with_target


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(with_target(curve))


def curve(
    target: Target,
    name: NameArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A .csv, .json or .parquet file; CSV on standard output by default."
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write the curve of a run as numbers: quantiles of the population, and the champion's validated mean.

    Example: germline curve --run runs/pong --output pong.csv
    """
    if output is not None:
        check_free(output, SUFFIXES, force=force)
    with target.source(name) as source:
        experiment, history = source.experiment(), source.history()
    rows = rows_of(experiment.name, history)
    if not rows:
        raise CommandError(f"{experiment.name} has no curve yet: it needs a few evaluations first")
    if output is None:
        sys.stdout.write(encoded(rows, ".csv").decode())
    else:
        write_rows(rows, output)
        typer.echo(f"wrote {output}")
