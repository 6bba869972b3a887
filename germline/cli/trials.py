"""Trials of a sweep and replicates of a run, as experiments of one fleet: their specs, names and scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rich.table import Table

from germline.cli.axes import Trial
from germline.cli.beginning import Wanted
from germline.cli.folder import reading
from germline.cli.output import Json
from germline.cli.words import number
from germline.client import Experiment, Individual
from germline.spec import with_settings
from germline.statistics import interquartile_mean
from germline.toml import write_value
from germline.v1 import spec_pb2

NOTE = "sweep.json"
"""In the folder of many experiments: which trials there are, what each changes, and its experiments."""

_SHOWN = 15  # lines of a table on a terminal


@dataclass(frozen=True, slots=True)
class Plan:
    """What all the trials have in common.

    Attributes:
        name: of the whole; each experiment's name begins with it.
        table: the spec as its TOML says it.
        source: what the spec is called in problems.
        folder: from which the files that the spec names are seen.
        seed: of the first replicate; each further one has the next seed.
        replicates: experiments of each trial.
        evaluations: complete after so many; None: as the spec says.
    """

    name: str
    table: Mapping[str, object]
    source: str
    folder: Path
    seed: int
    replicates: int = 1
    evaluations: int | None = None

    def specs(self, trial: Trial) -> Iterator[spec_pb2.ExperimentSpec]:
        """The complete specs of a trial's experiments. Raises SpecError."""
        for replicate in range(self.replicates):
            own = {"name": self._name(trial, replicate), "seed": self.seed + replicate}
            spec = with_settings(self.table, {**trial.changes, **own}, self.source, self.folder)
            yield Wanted.of(spec, self.evaluations, self.source).spec

    def _name(self, trial: Trial, replicate: int) -> str:
        """Names sort as the trials and the replicates do."""
        name = f"{self.name}-{trial.number:03d}" if trial.changes else self.name
        return f"{name}-r{replicate + 1:02d}" if self.replicates > 1 else name


@dataclass(slots=True)
class Member:
    """One experiment of a trial, as it stands; once it is over, its score and its best individual."""

    spec: spec_pb2.ExperimentSpec
    experiment: Experiment
    value: float | None = None
    best: Individual | None = None

    @property
    def is_over(self) -> bool:
        """Whether it goes on no more."""
        return self.experiment.is_over


@dataclass(slots=True)
class Tally:
    """A trial and its experiments; `told` once its search has heard of it."""

    trial: Trial
    members: list[Member] = field(default_factory=list)
    told: bool = False

    @property
    def is_over(self) -> bool:
        """Whether all its experiments are."""
        return all(member.is_over for member in self.members)

    @property
    def value(self) -> float | None:
        """The interquartile mean of its experiments' scores; None before the last has one."""
        values = [member.value for member in self.members if member.value is not None]
        return interquartile_mean(values) if values and len(values) == len(self.members) else None

    @property
    def label(self) -> str:
        """What the trial changes, in short."""
        changes = (
            f"{path.rpartition('.')[2]}={write_value(value)}" for path, value in self.trial.changes.items()
        )
        return ", ".join(changes) or "as the spec says"

    def as_json(self) -> dict[str, Json]:
        """For programs, and for whoever goes on with the sweep."""
        return {
            "trial": self.trial.number,
            "label": self.label,
            "changes": cast("dict[str, Json]", dict(self.trial.changes)),
            "experiments": [member.spec.name for member in self.members],
            "values": [member.value for member in self.members],
            "value": self.value,
        }


def score_of(experiment: Experiment) -> float | None:
    """What an experiment is worth: its champion's validated mean, or else its best single score."""
    champion = experiment.champion
    validated = champion.validated_mean if champion is not None else None
    return experiment.best_fitness if validated is None else validated


def ranked(tallies: Sequence[Tally]) -> list[Tally]:
    """Best first; what has no score yet comes last."""
    scored = [tally for tally in tallies if tally.value is not None]
    rest = [tally for tally in tallies if tally.value is None]
    return [*sorted(scored, key=lambda tally: -(tally.value or 0.0)), *rest]


def table_of(tallies: Sequence[Tally]) -> Table:
    """The trials for people, best first."""
    table = Table("trial", "settings", "score", "evaluations", "state", box=None, header_style="dim")
    for tally in ranked(tallies)[:_SHOWN]:
        evaluations = sum(member.experiment.evaluations for member in tally.members)
        states = sorted({member.experiment.state for member in tally.members})
        row = (
            f"{tally.trial.number:03d}",
            tally.label,
            number(tally.value),
            f"{evaluations:,}",
            ", ".join(states),
        )
        table.add_row(*row)
    if len(tallies) > _SHOWN:
        table.add_row("", f"and {len(tallies) - _SHOWN} more")
    return table


def noted(folder: Path) -> list[dict[str, Any]]:
    """What a sweep in this folder noted; empty if there was none."""
    if not (folder / NOTE).exists():
        return []
    with reading(folder / NOTE) as found:
        trials: list[dict[str, Any]] = [
            {
                "trial": each["trial"],
                "changes": each["changes"],
                "label": each["label"],
                "experiments": each["experiments"],
            }
            for each in found
        ]
        return trials
