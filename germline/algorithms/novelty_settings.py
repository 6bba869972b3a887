"""Settings of a search by novelty, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from germline.behaviour import MOST_DIMENSIONS

Objective = Literal["novelty", "mixed", "adaptive", "dominated", "tie_break"]
LARGEST_ARCHIVE = 100_000
"""A rule that bounds what an individual costs: with 32 numbers each, 1.6 ms on one core."""
LARGEST_COMPETITION = 10_000
"""How many may compete for their places by dominated novelty: each that comes is compared with all."""
WHOLE = 64
"""The weight of reward where nothing else counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoveltySettings:
    """What novelty means to a genetic algorithm.

    Attributes:
        dimensions: whole numbers of a behaviour.
        objective: who wins a tournament. "novelty": the most novel (GA-NS, Such et al. 2018, algorithm 2).
            "mixed": the best weighted sum of both ranks among the contestants (NSR, arXiv 1712.06560).
            "adaptive": the same with a weight that follows success (NSRA). "dominated": whoever is furthest
            from those that are at least as fit (Dominated Novelty Search, arXiv 2502.00593). "tie_break": not
            tournaments but the plain algorithm, where novelty decides between equal returns.
        neighbours: k, over how many nearest the mean distance is taken.
        archive_share: chance p that a new individual's behaviour is put into the archive.
        archive_size: how many behaviours the archive keeps; the oldest leaves.
        weight: 64ths of reward in "mixed": 64 is reward alone, 0 is novelty alone.
        weight_step: by how many 64ths "adaptive" moves the weight: up with a new champion, down without.
        patience: evaluations without a new champion after which "adaptive" moves it down.
    """

    dimensions: int
    objective: Objective = "novelty"
    neighbours: int = 25
    archive_share: float = 0.01
    archive_size: int = 10_000
    weight: int = 32
    weight_step: int = 3
    patience: int = 1_000

    def __post_init__(self) -> None:
        """Refuse what makes no sense, by the field's name."""
        names = get_args(Objective)
        _require("objective", self.objective, self.objective in names, f"one of {', '.join(names)}")
        share = self.archive_share
        _require("archive_share", share, 0 <= share <= 1, "a number from 0 to 1")
        for field, least, most in (
            ("dimensions", 1, MOST_DIMENSIONS),
            ("neighbours", 1, 1_000),
            ("archive_size", 1, LARGEST_ARCHIVE),
            ("weight", 0, WHOLE),
            ("weight_step", 1, WHOLE),
            ("patience", 1, 10**9),
        ):
            value = getattr(self, field)
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            _require(field, value, is_whole and least <= value <= most, f"a whole number in {least}..{most}")

    @property
    def chooses(self) -> bool:
        """Whether parents are chosen by it, in tournaments."""
        return self.objective != "tie_break"


def _require(field: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{field} is {value!r}; allowed: {allowed}")
