"""What networks see of observations that are normalised, and what is told of what they saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from germline.genome import Genome
from germline.normalisation import CLIP, Normalisation, Version, of_epoch, of_genome
from germline.observed import LARGEST, MOST_NUMBERS, Observed
from worker.networks.forward.base import ActiveRows
from worker.networks.population import Individual
from worker.tasks.base import Observations, SetupError, Spaces

Floats = npt.NDArray[np.float32]


class Versions:
    """The versions of one run, as its master says them: who plays under which.

    The event loop replaces them while the playing thread looks.
    """

    def __init__(self) -> None:
        """Know none."""
        self._versions: Sequence[Version] = ()

    def learn(self, versions: Sequence[Version]) -> None:
        """Know these from now on: all that there are."""
        self._versions = tuple(versions)

    def numbers_of(self, individual: Individual) -> Normalisation | None:
        """The numbers that an individual plays under; None if it sees what the task shows.

        Raises:
            ValueError: if its genome names a version that nobody told of.
        """
        if isinstance(individual, Genome):
            return of_genome(individual, self._versions)
        return of_epoch(individual.epoch, self._versions)


class NormaliserSettings(NamedTuple):
    """Whether, and by what, networks see normalised observations.

    Attributes:
        numbers: that everybody plays under; None for none.
        learns: whether a run learns them instead, and is told what was seen.
        versions: then, who plays under which; None where no run is near that says so.
    """

    numbers: Normalisation | None = None
    learns: bool = False
    versions: Versions | None = None

    def maker(self, spaces: Spaces) -> Callable[[int, int], Normaliser] | None:
        """What makes a normaliser for so many slots and rows; None where nothing is normalised.

        Raises:
            SetupError: if the task shows other than vectors, or a run learns that is not here.
        """
        if self.numbers is None and not self.learns:
            return None
        self.check(spaces)
        versions, numbers = self.versions, self.numbers
        if self.learns and versions is None:
            raise SetupError(
                "policy.normalise_observations is learned in a run; a policy that plays by itself has its "
                "numbers in [policy.normalisation], as its card says them"
            )
        find = versions.numbers_of if versions is not None else lambda _: numbers
        return lambda slots, rows: Normaliser(find, spaces, slots, rows, tells=self.learns)

    def check(self, spaces: Spaces) -> None:
        """Raise SetupError if observations are to be normalised that are no vectors of so many numbers."""
        shape, kind = spaces.observation_shape, spaces.observation_dtype
        if self.numbers is None and not self.learns:
            return
        if len(shape) != 1 or kind != np.float32 or shape[0] > MOST_NUMBERS:
            raise SetupError(
                f"policy.normalise_observations is for vectors of up to {MOST_NUMBERS:,} numbers; the task "
                f"shows {kind} of shape {shape}"
            )
        if self.numbers is not None and len(self.numbers.mean) != shape[0]:
            raise SetupError(
                f"policy.normalisation has {len(self.numbers.mean)} numbers; the task shows {shape[0]}"
            )


AS_SHOWN = NormaliserSettings()
"""Nothing is normalised."""


class Normaliser:
    """Stands between the lanes and a population of so many slots and rows.

    Every number is computed by itself, in float32, by operations that IEEE-754 fixes: the same on every
    machine, beside whatever other slots see.
    """

    def __init__(
        self,
        numbers_of: Callable[[Individual], Normalisation | None],
        spaces: Spaces,
        slots: int,
        rows: int,
        *,
        tells: bool = False,
    ) -> None:
        """Allocate.

        Args:
            numbers_of: says what an individual plays under.
            spaces: what the task shows.
            slots: individuals at a time.
            rows: episodes of each at a time.
            tells: whether anybody wants to know what was seen.
        """
        (size,) = spaces.observation_shape
        self._tells = tells
        self._numbers_of, self._size = numbers_of, size
        self._mean = np.zeros((slots, 1, size), np.float32)
        self._deviation = np.ones((slots, 1, size), np.float32)
        self._is_normalised = np.zeros(slots, np.bool_)
        self._is_observed = np.zeros(slots, np.bool_)
        self._counts = np.zeros((slots, rows), np.int64)
        self._sums = np.zeros((slots, rows, size))
        self._squares = np.zeros((slots, rows, size))

    def begin(self, slot: int, individual: Individual, *, is_observed: bool = False) -> None:
        """An individual begins to play in a slot; `is_observed`: what it sees is told.

        Raises:
            ValueError: if nobody knows by what it normalises, or if that is of another size.
        """
        numbers = self._numbers_of(individual)
        if numbers is not None and len(numbers.mean) != self._size:
            sizes = f"{len(numbers.mean)} numbers, but an observation has {self._size}"
            raise ValueError(f"the normalisation has {sizes}")
        self._is_normalised[slot], self._is_observed[slot] = numbers is not None, self._tells and is_observed
        self._counts[slot], self._sums[slot], self._squares[slot] = 0, 0.0, 0.0
        if numbers is not None:
            self._mean[slot], self._deviation[slot] = numbers.mean, numbers.deviation

    def see(self, observations: Observations, active: ActiveRows) -> Observations:
        """What networks see of observations, `[slots, rows, size]`; those of active rows are noted."""
        self._note(observations, active & self._is_observed[:, np.newaxis])
        if not self._is_normalised.any():
            return observations
        shown = cast("Floats", observations)
        with np.errstate(invalid="ignore", over="ignore"):  # of a task that shows what is no number
            normalised = np.clip((shown - self._mean) / self._deviation, -CLIP, CLIP)
        return np.where(self._is_normalised[:, np.newaxis, np.newaxis], normalised, shown)

    def _note(self, observations: Observations, rows: ActiveRows) -> None:
        if not rows.any():
            return
        finite = np.nan_to_num(observations[rows].astype(np.float64))
        seen = np.clip(finite, -LARGEST, LARGEST)
        self._counts[rows] += 1
        self._sums[rows] += seen
        self._squares[rows] += seen * seen

    def told(self, slot: int) -> bytes:
        """What the individual in a slot saw in all of its episodes, to be told; empty if it is not asked."""
        if not self._is_observed[slot]:
            return b""
        sums, squares = np.zeros(self._size), np.zeros(self._size)
        for row_sums, row_squares in zip(self._sums[slot], self._squares[slot], strict=True):
            sums, squares = sums + row_sums, squares + row_squares
        return Observed(int(self._counts[slot].sum()), sums, squares).pack()
