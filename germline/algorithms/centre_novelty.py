"""Novelty for an evolution strategy: NS-ES, NSR-ES and NSRA-ES (arXiv 1712.06560) on exact sums.

An individual's novelty is its mean distance to its k nearest neighbours among the measured centres of the
past. An epoch's utilities are whole numbers, ``w rank(reward) + (64 - w) rank(novelty)``, computed once, when
the epoch closes, so nothing depends on the order in which results come. Several centres take turns: the more
novel a centre was when it was measured last, the likelier it is next.

As the authors do, all centres are measured first, and after each update the centre that has moved: an epoch
without pairs, in which nothing else can be played, since what it did decides who is next. (They measure the
centres that have not moved again, too, which tells the same where a policy meets no luck.)

    measure 0, 1, 2 --> pairs around one of them --> measure it --> pairs around the next one --> ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from germline.algorithms.base import JsonValue
from germline.algorithms.draws import Dice, below
from germline.algorithms.neighbours import FARTHEST, Archive, nearest_mean
from germline.behaviour import BYTES, unpack
from germline.shaping import WHOLE, weighted_ranks

Objective = Literal["novelty", "mixed", "adaptive"]
Measured = Literal["after_update", "own_epoch"]
_TURN_TICKET = 2**63  # added to an epoch's number: no piece of work has such a ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreNoveltySettings:
    """What novelty means to an evolution strategy.

    Attributes:
        dimensions: whole numbers of a behaviour.
        objective: "novelty": its ranks alone (NS-ES). "mixed": reward's, too, at a fixed weight (NSR-ES).
            "adaptive": at a weight that follows success (NSRA-ES).
        centres: M, how many take turns.
        neighbours: k.
        archive_size: measured centres that are kept, the last ones.
        weight: 64ths of reward in "mixed".
        weight_step: by how many 64ths "adaptive" moves it.
        patience: updates without a better centre after which "adaptive" moves it down.
        measured: when a centre is measured. "after_update": in an epoch of its own, as soon as it has moved,
            as in the paper. "own_epoch": beside the pairs of its own next epoch, which costs nobody any
            waiting, and is how searches of earlier builds go on.
    """

    dimensions: int
    objective: Objective = "novelty"
    centres: int = 3
    neighbours: int = 10
    archive_size: int = 10_000
    weight: int = 32
    weight_step: int = 3
    patience: int = 50
    measured: Measured = "after_update"

    def __post_init__(self) -> None:
        """Refuse what makes no sense, by the field's name."""
        for field, names in (("objective", get_args(Objective)), ("measured", get_args(Measured))):
            if getattr(self, field) not in names:
                raise ValueError(f"{field} is {getattr(self, field)!r}; allowed: one of {', '.join(names)}")
        for field in ("dimensions", "centres", "neighbours", "archive_size", "weight_step", "patience"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}; allowed: at least 1")
        if not 0 <= self.weight <= WHOLE:
            raise ValueError(f"weight is {self.weight}; allowed: 0 to {WHOLE}")

    @property
    def first_weight(self) -> int:
        """How much reward counts at the start, in 64ths."""
        return {"novelty": 0, "mixed": self.weight, "adaptive": WHOLE}[self.objective]

    def shape(self) -> dict[str, JsonValue]:
        """What must be the same for a snapshot to make sense; the first ones knew one way of measuring."""
        shape: dict[str, JsonValue] = asdict(self)
        if self.measured == "own_epoch":
            del shape["measured"]
        return shape


