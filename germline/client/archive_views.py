"""What the archive holds, as plain frozen values: columns of equal length, named as in the messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from germline.archive import bands
from germline.archive.record import BEHAVIOUR_NUMBERS, Records, name_of
from germline.genome import Genome
from germline.v1 import experiment_pb2

_QUANTILES = ("q00", "q10", "q50", "q90", "q100")
_COUNTED = ("first", "end", "records", "frames", "running_s")


def _columns(kind: type[Any], message: object) -> dict[str, tuple[Any, ...]]:
    return {field.name: tuple(getattr(message, field.name)) for field in fields(kind)}


@dataclass(frozen=True, slots=True)
class Bands:
    """Bins of consecutive evaluations, with five quantiles of their fitness; columns of equal length."""

    first: tuple[int, ...]
    end: tuple[int, ...]
    records: tuple[int, ...]
    q00: tuple[float, ...]
    q10: tuple[float, ...]
    q50: tuple[float, ...]
    q90: tuple[float, ...]
    q100: tuple[float, ...]
    frames: tuple[int, ...]
    running_s: tuple[float, ...]

    @classmethod
    def of(cls, message: experiment_pb2.GetBandsResponse) -> Self:
        """Read the message."""
        return cls(**_columns(cls, message))

    @classmethod
    def of_arrays(cls, found: bands.Bands) -> Self:
        """Read what an archive was asked for by itself."""
        columns = {name: tuple(getattr(found, name).tolist()) for name in _COUNTED}
        quantiles = found.quantiles.T.tolist() or [[]] * len(_QUANTILES)
        return cls(**columns, **{name: tuple(each) for name, each in zip(_QUANTILES, quantiles, strict=True)})


@dataclass(frozen=True, slots=True)
class Evaluations:
    """Evaluations, column by column; `behaviour` has 8 numbers for each, of which `behaviours` count."""

    number: tuple[int, ...]
    individual: tuple[int, ...]
    parent: tuple[int, ...]
    mutation: tuple[int, ...]
    power: tuple[float, ...]
    rank: tuple[int, ...]
    seed: tuple[int, ...]
    fitness: tuple[float, ...]
    episodes: tuple[int, ...]
    frames: tuple[int, ...]
    cap_frames: tuple[int, ...]
    running_s: tuple[float, ...]
    worker: tuple[int, ...]
    flags: tuple[int, ...]
    behaviour: tuple[int, ...]
    behaviours: tuple[int, ...]

    @classmethod
    def of(cls, message: experiment_pb2.Evaluations) -> Self:
        """Read the message."""
        return cls(**_columns(cls, message))

    @classmethod
    def of_records(cls, numbers: NDArray[np.int64], records: Records) -> Self:
        """Read records of an archive."""
        behaviour = records["behaviour"].ravel().tolist()
        computed = {"number": numbers.tolist(), "running_s": (records["running_cs"] / 100).tolist()}
        plain = [field.name for field in fields(cls) if field.name not in (*computed, "behaviour")]
        columns = {name: records[name].tolist() for name in plain} | computed | {"behaviour": behaviour}
        return cls(**{name: tuple(column) for name, column in columns.items()})

    def __len__(self) -> int:
        return len(self.number)

    def names(self) -> Iterator[str]:
        """Who played each: 16 hexadecimal digits, or the epoch and the member."""
        return map(name_of, self.individual, self.flags)

    def behaviour_of(self, place: int) -> tuple[int, ...]:
        """What was done in one of them, 0 to 65535 each."""
        start = place * BEHAVIOUR_NUMBERS
        return self.behaviour[start : start + self.behaviours[place]]


@dataclass(frozen=True, slots=True)
class EvaluationsPage:
    """Some evaluations, and what to ask for the next page with; empty: there is none."""

    evaluations: Evaluations
    next: str

    @classmethod
    def of(cls, message: experiment_pb2.ListEvaluationsResponse) -> Self:
        """Read the message."""
        return cls(Evaluations.of(message.evaluations), message.next)


@dataclass(frozen=True, slots=True)
class Life:
    """An individual of any time; the attributes are those of the message."""

    genome: Genome | None
    no_genome: str
    evaluations: Evaluations
    evaluations_in_all: int
    children: Evaluations
    children_in_all: int
    best_child: float | None

    @classmethod
    def of(cls, message: experiment_pb2.GetLifeResponse) -> Self:
        """Read the message."""
        return cls(
            genome=Genome.decode(message.genome) if message.genome else None,
            no_genome=message.no_genome,
            evaluations=Evaluations.of(message.evaluations),
            evaluations_in_all=message.evaluations_in_all,
            children=Evaluations.of(message.children),
            children_in_all=message.children_in_all,
            best_child=message.best_child if message.HasField("best_child") else None,
        )


@dataclass(frozen=True, slots=True)
class Ancestors:
    """Individuals of a tree, column by column."""

    id: tuple[int, ...]
    parent: tuple[int, ...]
    born: tuple[int, ...]
    fitness: tuple[float, ...]
    depth: tuple[int, ...]
    living: tuple[int, ...]

    @classmethod
    def of(cls, message: experiment_pb2.Ancestors) -> Self:
        """Read the message."""
        return cls(**_columns(cls, message))


@dataclass(frozen=True, slots=True)
class Ancestry:
    """Where a population comes from; the attributes are those of the message."""

    trunk: Ancestors
    trunk_length: int
    gains: tuple[float, ...]
    common: int | None
    crown: Ancestors
    living: int
    moments: tuple[int, ...]
    shares: tuple[float, ...]
    sweeps: tuple[int, ...]
    champion: int

    @classmethod
    def of(cls, message: experiment_pb2.GetAncestryResponse) -> Self:
        """Read the message."""
        return cls(
            trunk=Ancestors.of(message.trunk),
            trunk_length=message.trunk_length,
            gains=tuple(message.gains),
            common=message.common if message.HasField("common") else None,
            crown=Ancestors.of(message.crown),
            living=message.living,
            moments=tuple(message.moments),
            shares=tuple(message.shares),
            sweeps=tuple(message.sweeps),
            champion=message.champion,
        )


@dataclass(frozen=True, slots=True)
class BehaviourAxes:
    """Where a map's axes lie: 8 weights of x, then 8 of y; the lowest and the highest place on each."""

    weights: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, message: experiment_pb2.BehaviourAxes) -> Self:
        """Read the message."""
        return cls(**_columns(cls, message))

    def message(self) -> experiment_pb2.BehaviourAxes:
        """Write the message."""
        return experiment_pb2.BehaviourAxes(weights=self.weights, low=self.low, high=self.high)


@dataclass(frozen=True, slots=True)
class BehaviourMap:
    """Cells in which anybody was; the attributes are those of the message."""

    axes: BehaviourAxes
    x: tuple[int, ...]
    y: tuple[int, ...]
    size: tuple[int, ...]
    best: tuple[float, ...]
    number: tuple[int, ...]
    individual: tuple[int, ...]
    newest: tuple[int, ...]
    evaluations: int
    numbers: int

    @classmethod
    def of(cls, message: experiment_pb2.GetBehaviourMapResponse) -> Self:
        """Read the message."""
        cells = ("x", "y", "size", "best", "number", "individual", "newest")
        columns = {name: tuple(getattr(message, name)) for name in cells}
        axes = BehaviourAxes.of(message.axes)
        return cls(axes=axes, evaluations=message.evaluations, numbers=message.numbers, **columns)
