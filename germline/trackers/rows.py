"""From an experiment's curve to rows, and from its settings to a run's description."""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from germline.client import Experiment, HistoryPoint
from germline.genome import format_id
from germline.spec import to_toml
from germline.trackers.base import Row, TrackedRun

_QUANTILES = ("q00", "q10", "q50", "q90", "q100")


def describe(experiment: Experiment, folder: Path) -> TrackedRun:
    """The run that a tracker keeps of an experiment, with its files in `folder`.

    Its id comes from the name and the moment of creation: an experiment that is made anew is another run.
    """
    moment = experiment.created.isoformat(timespec="microseconds")
    digest = hashlib.blake2b(f"{experiment.name}|{moment}".encode(), digest_size=4, person=b"germline-track")
    return TrackedRun(
        id=f"{experiment.name[:50]}-{digest.hexdigest()}",
        name=experiment.name,
        config=dict(_flat(tomllib.loads(to_toml(experiment.spec)))),
        tags=_tags(experiment),
        folder=folder,
    )


def _tags(experiment: Experiment) -> dict[str, str]:
    spec = experiment.spec
    return {
        "germline.version": metadata.version("germline"),
        "germline.task": spec.task.WhichOneof("kind") or "",
        "germline.policy": spec.policy.name,
        "germline.algorithm": spec.algorithm.WhichOneof("kind") or "",
        "germline.precision": tomllib.loads(to_toml(spec))["evaluation"]["precision"],
        "germline.kernels": ", ".join(experiment.kernels),
    }


def _flat(table: Mapping[str, object], path: str = "") -> Iterator[tuple[str, str | int | float | bool]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value if isinstance(value, str | int | float | bool) else str(value)


def to_rows(look: Experiment, points: Sequence[HistoryPoint], after: int) -> list[Row]:
    """The points of a curve behind so many evaluations; the newest has what only a look knows, too.

    Args:
        look: the experiment as it stood when its curve was read.
        points: its whole curve.
        after: evaluations of the last row that was made before.

    Returns:
        Rows whose evaluations rise.
    """
    best = _best_name(look)
    rows: list[Row] = []
    for point in points:
        if point.evaluations > after:
            after = point.evaluations
            moment_s = look.created.timestamp() + point.running_s
            rows.append(Row(after, moment_s, _finite(_of_point(point, best))))
    if rows:
        newest = rows[-1]
        values = {**newest.values, **_finite(_of_look(look, best))}
        rows[-1] = Row(newest.evaluations, newest.time_s, values)
    return rows


def champion_key(look: Experiment) -> str:
    """What tells a look's champion from the one before; "" while there is none.

    A centre has its id only once it is stored, and nothing can be shown of it before.
    """
    return format_id(look.champion.id) if look.champion is not None and look.champion.id else ""


def _best_name(look: Experiment) -> str:
    """What the best is called: an evolution strategy has no champion, but a measured centre."""
    return "centre" if look.spec.algorithm.HasField("eggroll") else "champion"


def _of_point(point: HistoryPoint, best: str) -> Iterator[tuple[str, float | None]]:
    yield "frames", point.frames
    yield "running_s", point.running_s
    for name, value in zip(_QUANTILES, point.fitness_quantiles, strict=False):
        yield f"fitness/{name}", value
    yield f"{best}/mean", point.champion_mean


def _of_look(look: Experiment, best: str) -> Iterator[tuple[str, float | None]]:
    yield "fitness/best", look.best_fitness
    if look.champion is not None:
        yield f"{best}/half_width", look.champion.validated_half_width
        yield f"{best}/mutations" if best == "champion" else "centre/epoch", look.champion.mutations
    yield "epochs", look.epochs if best == "centre" else None
    yield "lineage/depth", look.lineage_depth if best == "champion" else None
    yield "speed/evaluations_per_s", look.evaluations_per_second
    yield "speed/frames_per_s", look.frames_per_second
    yield "fleet/workers", look.workers
    yield "fleet/leases_lost", look.leases_lost


def _finite(values: Iterator[tuple[str, float | None]]) -> dict[str, float]:
    return {name: float(value) for name, value in values if value is not None and math.isfinite(value)}