class CentreNovelty:
    """What is known of the centres, and what that makes of an epoch.

    Attributes:
        archive: behaviours of measured centres, by their epochs.
        turn: which centre's epoch is open.
        only_measures: whether that epoch measures its centre alone, or has its pairs alone; None where each
            epoch does both.
        weight: how much reward counts, in 64ths.
    """

    def __init__(self, settings: CentreNoveltySettings, seed: int) -> None:
        """Begin with the first centre."""
        self.settings = settings
        self.archive = Archive(settings.dimensions, settings.archive_size)
        self.turn, self.weight = 0, settings.first_weight
        self.only_measures = True if settings.measured == "after_update" else None
        self._seed = seed
        self._idle = 0
        self._record: float | None = None
        self._last: dict[int, tuple[int, bytes]] = {}  # of each centre: when it was measured, what it did

    def check(self, behaviour: bytes, members: int) -> None:
        """Raise ValueError unless this is the behaviour of so many."""
        size = members * BYTES * self.settings.dimensions
        if len(behaviour) != size:
            raise ValueError(f"behaviour has {len(behaviour)} bytes; allowed: {size}")

    def measured(self, epoch: int, behaviour: bytes, mean: float) -> None:
        """The open epoch's centre was measured; said when the epoch closes."""
        self.archive.add(epoch, behaviour)
        self._last[self.turn] = epoch, behaviour
        self._idle += 1
        if self._record is None or mean > self._record:
            is_first, self._record = self._record is None, mean
            self._move(0 if is_first else 1)
        elif self._idle >= self.settings.patience:
            self._move(-1)

    def utilities(self, fitness: Sequence[float], behaviours: Sequence[bytes]) -> tuple[float, ...]:
        """What moves the centre: whole numbers, NaN for a member that is missing, with or without a score."""
        novelty = [float(self._novelty(told)) if told else np.nan for told in behaviours]
        summed = weighted_ranks((fitness, novelty), (self.weight, WHOLE - self.weight))
        return tuple(summed.tolist())

    def take_turns(self, epoch: int) -> int:
        """Which centre is next after this epoch: first each once, then by how novel each was."""
        waiting = [centre for centre in range(self.settings.centres) if centre not in self._last]
        if self.only_measures is False:  # this centre has moved, and is measured before anything else
            self.only_measures = True
            return self.turn
        self.turn = waiting[0] if waiting else self._drawn(epoch)
        if self.only_measures:
            self.only_measures = bool(waiting)
        return self.turn

    def _drawn(self, epoch: int) -> int:
        """A centre, with a chance in proportion to its novelty; all alike where none has any."""
        novelties = [
            self._novelty(behaviour, without=when) for _, (when, behaviour) in sorted(self._last.items())
        ]
        shares = [1 if share == FARTHEST else share for share in novelties]
        shares = shares if any(shares) else [1] * len(shares)
        die = below(Dice(self._seed, _TURN_TICKET + epoch).parent, sum(shares))
        place = 0
        while die >= shares[place]:
            die -= shares[place]
            place += 1
        return place

    def _novelty(self, behaviour: bytes, without: int | None = None) -> int:
        squares = self.archive.behaviours.squares(unpack(behaviour), without=without)
        return nearest_mean(squares, self.settings.neighbours)

    def _move(self, direction: int) -> None:
        """Success lets "adaptive" count reward more, a long time without it less."""
        self._idle = 0
        if self.settings.objective == "adaptive":
            moved = self.weight + direction * self.settings.weight_step
            self.weight = min(WHOLE, max(0, moved))

    def snapshot(self) -> dict[str, JsonValue]:
        """The whole state as JSON values."""
        return {
            "archive": [[epoch, behaviour.hex()] for epoch, behaviour in self.archive],
            "turn": self.turn,
            "weight": self.weight,
            "idle": self._idle,
            "record": self._record,
            "last": [[centre, when, told.hex()] for centre, (when, told) in sorted(self._last.items())],
            **({} if self.only_measures is None else {"only_measures": self.only_measures}),
        }

    def restore(self, written: dict[str, Any]) -> None:
        """Become what :meth:`snapshot` wrote."""
        for epoch, behaviour in written["archive"]:
            self.archive.add(epoch, bytes.fromhex(behaviour))
        self.turn, self.weight = int(written["turn"]), int(written["weight"])
        self._idle, self._record = int(written["idle"]), written["record"]
        self._last = {centre: (when, bytes.fromhex(told)) for centre, when, told in written["last"]}
        self.only_measures = written.get("only_measures")
