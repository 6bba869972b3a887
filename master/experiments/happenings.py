"""What happened to an experiment that people will ask about later: replayed exactly, and bounded.

All of it is in the journal or follows from it, so this is kept as the counters are: in the snapshot, and
counted again from the entries behind it.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from typing import Any, Final, NamedTuple

from germline.algorithms.base import JsonValue, NewChampion
from germline.algorithms.centres import NewBestCentre
from germline.genome import format_id
from germline.v1 import spec_pb2
from master.experiments.events import (
    Discarded,
    Event,
    MasterStarted,
    MembersTold,
    Quarantined,
    Released,
    State,
    StateChanged,
    StopChanged,
)

NOTED: Final = frozenset(
    {StateChanged, StopChanged, MasterStarted, Quarantined, Released, Discarded, MembersTold}
)
"""Events that are looked at here."""
MOST_OF_A_KIND: Final = 50
"""So many are remembered of each kind, the last ones: what happens often never hides what happens seldom."""
_LONGEST: Final = 300  # characters of a sentence


class Kind(enum.IntEnum):
    """What sort of thing happened; the numbers are those of germline.v1.EventKind."""

    STATE = 1
    STOP = 2
    MASTER = 3
    QUARANTINE = 4
    SET_ASIDE = 5
    CHAMPION = 6
    CAP = 7


class Happening(NamedTuple):
    """One thing that happened; see germline.v1.ExperimentEvent.

    Attributes:
        number: of all that ever happened to the experiment, from 1.
        kind: a :class:`Kind`.
        text: for people.
        time: seconds since 1970; 0 where the journal does not say.
        evaluations: accepted by then.
        frames: emulator frames by then.
        running_s: running time by then.
    """

    number: int
    kind: int
    text: str
    time: float
    evaluations: int
    frames: int
    running_s: float


class Happenings:
    """The last of each kind.

    Attributes:
        count: how many there ever were.
        running_s: running time of the experiment by its last event that says so: the same in a replay.
    """

    def __init__(self) -> None:
        self.count = 0
        self.running_s = 0.0
        self._kept: dict[int, deque[Happening]] = {}

    def __iter__(self) -> Iterator[Happening]:
        """Yield those that are remembered, oldest first."""
        return merge(*self._kept.values())

    def add(self, kind: Kind, text: str, evaluations: int, frames: int, time: float = 0.0) -> None:
        """Something happened, after so many evaluations and frames."""
        self.count += 1
        kept = self._kept.setdefault(kind, deque(maxlen=MOST_OF_A_KIND))
        place = evaluations, frames, self.running_s
        kept.append(Happening(self.count, kind, text[:_LONGEST], time, *place))

    def snapshot(self) -> dict[str, JsonValue]:
        """Everything as JSON values."""
        return {
            "happened": self.count,
            "happened_s": self.running_s,
            "happenings": [list(each) for each in self],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Become what :meth:`snapshot` wrote; snapshots of earlier builds have nothing of it."""
        self.count, self._kept = snapshot.get("happened", 0), {}
        self.running_s = snapshot.get("happened_s", snapshot["running_s"])
        for each in map(Happening._make, snapshot.get("happenings", ())):
            self._kept.setdefault(each.kind, deque(maxlen=MOST_OF_A_KIND)).append(each)


def of_event(event: Event) -> tuple[Kind, str, float] | None:
    """What an entry of the journal says by itself, and when it was; None for one that people need not see."""
    match event:
        case StateChanged(state, time, _, trouble):
            word = "it goes on" if state is State.RUNNING else f"it is {state.name.lower()}"
            return Kind.STATE, f"{word}: {trouble}" if trouble else word, time
        case StopChanged(stop):
            return Kind.STOP, f"its end was changed: {_conditions(stop)}", 0.0
        case MasterStarted(time, took_over):
            return Kind.MASTER, "a waiting master took over" if took_over else "the master started anew", time
    return _of_distrust(event)


def _of_distrust(event: Event) -> tuple[Kind, str, float] | None:
    match event:
        case Quarantined(worker, reason, time):
            return Kind.QUARANTINE, f"worker {worker} is in quarantine: {reason}", time
        case Released(worker):
            return Kind.QUARANTINE, f"worker {worker} is out of quarantine", 0.0
        case Discarded(_, tickets):
            text = f"{len(tickets)} results do not count: their worker's centre was not the others'"
            return Kind.QUARANTINE, text, 0.0
    return None


def of_search(events: Sequence[object]) -> Iterator[str]:
    """What became of the search's best, in words."""
    for event in events:
        if isinstance(event, NewChampion):
            mutations = "1 mutation" if len(event.genome) == 1 else f"{len(event.genome)} mutations"
            yield f"the new champion is {format_id(event.genome.id)}, of {mutations}"
        elif isinstance(event, NewBestCentre):
            yield f"the centre after {event.centre.epoch} epochs is the best so far"


def of_cap(before: int, now: int) -> str:
    """Games of new individuals are cut at another place."""
    instead = f"no longer after {before:,}" if before else "no longer played to their end"
    return f"games of new individuals are cut after {now:,} frames, {instead}"


def _conditions(encoded: bytes) -> str:
    given = spec_pb2.Stop.FromString(encoded).ListFields()
    words = [f"stop.{field.name} is {value:,.10g}" for field, value in given if math.isfinite(value)]
    return " or ".join(words) or "it runs until it is stopped"
