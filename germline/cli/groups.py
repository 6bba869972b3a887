"""Runs that belong together, and what is said of them: conventions of rliable (arXiv 2108.13264)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from germline.cli.archive import Archive
from germline.cli.curves import Axis, Quantity, position, value_of
from germline.cli.errors import CommandError, Exit
from germline.cli.folder import RunFolder
from germline.cli.trials import noted, score_of
from germline.client import Experiment, HistoryPoint
from germline.spec import to_toml
from germline.statistics import Interval, bootstrap_interval
from germline.v1 import spec_pb2

POINTS = 60
"""Of a curve that several runs share."""

_RECORD = "experiment.json"


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as its folder tells it.

    Attributes:
        experiment: as it stood.
        history: its curve.
        score: its champion's validated mean, or else its best single score.
    """

    experiment: Experiment
    history: tuple[HistoryPoint, ...]
    score: float

    @property
    def task(self) -> str:
        """What a score of it means: the task and the precision."""
        spec = self.experiment.spec
        said = spec_pb2.ExperimentSpec(task=spec.task)
        said.evaluation.precision = spec.evaluation.precision
        return to_toml(said)


@dataclass(frozen=True, slots=True)
class Group:
    """Replicates of one setting."""

    label: str
    runs: tuple[Run, ...]

    @property
    def scores(self) -> tuple[float, ...]:
        """One for each run."""
        return tuple(run.score for run in self.runs)

    def summary(self) -> Interval:
        """The interquartile mean of the scores, and its 95 % bootstrap interval over the runs."""
        return bootstrap_interval(self.scores)

    def beats(self, other: Group) -> float:
        """The probability that a run of this group scores higher than one of the other; ties count half."""
        mine, theirs = np.asarray(self.scores)[:, None], np.asarray(other.scores)[None, :]
        return float(np.mean((mine > theirs) + 0.5 * (mine == theirs)))


class Point(NamedTuple):
    """Where several runs stand together: the interquartile mean of their values, and its interval."""

    position: float
    value: Interval


def groups_of(paths: Sequence[Path]) -> list[Group]:
    """What the folders hold: a run, replicates, or a sweep, whose trials are a group each.

    Raises:
        CommandError: for a folder that holds no results, or none that have a score.
    """
    groups = [group for path in paths for group in _groups(path)]
    if not groups:
        raise CommandError("none of the folders holds a run that has a score yet")
    return groups


def _groups(path: Path) -> list[Group]:
    if not path.is_dir():
        raise CommandError(f"{path} is no folder; allowed: what `germline run` or `sweep` made", Exit.USAGE)
    if (path / _RECORD).exists():
        return _group(path.name, [path])
    trials = noted(path)
    if len(trials) > 1:
        named = [(f"{each['trial']:03d} {each['label']}", each["experiments"]) for each in trials]
        return [group for label, names in named for group in _group(label, [path / name for name in names])]
    found = sorted(record.parent for record in path.glob(f"*/{_RECORD}"))
    if not found:
        raise CommandError(
            f"{path} holds no results; allowed: what `germline run` or `sweep` made", Exit.USAGE
        )
    return _group(path.name, found)


def _group(label: str, folders: Sequence[Path]) -> list[Group]:
    """The runs that have a score; no group where none has."""
    runs = [run for folder in folders if (folder / _RECORD).exists() and (run := _run(folder)) is not None]
    return [Group(label, tuple(runs))] if runs else []


def _run(folder: Path) -> Run | None:
    archive = Archive(RunFolder(folder))
    experiment = archive.experiment()
    score = score_of(experiment)
    return None if score is None else Run(experiment, tuple(archive.history()), score)


def shared_curve(group: Group, quantity: Quantity, over: Axis) -> list[Point]:
    """The curve of a group, as far as all of its runs go; each run counts with its last value until then."""
    known = [_known(run, quantity, over) for run in group.runs]
    known = [curve for curve in known if curve]
    if not known:
        return []
    first, last = max(curve[0][0] for curve in known), min(curve[-1][0] for curve in known)
    points = []
    for place in np.linspace(first, max(first, last), POINTS):
        values = [[value for at, value in curve if at <= place][-1] for curve in known]
        points.append(Point(float(place), bootstrap_interval(values)))
    return points


def _known(run: Run, quantity: Quantity, over: Axis) -> list[tuple[float, float]]:
    valued = ((position(point, over), value_of(point, quantity)) for point in run.history)
    return [(place, value) for place, value in valued if value is not None]
