"""Where commands write: JSON for programs, a console for people."""

from __future__ import annotations

import base64
import dataclasses
import errno
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TextIO, TypeAlias

import typer
from rich.console import Console

from germline.client import Experiment, HistoryPoint, Individual, Worker
from germline.genome import Genome, format_id
from germline.spec import SPEC_FORMAT, to_toml
from germline.v1 import spec_pb2

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None

_LONGEST = 1e15  # from here on numbers are written with a power of ten
_NOBODY_LISTENS = (errno.EPIPE, errno.EIO)  # the end of a pipe, and of a terminal


class _Console(Console):
    """Lets a reader that is gone be noticed as elsewhere; rich's own would end the process."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls this where it caught the error


console = _Console()
notes = _Console(stderr=True)


@contextmanager
def unheard() -> Iterator[None]:
    """Around what is said: what is done goes on, without a word, when nobody listens any more."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOBODY_LISTENS:
            raise
        for stream in (sys.stdout, sys.stderr):
            _silence_if_broken(stream)


def _silence_if_broken(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


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
    }


def experiment_json(experiment: Experiment) -> dict[str, Json]:
    """An experiment for programs: its spec as TOML, its champion as :func:`individual_json` has it."""
    return {
        **_plain(experiment, without=("spec", "champion", "created", "set_aside")),
        "created": experiment.created.isoformat(),
        "champion": individual_json(experiment.champion) if experiment.champion else None,
        "set_aside": [dataclasses.asdict(each) for each in experiment.set_aside],
        "spec": to_toml(experiment.spec),
        "spec_format": SPEC_FORMAT,
    }


def worker_json(worker: Worker) -> dict[str, Json]:
    """A worker for programs."""
    return {**_plain(worker, without=("connected",)), "connected": worker.connected.isoformat()}


def history_json(point: HistoryPoint) -> dict[str, Json]:
    """A point of a curve for programs."""
    return _plain(point)


def _plain(value: Experiment | HistoryPoint | Worker, without: Sequence[str] = ()) -> dict[str, Json]:
    names = [field.name for field in dataclasses.fields(value) if field.name not in without]
    return {name: getattr(value, name) for name in names}


def number(value: float | None, digits: int = 1) -> str:
    """A number for people; a dash for none."""
    if value is None:
        return "-"
    return f"{value:,.{digits}f}" if abs(value) < _LONGEST else f"{value:.6g}"


def duration(seconds: float) -> str:
    """A time for people: 42 s, 3 min 20 s, 1 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def played_word(spec: spec_pb2.ExperimentSpec) -> str:
    """What an experiment's frames are called by people: only emulators have any."""
    return {"gym": "steps", "function": "calls"}.get(spec.task.WhichOneof("kind") or "", "frames")


def until_text(spec: spec_pb2.ExperimentSpec) -> str:
    """When an experiment is complete, for people."""
    stop = spec.stop
    goals = [f"{stop.evaluations:,} evaluations" if stop.HasField("evaluations") else ""]
    goals.append(f"{stop.frames:,} {played_word(spec)}" if stop.HasField("frames") else "")
    goals.append(duration(stop.seconds) if stop.HasField("seconds") else "")
    goals.append(f"a mean of {stop.fitness:g}" if stop.HasField("fitness") else "")
    return f"until {' or '.join(filter(None, goals))}" if any(goals) else "until it is stopped"


def moment(when: datetime) -> str:
    """A point in time for people, in their own time zone."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M")


def line_text(experiment: Experiment, individual: Individual) -> str:
    """How long an individual's line is; that of a centre counts updates."""
    what = "updates" if experiment.spec.algorithm.HasField("eggroll") else "mutations"
    return f"{individual.mutations:,} {what}"


def mean_text(individual: Individual) -> str:
    """A validated mean with its interval and its episodes, or what stands in for it."""
    if individual.validated_mean is None:
        return f"{number(individual.fitness)} (one evaluation, not validated)"
    if individual.is_exact:
        count = len(individual.start_returns)
        return f"{number(individual.validated_mean)} (n = {count} of {count}, exact)"
    half_width = individual.validated_half_width
    interval = f" ± {number(half_width)}" if half_width is not None else ""
    return (
        f"{number(individual.validated_mean)}{interval} over {individual.validation_episodes} fresh episodes"
    )
