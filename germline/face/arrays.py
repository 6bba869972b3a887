"""A curve and a population as plain arrays; as tables where pandas is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from germline.cli.errors import needs_extra
from germline.client import HistoryPoint, Individual
from germline.face.errors import in_words
from germline.genome import format_id

if TYPE_CHECKING:
    from pandas import DataFrame

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)
_SHOWN = ("q00", "q10", "q50", "q90", "q100")


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The curve of a run, `P` points, oldest first.

    Attributes:
        evaluations: `[P]`, accepted so far.
        frames: `[P]`, emulator frames so far; outside of emulators, steps.
        running_s: `[P]`, seconds in which the experiment ran.
        fitness: `[P, 5]`, quantiles 0, 0.1, 0.5, 0.9 and 1 of the population's fitness.
        champion_mean: `[P]`, what is reported of the champion, or of the best measured centre; NaN while
            there is none.
    """

    evaluations: Counts
    frames: Counts
    running_s: Floats
    fitness: Floats
    champion_mean: Floats

    def __len__(self) -> int:
        return len(self.evaluations)

    @property
    def median(self) -> Floats:
        """`[P]`, the median of the population's fitness."""
        return self.fitness[:, QUANTILES.index(0.5)]

    @in_words
    def frame(self) -> DataFrame:
        """The same as a pandas table. Raises GermlineError where pandas is not installed."""
        with needs_extra("models"):
            from pandas import DataFrame
        columns = {"evaluations": self.evaluations, "frames": self.frames, "running_s": self.running_s}
        columns |= {name: self.fitness[:, place] for place, name in enumerate(_SHOWN)}
        return DataFrame({**columns, "champion_mean": self.champion_mean})

    @classmethod
    def of(cls, points: Sequence[HistoryPoint]) -> History:
        """Read points; a quantile that is not there is NaN."""
        fitness = np.full((len(points), len(QUANTILES)), np.nan)
        for row, point in zip(fitness, points, strict=True):
            row[: len(point.fitness_quantiles)] = point.fitness_quantiles
        means = [np.nan if point.champion_mean is None else point.champion_mean for point in points]
        return cls(
            np.array([point.evaluations for point in points], np.int64),
            np.array([point.frames for point in points], np.int64),
            np.array([point.running_s for point in points], np.float64),
            fitness,
            np.array(means, np.float64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Individuals:
    """Members of a population, `N` of them, best first.

    Attributes:
        ids: 16 hexadecimal digits each.
        fitness: `[N]`, what selection uses.
        mutations: `[N]`, lengths of their lines.
    """

    ids: tuple[str, ...]
    fitness: Floats
    mutations: Counts

    def __len__(self) -> int:
        return len(self.ids)

    @in_words
    def frame(self) -> DataFrame:
        """The same as a pandas table. Raises GermlineError where pandas is not installed."""
        with needs_extra("models"):
            from pandas import DataFrame
        return DataFrame({"id": self.ids, "fitness": self.fitness, "mutations": self.mutations})

    @classmethod
    def of(cls, individuals: Sequence[Individual]) -> Individuals:
        """Read individuals."""
        return cls(
            tuple(format_id(each.id) for each in individuals),
            np.array([each.fitness for each in individuals], np.float64),
            np.array([each.mutations for each in individuals], np.int64),
        )
