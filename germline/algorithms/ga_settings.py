"""The genetic algorithm's settings: every number that shapes its search, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from germline.algorithms.cells import MapSettings
from germline.algorithms.novelty_settings import LARGEST_COMPETITION, NoveltySettings
from germline.genome import MAX_RANK, float32

Selection = Literal["truncation", "tournament"]
Replacement = Literal["oldest", "worst", "dominated"]
CapSchedule = Literal["constant", "progressive"]
PowerSchedule = Literal["constant", "linear", "exponential", "self_adapted"]

_LARGEST_COUNT = 10_000_000
LARGEST_POWER = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class GaSettings:
    """Settings of :class:`germline.algorithms.ga.GeneticAlgorithm`; the defaults are Uber's.

    Attributes:
        window: P, the size of the population: the last P results.
        parents: T, how many of the window's best breed under truncation; 0 is random search.
        selection: "truncation": a parent is any of the T best. "tournament": the best of `tournament_size`.
        tournament_size: how many members a tournament draws from the whole window.
        replacement: who leaves a full window: the "oldest" result, the "worst" one, or the one whose novelty
            is most "dominated", which makes a tournament of one Dominated Novelty Search.
        founders: how many random individuals open the run; None means as many as `window`.
        power: standard deviation of a mutation; the first one where it changes.
        power_schedule: "constant"; "linear" or "exponential" (to `final_power` in `power_evaluations` asks);
            "self_adapted": a child's power is its parent's times a log-normal factor, kept in its genome.
        final_power: where a schedule ends, or the least self-adapted power; otherwise ignored.
        power_evaluations: how many asks a schedule takes to get there.
        power_learning_rate: standard deviation of the log of the self-adapted factor.
        rank: rank of a mutation's matrices; 0 is dense.
        litter: L, how many children of one parent are asked in a row.
        episodes: episodes of one evaluation, of a new individual as of a candidate.
        candidates: how many individuals may be in validation at a time; 0 turns validation off, and the
            champion is then the best single evaluation.
        validation_episodes: V, the fresh episodes that an individual needs before it can be champion.
        validation_share: greatest share of asks that re-play candidates.
        starts: an episode seed for each start of a protocol that has finitely many; each is played at most
            once by an individual, and the champion plays all. Empty: episodes are without end.
        common_starts: new individuals all play the first `episodes` of the starts, not starts of their own.
        cap_frames: emulator frames after which the episodes of a new individual are cut; candidates and the
            champion play whole games. 0: nobody's are cut.
        cap_schedule: "constant"; "progressive": the cap begins at `cap_frames`, or at half of the length of
            the first games, and doubles when more than a quarter of the games hit it.
        frame_bonus: what each frame of a new individual's episodes adds to its fitness, under a cap.
        novelty: what novelty means to the search; None: nothing.
        cells: of MAP-Elites, whose population has a member for each of them instead of a window's; parents
            are any of them, all as likely. None: there is a window.
        normalise_observations: whether the run learns what observations are normalised by.
        founder: the initialisation seed of the only founder, whose weights are stored; it opens the run, and
            everybody descends from it. None: founders are random.
    """

    window: int = 1_000
    parents: int = 20
    selection: Selection = "truncation"
    tournament_size: int = 5
    replacement: Replacement = "oldest"
    founders: int | None = None
    power: float = 0.002
    power_schedule: PowerSchedule = "constant"
    final_power: float | None = None
    power_evaluations: int | None = None
    power_learning_rate: float = 0.2
    rank: int = 0
    litter: int = 1
    episodes: int = 1
    candidates: int = 10
    validation_episodes: int = 30
    validation_share: float = 0.2
    starts: tuple[int, ...] = ()
    common_starts: bool = False
    cap_frames: int = 0
    cap_schedule: CapSchedule = "constant"
    frame_bonus: float = 0.0
    novelty: NoveltySettings | None = None
    cells: MapSettings | None = None
    normalise_observations: bool = False
    founder: int | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense, by the field's name."""
        self._check_choices()
        self._check_counts()
        self._check_powers()
        self._check_behaviours()
        breeds = self.parents > 0 or not self.normalise_observations
        _require("parents", self.parents, breeds, "1 or more, where observations are normalised")
        share = self.validation_share
        _require("validation_share", share, 0 <= share < 1, "a number from 0 to below 1")

    @property
    def founder_count(self) -> int:
        """How many founders open the run."""
        if self.founder is not None:
            return 1
        return self.window if self.founders is None else self.founders

    @property
    def validates(self) -> bool:
        """Whether the champion is chosen by fresh episodes."""
        return self.candidates > 0

    @property
    def may_crown_at_once(self) -> bool:
        """Whether a new individual's first episodes can make it the champion."""
        return not self.validates or 0 < len(self.starts) <= self.episodes

    def _check_choices(self) -> None:
        choices = (
            *(("selection", Selection), ("replacement", Replacement)),
            *(("power_schedule", PowerSchedule), ("cap_schedule", CapSchedule)),
        )
        for field, allowed in choices:
            names = get_args(allowed)
            _require(field, getattr(self, field), getattr(self, field) in names, f"one of {', '.join(names)}")

    def _check_counts(self) -> None:
        positive = ("window", "tournament_size", "litter", "episodes", "validation_episodes")
        for field in positive:
            _require_count(field, getattr(self, field), least=1)
        _require_count("parents", self.parents, least=0, greatest=self.window)
        _require_count("founders", self.founder_count, least=1)
        knows_starts = bool(self.starts) or not self.common_starts
        _require("common_starts", self.common_starts, knows_starts, "false without starts")
        _require_count("candidates", self.candidates, least=1 if self.starts else 0)
        distinct = len(set(self.starts)) == len(self.starts)
        _require("starts", self.starts, distinct, "episode seeds that differ from each other")
        _require_count("rank", self.rank, least=0, greatest=MAX_RANK)
        _require_count("cap_frames", self.cap_frames, least=0)
        validates = self.candidates > 0 or not (self.cap_frames or self.cap_schedule == "progressive")
        _require("candidates", self.candidates, validates, "1 or more under a cap")
        is_allowed = self.frame_bonus == 0 or (self.cap_frames > 0 and 0 < self.frame_bonus < math.inf)
        _require("frame_bonus", self.frame_bonus, is_allowed, "0, or a positive number under cap_frames")

    def _check_behaviours(self) -> None:
        """Behaviours of games that were cut at different caps are not compared; tournaments need parents."""
        compete = self.novelty is not None and self.novelty.objective == "dominated"
        fits = compete or self.replacement != "dominated"
        _require("replacement", self.replacement, fits, "oldest or worst, unless the objective is dominated")
        if self.replacement == "dominated":
            _require_count("window", self.window, least=1, greatest=LARGEST_COMPETITION)
        if self.novelty is None and self.cells is None:
            return
        one = self.novelty is None or self.cells is None
        _require("novelty", self.novelty, one, "none beside the cells of MAP-Elites")
        is_whole = not self.cap_frames and self.cap_schedule == "constant"
        _require("cap_frames", self.cap_frames, is_whole, "0, no cap, where behaviours are compared")
        _require("parents", self.parents, self.parents > 0, "1 or more, where behaviours are compared")
        if self.novelty is not None and self.novelty.chooses:
            _require("selection", self.selection, self.selection == "tournament", "tournament")

    def _check_powers(self) -> None:
        _require_power("power", self.power)
        _require_power("power_learning_rate", self.power_learning_rate)
        if self.power_schedule == "constant":
            return
        if self.final_power is None:
            raise ValueError(f"final_power is missing; power_schedule {self.power_schedule!r} needs it")
        _require_power("final_power", self.final_power)
        if self.power_schedule == "self_adapted":
            _require("final_power", self.final_power, self.final_power <= self.power, f"at most {self.power}")
        elif self.power_evaluations is None:
            raise ValueError(f"power_evaluations is missing; power_schedule {self.power_schedule!r} needs it")
        else:
            _require_count("power_evaluations", self.power_evaluations, least=1, greatest=10**15)


def _require(field: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{field} is {value!r}; allowed: {allowed}")


def _require_count(field: str, value: int, *, least: int, greatest: int = _LARGEST_COUNT) -> None:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    _require(field, value, is_count and least <= value <= greatest, f"a whole number in {least}..{greatest}")


def _require_power(field: str, value: float) -> None:
    sane = math.isfinite(value) and 0 < value <= LARGEST_POWER and float32(value) > 0
    _require(field, value, sane, f"a number above 0 and at most {LARGEST_POWER:g}")
