"""`germline plot`: the curve of a run as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from germline.cli.errors import CommandError, needs_extra
from germline.cli.files import ForceOption, check_free, write_whole
from germline.cli.target import NameArgument, Target, with_target
from germline.cli.words import counted, played_text, played_word, selection_text
from germline.client import Experiment, HistoryPoint
from germline.v1 import spec_pb2

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Axis = Literal["frames", "evaluations", "seconds"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(with_target(plot))


def plot(
    target: Target,
    name: NameArgument = None,
    over: Annotated[
        Axis, typer.Option(help="What the curve runs over; outside emulators, frames are steps.")
    ] = "frames",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A .png, .svg or .pdf file; default NAME.png, of --run in its folder."
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Draw fitness over frames: quantiles of the population, and the champion's validated mean.

    Example: germline plot --run runs/pong --output pong.png
    """
    with target.source(name) as source:
        experiment, history = source.experiment(), source.history()
    file = output or (target.run / f"curve-{over}.png" if target.run else Path(f"{experiment.name}.png"))
    check_free(file, (".png", ".svg", ".pdf"), force=force)
    points = [point for point in history if len(point.fitness_quantiles) == 5]
    if not points:
        raise CommandError(f"{experiment.name} has no curve yet: it needs a few evaluations first")
    draw(experiment, points, over, file)
    typer.echo(f"wrote {file}")


def draw(experiment: Experiment, points: Sequence[HistoryPoint], over: Axis, file: Path) -> None:
    """Write the picture."""
    with needs_extra("local"):
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    cut = selection_text(experiment)
    if experiment.spec.evaluation.cap_schedule == spec_pb2.CAP_SCHEDULE_PROGRESSIVE:
        cut = ", games cut after ever more"  # each point is of the cap of its time
    _draw_curves(axes, points, over, f"population{cut}")
    played = played_word(experiment.spec)
    axes.set_xlabel(_label(over, played))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("return")
    counts = f"{counted(experiment.evaluations, 'evaluation')}, {played_text(experiment)}"
    axes.set_title(f"{experiment.name}: {counts}")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=file.suffix[1:].lower(), dpi=150)
    plt.close(figure)
    write_whole(file, drawn.getvalue())


def _label(over: Axis, played: str) -> str:
    if over != "frames":
        return over
    return "emulator frames" if played == "frames" else played


def _draw_curves(axes: Axes, points: Sequence[HistoryPoint], over: Axis, whose: str) -> None:
    where = [_position(point, over) for point in points]
    worst, low, median, high, best = zip(*(point.fitness_quantiles for point in points), strict=True)
    axes.fill_between(where, worst, best, color="tab:blue", alpha=0.12, linewidth=0, label=f"{whose}, all")
    axes.fill_between(where, low, high, color="tab:blue", alpha=0.25, linewidth=0, label=f"{whose}, 10-90 %")
    axes.plot(where, median, color="tab:blue", label=f"{whose}, median")
    crowned = [(x, point.champion_mean) for x, point in zip(where, points, strict=True)]
    line = [(x, mean) for x, mean in crowned if mean is not None]
    if line:
        places, means = zip(*line, strict=True)
        axes.step(
            places,
            means,
            where="post",
            marker="o",
            markevery=[-1],
            color="tab:red",
            label="champion, validated mean",
        )


def _position(point: HistoryPoint, over: Axis) -> float:
    return {"frames": point.frames, "evaluations": point.evaluations, "seconds": point.running_s}[over]
