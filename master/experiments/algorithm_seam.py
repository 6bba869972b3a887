"""The seam between an experiment and its algorithm: what both kinds of search have in common.

A genetic algorithm never runs out of asks; an evolution strategy has none left at an epoch's tail. See
:mod:`master.experiments.ga_search` and :mod:`master.experiments.eggroll_search`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from germline.algorithms.base import JsonValue, NewChampion, Result
from germline.algorithms.eggroll import EggrollEvent
from germline.algorithms.slices import EpochClosed
from germline.normalisation import Version
from master.experiments.events import Piece

SearchEvent: TypeAlias = EggrollEvent | NewChampion
"""What a result can bring about: of an epoch, or of who is best."""


class Leader(NamedTuple):
    """The best that a search has to show: what is reported of it, and a sentence for the log.

    Attributes:
        name: of the individual, or of the centre.
        mean: over fresh episodes that decided nothing; None before the first.
        proven: how good fresh episodes confirm it to be, which a stop condition may believe.
        text: for the log.
        epoch: of a centre: the updates before it; None for an individual.
    """

    name: str
    mean: float | None
    proven: float
    text: str
    epoch: int | None = None


class Search(Protocol):
    """An algorithm as an experiment sees it. Results in, work out; no I/O, no clock."""

    @property
    def evaluations_a_piece(self) -> int:
        """Evaluations of an ordinary piece of work."""
        ...

    @property
    def normalisations(self) -> Sequence[Version]:
        """What observations were normalised by so far, oldest first."""
        ...

    def ask(self, n: int) -> Sequence[Piece]:
        """At most n pieces of work."""
        ...

    def adopt(self, piece: Piece) -> None:
        """Take back an ask made before a restart."""
        ...

    def adopt_epoch(self, closed: EpochClosed) -> bool:
        """Take an epoch as closed that closed early before a restart; False if its scores closed it."""
        ...

    def tell(self, result: Result) -> Sequence[SearchEvent]:
        """Take a result; what happened to the epoch because of it."""
        ...

    def set_aside(self, ticket: int, returns: Sequence[float]) -> Sequence[SearchEvent]:
        """Wait no more for work that cannot be scored, but for what these returns score of it.

        What happened to the epoch because of it.
        """
        ...

    def untell(self, result: Result) -> Piece:
        """Take back a result of the open epoch; the work that it was of is pending again."""
        ...

    def close_early(self) -> Sequence[SearchEvent]:
        """The epoch has been open for long: close it, if enough of it is in."""
        ...

    def pending(self) -> Iterable[Piece]:
        """The asks not yet told, in order of their tickets."""
        ...

    def closed_without(self, ticket: int, closed: EpochClosed) -> bool:
        """Whether this epoch closed without the work of this ticket."""
        ...

    def knows(self, individual_id: int) -> bool:
        """Whether a score of this individual still counts."""
        ...

    def forget(self, individuals: Sequence[int]) -> None:
        """Let nothing count that was told of these individuals; they are asked anew."""
        ...

    @property
    def cap_frames(self) -> int:
        """Frames after which the episodes of new individuals are cut; 0: none are."""
        ...

    @property
    def cap_of_population(self) -> int:
        """Frames after which the episodes were cut that the population's fitness is of; 0: none were."""
        ...

    def leader(self) -> Leader | None:
        """The validated champion, or the best measured centre; None before the first."""
        ...

    def may_crown(self, piece: Piece) -> bool:
        """Whether a result of this work can change the leader, or confirm how good it is."""
        ...

    def place(self, events: Sequence[SearchEvent], evaluations: int) -> int | None:
        """The place of a point in the curve after these events; None if none belongs here."""
        ...

    def fitness_quantiles(self, fractions: Sequence[float]) -> Sequence[float]:
        """Fitness at these fractions of the population."""
        ...

    def snapshot(self) -> dict[str, JsonValue]:
        """The whole state as JSON values."""
        ...

    def freeze(self) -> Callable[[], dict[str, JsonValue]]:
        """The state as it is now, and what writes it as a snapshot; that may be on another thread."""
        ...

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Become what a snapshot says."""
        ...
