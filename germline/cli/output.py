"""Where commands write: JSON for programs, a console for people."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import typer
from rich.console import Console
from rich.table import Table

from germline.behaviour import unpack
from germline.client import (
    Experiment,
    ExperimentEvent,
    HistoryPoint,
    Individual,
    KnownReturns,
    QuarantinedWorker,
    Worker,
)
from germline.genome import Genome, format_id
from germline.spec import SPEC_FORMAT, to_toml

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None


_WIDE = 160  # letters, where there is no terminal


class Shown(enum.Enum):
    """What a command that takes long shows while it lasts."""

    NOTHING = enum.auto()
    LINES = enum.auto()
    DISPLAY = enum.auto()


def shown_here(*, plain: bool, as_json: bool) -> Shown:
    """What a command shows on this standard output, by what a person asked for."""
    if as_json:
        return Shown.NOTHING
    return Shown.LINES if plain or not console.is_terminal else Shown.DISPLAY


class _Console(Console):
    """Lets a reader that is gone be noticed as elsewhere; rich's own would end the process."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls this where it caught the error


# What is printed may hold anybody's words, and brackets in them are brackets: styles come with Text alone.
console = _Console(markup=False, highlight=False)
notes = _Console(stderr=True, markup=False, highlight=False)


def show_table(table: Table) -> None:
    """Print a table; where there is no terminal, with room for all that is in it."""
    (console if console.is_terminal else _Console(markup=False, highlight=False, width=_WIDE)).print(table)


def emit(value: Json) -> None:
    """Write one JSON value on a line of its own on standard output."""
    typer.echo(json.dumps(_finite(value)))


def _finite(value: Json) -> Json:
    """JSON knows no NaN and no infinity; they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value


def genome_text(genome: Genome) -> str:
    """A genome on one line: base64 of its encoding."""
    return base64.b64encode(genome.encode()).decode()


def individual_json(individual: Individual) -> dict[str, Json]:
    """An individual for programs: its id as people write it, its genome in base64."""
    genome = individual.genome
    return {
        "id": format_id(individual.id),
        "fitness": individual.fitness,
        "mutations": individual.mutations,
        "validated_mean": individual.validated_mean,
        "validation_episodes": individual.validation_episodes,
        "validated_half_width": individual.validated_half_width,
        "genome": genome_text(genome) if genome else None,
        "start_returns": list(individual.start_returns),
        "title_episodes": individual.title_episodes,
        "cap_frames": individual.cap_frames,
        "behaviour": unpack(individual.behaviour).tolist(),
        "cell": individual.cell,
        "fitness_episodes": individual.fitness_episodes,
    }


def returns_json(known: KnownReturns) -> dict[str, Json]:
    """What is known of an individual by its episodes, for programs."""
    return {
        "genome": genome_text(known.genome),
        "seeds": list(known.seeds),
        "returns": list(known.returns),
    }


_OTHERWISE = ("spec", "champion", "created", "set_aside", "verification", "normalisations")


def experiment_json(experiment: Experiment) -> dict[str, Json]:
    """An experiment for programs: its spec as TOML, its champion as :func:`individual_json` has it."""
    return {
        **_plain(experiment, without=_OTHERWISE),
        "created": experiment.created.isoformat(),
        "champion": individual_json(experiment.champion) if experiment.champion else None,
        "set_aside": [dataclasses.asdict(each) for each in experiment.set_aside],
        "verification": dataclasses.asdict(experiment.verification),
        "normalisations": [
            {**numbers._asdict(), "first_epoch": epoch} for numbers, epoch in experiment.normalisations
        ],
        "spec": to_toml(experiment.spec),
        "spec_format": SPEC_FORMAT,
    }


def worker_json(worker: Worker) -> dict[str, Json]:
    """A worker for programs."""
    return {**_plain(worker, without=("connected",)), "connected": worker.connected.isoformat()}


def away_json(quarantined: QuarantinedWorker) -> dict[str, Json]:
    """A worker in quarantine that is not connected, for programs; of others, this is the trouble."""
    trouble = f"in quarantine: {quarantined.reason}"
    return {"worker_id": quarantined.worker_id, "connected": None, "trouble": trouble}


def history_json(point: HistoryPoint) -> dict[str, Json]:
    """A point of a curve for programs."""
    return _plain(point)


def event_json(event: ExperimentEvent) -> dict[str, Json]:
    """Something that happened, for programs."""
    time = None if event.time is None else event.time.isoformat()
    return {**_plain(event, without=("time",)), "time": time}


def _plain(
    value: Experiment | ExperimentEvent | HistoryPoint | Worker, without: Sequence[str] = ()
) -> dict[str, Json]:
    names = [field.name for field in dataclasses.fields(value) if field.name not in without]
    return {name: getattr(value, name) for name in names}
