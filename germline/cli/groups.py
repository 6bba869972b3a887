"""Runs that belong together, and what is said of them: conventions of rliable (arXiv 2108.13264)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from germline.cli.archive import Archive
from germline.cli.curves import Axis, Quantity, position, value_of
from germline.cli.errors import CommandError, Exit
from germline.cli.folder import RunFolder
from germline.cli.source import Source
from germline.cli.target import Target
from germline.cli.trials import noted, score_of
from germline.cli.words import played_word
from germline.client import Experiment, HistoryPoint
from germline.spec import to_toml
from germline.statistics import Interval, bootstrap_interval
from germline.v1 import spec_pb2

POINTS = 60
"""Of a curve that several runs share."""

_RECORD = "experiment.json"


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as its folder or its master tells it.

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


def groups_of(places: Sequence[str], target: Target) -> list[Group]:
    """What these hold, a group each: folders, and experiments of masters.

    Args:
        places: a folder of a run or of replicates, or of a sweep, whose trials are a group each; or
            NAME@host:port, an experiment of the master there, where NAME may have a `*` for several.
        target: the master that NAME@ means, and how to talk to every master.

    Raises:
        CommandError: for one that holds no results, or if none of them has a score.
    """
    groups = [group for place in places for group in _groups_at(place, target)]
    if not groups:
        raise CommandError("none of these is, or holds, a run that has a score yet")
    return groups


def played_words(groups: Sequence[Group]) -> str:
    """What their tasks count: frames, steps or calls; frames, where they differ."""
    words = {played_word(run.experiment.spec) for group in groups for run in group.runs}
    return words.pop() if len(words) == 1 else "frames"


def _groups_at(place: str, target: Target) -> list[Group]:
    name, at, address = place.rpartition("@")
    if not at or Path(place).exists():
        return _groups(Path(place))
    return _of_master(name, replace(target, master=address, run=None) if address else target)


def _of_master(pattern: str, target: Target) -> list[Group]:
    """The experiments of this name, as one group."""
    with target.connect() as client:
        names = [each.name for each in client.experiments() if fnmatchcase(each.name, pattern)]
    if not names:
        raise CommandError(f"{pattern!r} names no experiment of {target.master}", Exit.REFUSED)
    runs = []
    for name in names:
        with target.source(name) as source:
            runs.append(_run(source))
    return _group(pattern, runs)


def _groups(path: Path) -> list[Group]:
    if not path.is_dir():
        raise CommandError(f"{path} is no folder; allowed: what `germline run` or `sweep` made", Exit.USAGE)
    if (path / _RECORD).exists():
        return _group(path.name, _runs([path]))
    trials = noted(path)
    if len(trials) > 1:
        named = [(f"{each['trial']:03d} {each['label']}", each["experiments"]) for each in trials]
        return [
            group for label, names in named for group in _group(label, _runs([path / name for name in names]))
        ]
    found = sorted(record.parent for record in path.glob(f"*/{_RECORD}"))
    if not found:
        raise CommandError(
            f"{path} holds no results; allowed: what `germline run` or `sweep` made", Exit.USAGE
        )
    return _group(path.name, _runs(found))


def _group(label: str, runs: Iterable[Run | None]) -> list[Group]:
    """The runs that have a score; no group where none has."""
    scored = tuple(run for run in runs if run is not None)
    return [Group(label, scored)] if scored else []


def _runs(folders: Sequence[Path]) -> Iterator[Run | None]:
    """What these folders hold; nothing of a sweep's experiment that has not begun."""
    return (_run(Archive(RunFolder(folder))) for folder in folders if (folder / _RECORD).exists())


def _run(source: Source) -> Run | None:
    experiment = source.experiment()
    score = score_of(experiment)
    return None if score is None else Run(experiment, tuple(source.history()), score)


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
