"""The genetic algorithm's settings: every number that shapes its search, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from germline.genome import MAX_RANK

Selection = Literal["truncation", "tournament"]
Replacement = Literal["oldest", "worst"]
PowerRule = Literal["constant", "linear", "exponential", "self-adapted"]

_LARGEST_COUNT = 10_000_000
_LARGEST_POWER = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class GaSettings:
    """Settings of :class:`germline.algorithms.ga.GeneticAlgorithm`; the defaults are Uber's.

    Attributes:
        window: P, the size of the population: the last P results.
        parents: T, how many of the window's best breed under truncation; 0 is random search.
        selection: "truncation": a parent is any of the T best. "tournament": the best of `tournament` drawn.
        tournament: how many members a tournament draws from the window.
        replacement: who leaves a full window: the "oldest" result or the "worst" one.
        founders: how many random individuals open the run; None means as many as `window`.
        champion_parent: whether the champion breeds beside the selected parents.
        power: standard deviation of a mutation; the first one where it changes.
        power_rule: "constant"; "linear" or "exponential" (towards `power_end` within `power_evaluations`
            asks); "self-adapted": a child's power is its parent's times a log-normal factor, and travels in
            its genome.
        power_end: the scheduled power's last value; ignored by the other rules.
        power_evaluations: how many asks a scheduled power takes to get there.
        power_adaptation: standard deviation of the log of the self-adapted factor.
        power_min: least self-adapted power.
        power_max: greatest self-adapted power.
        rank: rank of a mutation's matrices; 0 is dense.
        litter: L, how many children of one parent are asked in a row.
        episodes: episodes of one evaluation, of a new individual as of a candidate.
        candidates: how many individuals may be in validation at a time; 0 turns validation off, and the
            champion is then the best single evaluation.
        validation_episodes: V, the fresh episodes that an individual needs before it can be champion.
        validation_share: greatest share of asks that re-play candidates.
    """

    window: int = 1_000
    parents: int = 20
    selection: Selection = "truncation"
    tournament: int = 50
    replacement: Replacement = "oldest"
    founders: int | None = None
    champion_parent: bool = True
    power: float = 0.002
    power_rule: PowerRule = "constant"
    power_end: float = 0.0
    power_evaluations: int = 0
    power_adaptation: float = 0.2
    power_min: float = 1e-6
    power_max: float = 1.0
    rank: int = 0
    litter: int = 1
    episodes: int = 1
    candidates: int = 10
    validation_episodes: int = 30
    validation_share: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what makes no sense, by the field's name."""
        self._check_choices()
        self._check_counts()
        self._check_powers()
        _require("validation_share", self.validation_share, 0 <= self.validation_share < 1, "0 <= share < 1")

    @property
    def founder_count(self) -> int:
        """How many random individuals open the run."""
        return self.window if self.founders is None else self.founders

    @property
    def validates(self) -> bool:
        """Whether the champion is chosen by fresh episodes."""
        return self.candidates > 0

    def _check_choices(self) -> None:
        choices = (("selection", Selection), ("replacement", Replacement), ("power_rule", PowerRule))
        for field, allowed in choices:
            names = get_args(allowed)
            _require(field, getattr(self, field), getattr(self, field) in names, f"one of {', '.join(names)}")

    def _check_counts(self) -> None:
        positive = ("window", "tournament", "litter", "episodes", "validation_episodes")
        for field in positive:
            _require_count(field, getattr(self, field), least=1)
        _require_count("parents", self.parents, least=0, greatest=self.window)
        _require_count("founder_count", self.founder_count, least=1)
        _require_count("candidates", self.candidates, least=0, greatest=self.window)
        _require_count("rank", self.rank, least=0, greatest=MAX_RANK)

    def _check_powers(self) -> None:
        _require_power("power", self.power)
        if self.power_rule in ("linear", "exponential"):
            _require_power("power_end", self.power_end, zero_allowed=self.power_rule == "linear")
            _require_count("power_evaluations", self.power_evaluations, least=1, greatest=10**12)
        if self.power_rule == "self-adapted":
            _require_power("power_min", self.power_min)
            _require_power("power_max", self.power_max)
            _require_power("power_adaptation", self.power_adaptation)
            ordered = self.power_min <= self.power <= self.power_max
            _require(
                "power",
                self.power,
                ordered,
                f"within power_min..power_max, {self.power_min}..{self.power_max}",
            )


def _require(field: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{field} is {value!r}; allowed: {allowed}")


def _require_count(field: str, value: int, *, least: int, greatest: int = _LARGEST_COUNT) -> None:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    _require(field, value, is_count and least <= value <= greatest, f"a whole number in {least}..{greatest}")


def _require_power(field: str, value: float, *, zero_allowed: bool = False) -> None:
    finite = math.isfinite(value) and value <= _LARGEST_POWER
    above = value >= 0 if zero_allowed else value >= 1e-30
    _require(
        field, value, finite and above, f"a number in {'0' if zero_allowed else '1e-30'}..{_LARGEST_POWER:g}"
    )
