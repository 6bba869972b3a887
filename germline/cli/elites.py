"""`germline elites`: what MAP-Elites found, as numbers, as a table that pyribs reads, as a picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from germline.behaviour import Range, unpack
from germline.cli.elite_tiles import fitness_of, tiles_of
from germline.cli.errors import CommandError, Exit, needs_extra
from germline.cli.files import ForceOption, check_free, write_whole
from germline.cli.output import console, emit
from germline.cli.target import JsonOption, NameArgument, Target, with_target
from germline.client import Experiment, Individual
from germline.genome import format_id
from germline.spec.behaviour import behaviour_dimensions, measures_of
from germline.v1 import spec_pb2

_MOST = 10_000  # that a master lists


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(with_target(elites))


def elites(
    target: Target,
    name: NameArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .csv with the columns of pyribs' archives, or a .png, .svg or .pdf, a heat map.",
            show_default=False,
        ),
    ] = None,
    offset: Annotated[
        float, typer.Option(help="The worst fitness there is; the QD score counts from it.")
    ] = 0.0,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """What MAP-Elites found: of each cell the fittest, at most the 10,000 best.

    Example: germline elites --run runs/balance --output elites.csv
    """
    if output is not None:
        check_free(output, (".csv", ".png", ".svg", ".pdf"), force=force)
    with target.source(name) as source:
        experiment, found = source.experiment(), source.individuals(_MOST)
    here = [each for each in found if each.cell is not None]
    if not experiment.spec.algorithm.HasField("map_elites"):
        raise CommandError(f"{experiment.name} keeps no elites; [algorithm.map_elites] does", Exit.REFUSED)
    if output is not None:
        _write(experiment, here, output)
    if as_json:
        emit(_numbers(experiment, here, offset))
    else:
        console.print(_sentence(experiment, here, offset))


def cells_of(spec: spec_pb2.ExperimentSpec) -> int:
    """How many cells a spec's MAP-Elites has."""
    elites = spec.algorithm.map_elites
    return math.prod(elites.grid) if elites.grid else elites.points


def _numbers(experiment: Experiment, found: Sequence[Individual], offset: float) -> dict[str, float]:
    scores = [each.fitness for each in found]
    return {
        "cells": cells_of(experiment.spec),
        "elites": len(found),
        "coverage": len(found) / cells_of(experiment.spec),
        "qd_score": math.fsum(score - offset for score in scores),
        "best": max(scores, default=math.nan),
        "fewest_episodes": min((each.fitness_episodes for each in found), default=0),
        "most_episodes": max((each.fitness_episodes for each in found), default=0),
    }


def _sentence(experiment: Experiment, found: Sequence[Individual], offset: float) -> str:
    numbers = _numbers(experiment, found, offset)
    return (
        f"{experiment.name}: {len(found):,} of {numbers['cells']:,} cells "
        f"({100 * numbers['coverage']:.1f} %), "
        f"QD score {numbers['qd_score']:.6g}, best {numbers['best']:.6g}"
        f"{_rests_on({each.fitness_episodes for each in found})}"
    )


def _rests_on(episodes: set[int]) -> str:
    """On how many episodes each elite rests; nothing where an earlier master does not say."""
    if not episodes or 0 in episodes:
        return ""
    fewest, most = min(episodes), max(episodes)
    many = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    return f", by {many} {'episode' if most == 1 else 'episodes'} each"


def _write(experiment: Experiment, found: Sequence[Individual], output: Path) -> None:
    if output.suffix.lower() == ".csv":
        write_whole(output, table_of(experiment.spec, found).encode())
    else:
        write_whole(output, _picture(experiment, found, output.suffix[1:].lower()))
    typer.echo(f"wrote {output}")


def table_of(spec: spec_pb2.ExperimentSpec, found: Sequence[Individual]) -> str:
    """The elites as pyribs' ArchiveDataFrame has them, by their cells: whose they are, and by how much.

    There are no columns of solutions: a genome is a line of seeds, which `germline champion` and its
    like build again. Measures are in the behaviour's own units, or in shares of its range where only the
    worker knows that.
    """
    scale = _scale(spec)
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    names = [f"measures_{place}" for place in range(behaviour_dimensions(spec))]
    rows.writerow(["objective", *names, "threshold", "index", "individual", "episodes"])
    for each in sorted(found, key=lambda individual: individual.cell or 0):
        measures = scale.values(unpack(each.behaviour)).tolist()
        score = repr(each.fitness)
        whose = [format_id(each.id), each.fitness_episodes]
        rows.writerow([score, *map(repr, measures), score, each.cell, *whose])
    return written.getvalue()


def _scale(spec: spec_pb2.ExperimentSpec) -> Range:
    return Range(measures_of(spec))


def _picture(experiment: Experiment, found: Sequence[Individual], form: str) -> bytes:
    """A heat map of fitness: the first number across, the second upwards; of a CVT, its cells as they lie."""
    with needs_extra("local"):
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt
    fitness = fitness_of(tiles_of(experiment.spec, found), found)
    measures = measures_of(experiment.spec)
    low, high = [each.low for each in measures], [each.high for each in measures]
    across, upwards = (low[0], high[0]), ((low[1], high[1]) if len(low) > 1 else (0.0, 1.0))
    figure, axes = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
    shown = axes.imshow(fitness.T, origin="lower", aspect="auto", extent=(*across, *upwards))
    figure.colorbar(shown, label="fitness")
    axes.set_xlabel(measures[0].name)
    axes.set_ylabel(measures[1].name if len(measures) > 1 else "")
    axes.set_title(_sentence(experiment, found, 0.0), fontsize="small")
    drawn = io.BytesIO()
    figure.savefig(drawn, format=form, dpi=150)
    plt.close(figure)
    return drawn.getvalue()
