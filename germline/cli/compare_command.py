"""`germline compare`: several runs beside each other, as a table and as a picture."""

from __future__ import annotations

import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from germline.cli.curves import SUFFIXES, Axis, Quantity, Row, write_rows
from germline.cli.errors import needs_extra
from germline.cli.files import ForceOption, check_free, write_whole
from germline.cli.groups import Group, Point, groups_of, played_words, shared_curve
from germline.cli.output import Json, emit, notes, show_table
from germline.cli.target import JsonOption, Target, with_target
from germline.cli.words import duration, number

_PICTURES = (".png", ".svg", ".pdf")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(with_target(compare))


def compare(
    target: Target,
    places: Annotated[
        list[str],
        typer.Argument(
            help="Folders of runs, of replicates, or of sweeps; NAME@host:port for an experiment of a "
            "master, NAME@ for one of --master; with a * in NAME for replicates.",
            show_default=False,
        ),
    ],
    over: Annotated[Axis, typer.Option(help="What the curves run over.")] = "evaluations",
    curve: Annotated[
        Quantity, typer.Option(help="The champion's validated mean, or of the population.")
    ] = "champion",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A picture (.png, .svg, .pdf), or the curves (.csv, .json, .parquet)."
        ),
    ] = None,
    robust: Annotated[
        bool, typer.Option("--robust", help="Let the middle 90 % of all values fill the picture.")
    ] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Hold runs against each other: interquartile means with bootstrap intervals over replicates.

    Each folder is a group: a run, or all replicates in it; of a sweep, each trial is one. So is what each
    NAME@host:port names. A run's score is its champion's validated mean. The last column is the probability
    that a run of the group scores higher than one of the first group.

    Example: germline compare runs/pong runs/balance --over frames --output compare.png
    Example: germline compare runs/pong 'pong-r*@localhost:7700'
    """
    if output is not None:
        check_free(output, (*_PICTURES, *SUFFIXES), force=force)
    groups = groups_of(places, target)
    if len({run.task for group in groups for run in group.runs}) > 1:
        notes.print("germline: these runs play different tasks: their scores do not compare")
    if as_json:
        emit([_json(group, groups[0]) for group in groups])
    else:
        show_table(_table(groups))
    if output is not None:
        _write(groups, curve, over, output, robust)
        notes.print(f"wrote {output}")


def _write(groups: Sequence[Group], quantity: Quantity, over: Axis, file: Path, robust: bool) -> None:
    curves = {group.label: shared_curve(group, quantity, over) for group in groups}
    if file.suffix.lower() in SUFFIXES:
        write_rows([row for label, points in curves.items() for row in _rows(label, points, over)], file)
    else:
        label = played_words(groups) if over == "frames" else over
        draw(curves, quantity, label, file, robust=robust)


def _rows(label: str, points: Sequence[Point], over: Axis) -> list[Row]:
    return [
        {
            "group": label,
            over: point.position,
            "iqm": point.value.estimate,
            "low": point.value.low,
            "high": point.value.high,
        }
        for point in points
    ]


def _table(groups: Sequence[Group]) -> Table:
    columns = (
        "group",
        "runs",
        "IQM",
        "95 % interval",
        "median",
        "mean",
        "evaluations",
        played_words(groups),
        "time",
        "beats 1st",
    )
    table = Table(*columns, box=None, header_style="dim")
    for group in groups:
        iqm, low, high = group.summary()
        several = len(group.runs) > 1
        experiments = [run.experiment for run in group.runs]
        table.add_row(
            group.label,
            str(len(group.runs)),
            number(iqm),
            f"{number(low)} to {number(high)}" if several else "-",
            number(statistics.median(group.scores)),
            number(statistics.fmean(group.scores)),
            f"{statistics.median(each.evaluations for each in experiments):,.0f}",
            f"{statistics.median(each.frames for each in experiments):,.0f}",
            duration(statistics.median(each.running_s for each in experiments)),
            "-" if group is groups[0] else f"{100 * group.beats(groups[0]):.0f} %",
        )
    return table


def _json(group: Group, first: Group) -> dict[str, Json]:
    iqm, low, high = group.summary()
    return {
        "group": group.label,
        "experiments": [run.experiment.name for run in group.runs],
        "scores": list(group.scores),
        "iqm": iqm,
        "interval": [low, high] if len(group.runs) > 1 else None,
        "median": statistics.median(group.scores),
        "mean": statistics.fmean(group.scores),
        "beats_first": None if group is first else group.beats(first),
    }


def draw(
    curves: dict[str, list[Point]], quantity: Quantity, label: str, file: Path, *, robust: bool = False
) -> None:
    """Draw the curves over each other, each with its interval; `label` says what they run over."""
    with needs_extra("local"):
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name, points in curves.items():
        if points:
            places = [point.position for point in points]
            (line,) = axes.plot(places, [point.value.estimate for point in points], label=name)
            low, high = [point.value.low for point in points], [point.value.high for point in points]
            axes.fill_between(places, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    if robust:
        axes.set_ylim(*_middle([point for points in curves.values() for point in points]))
    axes.set_xlabel(label)
    axes.set_ylabel("champion's validated mean, IQM" if quantity == "champion" else f"{quantity}, IQM")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    if any(curves.values()):
        axes.legend(loc="best", frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=file.suffix[1:].lower(), dpi=150)
    plt.close(figure)
    write_whole(file, drawn.getvalue())


def _middle(points: Sequence[Point]) -> tuple[float, float]:
    """Where the middle 90 % of the values lie, and a little room around."""
    low, high = np.quantile([point.value.estimate for point in points] or [0.0], [0.05, 0.95])
    room = 0.1 * (high - low) or 1.0
    return float(low - room), float(high + room)
