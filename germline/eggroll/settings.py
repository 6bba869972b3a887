"""What shapes a run of an evolution strategy, beside its first centre."""

from __future__ import annotations

import math
from dataclasses import dataclass

from germline import pairs as pairing
from germline import shaping
from germline.eggroll import update
from germline.eggroll.schedules import Schedule, value_at
from germline.shaping import ShapingName

_UINT64_END = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything, beside the first centre, that shapes a run.

    Attributes:
        pairs: antithetic pairs of an epoch; the population is twice that.
        seed: uint64; another seed is another run.
        rank: of the noise on matrices.
        sigma: standard deviation of the noise.
        learning_rate: step size; with ``sgd`` the share of sigma that a weight moves in an epoch.
        shaping: how fitness becomes weights, see :func:`germline.shaping.shape`; ``weighted_ranks`` is for
            those who shape it themselves, and tell an :class:`~germline.eggroll.Evolution`.
        group_pairs: pairs in a group, for the shaping ``group_mean``.
        noise_reuse: epochs that keep one set of noise; 1 draws new noise every epoch.
    """

    pairs: int
    seed: int
    rank: int = 1
    sigma: float | Schedule = 0.02
    learning_rate: float | Schedule = 1.0
    shaping: ShapingName = "centred_rank"
    group_pairs: int = 0
    noise_reuse: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be, by name."""
        self._check_numbers()
        for name in ("sigma", "learning_rate"):
            first = value_at(getattr(self, name), 0)
            if not (isinstance(first, float | int) and 0 < first < math.inf):
                raise ValueError(
                    f"{name} starts at {first!r}; allowed: finite and above 0, or a Decay or Ramp of such"
                )
        pairing.noise_epoch(0, self.noise_reuse)
        shaping.check(self.shaping, self.pairs, self.group_pairs)
        update.check_budget(self.rank, self.pairs, self.shaping)

    def expect_raw_fitness(self) -> None:
        """Refuse a shaping that takes rankings, for whoever tells the fitness as a task gives it.

        Raises:
            ValueError: it is ``weighted_ranks``.
        """
        if self.shaping == "weighted_ranks":
            others = ", ".join(name for name in shaping.SHAPINGS if name != self.shaping)
            raise ValueError(
                f"shaping is 'weighted_ranks', which takes rankings that novelty has a share in, and teaches "
                f"nothing by scores; allowed here: {others}"
            )

    def _check_numbers(self) -> None:
        """Whole numbers, in their bounds."""
        for name in ("pairs", "seed", "rank", "group_pairs", "noise_reuse"):
            if type(value := getattr(self, name)) is not int:
                raise ValueError(f"{name} is {value!r}; allowed: a whole number")
        for name in ("pairs", "rank"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} is {value}; allowed: at least 1")
        if not 0 <= self.seed < _UINT64_END:
            raise ValueError(f"seed is {self.seed}; allowed: 0 to 2**64 - 1")
