"""The seam between an experiment and its algorithm: what both kinds of search have in common.

A genetic algorithm never runs out of asks; an evolution strategy has none left at an epoch's tail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from germline.algorithms.base import Ask, JsonValue, Purpose, Result
from germline.algorithms.centres import MeasuredCentre
from germline.algorithms.eggroll import Eggroll, EggrollEvent
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.slices import EpochClosed, SliceAsk
from germline.genome import format_id
from master.experiments.events import Piece


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

    def ask(self, n: int) -> Sequence[Piece]:
        """At most n pieces of work."""
        ...

    def adopt(self, piece: Piece) -> None:
        """Take back an ask made before a restart."""
        ...

    def adopt_epoch(self, closed: EpochClosed) -> bool:
        """Take an epoch as closed that closed early before a restart; False if its scores closed it."""
        ...

    def tell(self, result: Result) -> Sequence[EggrollEvent]:
        """Take a result; what happened to the epoch because of it."""
        ...

    def set_aside(self, ticket: int, returns: Sequence[float]) -> Sequence[EggrollEvent]:
        """Wait no more for work that cannot be scored, but for what these returns score of it.

        What happened to the epoch because of it.
        """
        ...

    def untell(self, result: Result) -> Piece:
        """Take back a result of the open epoch; the work that it was of is pending again."""
        ...

    def close_early(self) -> Sequence[EggrollEvent]:
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
    def cap_of_population(self) -> int:
        """Frames after which the episodes were cut that the population's fitness is of; 0: none were."""
        ...

    def leader(self) -> Leader | None:
        """The validated champion, or the best measured centre; None before the first."""
        ...

    def may_crown(self, piece: Piece) -> bool:
        """Whether a result of this work can change the leader, or confirm how good it is."""
        ...

    def place(self, events: Sequence[EggrollEvent], evaluations: int) -> int | None:
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


class GaSearch:
    """A genetic algorithm as a :class:`Search`."""

    evaluations_a_piece = 1

    def __init__(self, algorithm: GeneticAlgorithm) -> None:
        self.algorithm = algorithm

    def ask(self, n: int) -> Sequence[Ask]:
        """N individuals to play."""
        return self.algorithm.ask(n)

    def pending(self) -> Iterable[Ask]:
        """The asks not yet told, in order of their tickets."""
        return self.algorithm.pending()

    def adopt(self, piece: Piece) -> None:
        """Take back an ask made before a restart."""
        if isinstance(piece, Ask):
            self.algorithm.adopt(piece)

    def adopt_epoch(self, closed: EpochClosed) -> bool:
        """There are none."""
        return False

    def tell(self, result: Result) -> Sequence[EggrollEvent]:
        """Take a result; a genetic algorithm has no epochs."""
        self.algorithm.tell(result)
        return ()

    def set_aside(self, ticket: int, returns: Sequence[float]) -> Sequence[EggrollEvent]:
        """Wait no more for an individual that cannot be scored."""
        self.algorithm.set_aside(ticket)
        return ()

    def untell(self, result: Result) -> Piece:
        """Nothing is ever taken back: an individual plays what it is, whoever plays it."""
        raise ValueError(f"ticket {result.ticket} is of a genetic algorithm, which has no open epoch")

    def close_early(self) -> Sequence[EggrollEvent]:
        """Nothing to close."""
        return ()

    def closed_without(self, ticket: int, closed: EpochClosed) -> bool:
        """There are no epochs."""
        return False

    def knows(self, individual_id: int) -> bool:
        """Whether a score of this individual still counts."""
        return self.algorithm.knows(individual_id)

    def forget(self, individuals: Sequence[int]) -> None:
        """Let nothing count that was told of these individuals; they are asked anew."""
        self.algorithm.forget(individuals)

    @property
    def cap_of_population(self) -> int:
        """Frames after which the episodes were cut that the population's fitness is of."""
        return self.algorithm.compared_cap_frames

    def leader(self) -> Leader | None:
        """The champion."""
        champion = self.algorithm.champion
        if champion is None:
            return None
        name = format_id(champion.genome.id)
        mean = champion.mean if champion.episodes else None
        measured = (
            f"mean {mean:.6g} over {champion.episodes} episodes" if mean is not None else "not measured yet"
        )
        text = f"champion {name}, {measured}, {len(champion.genome)} mutations"
        return Leader(name, mean, champion.proven, text)

    def may_crown(self, piece: Piece) -> bool:
        """Only a validation can, where there is validation."""
        explores = isinstance(piece, Ask) and piece.purpose is Purpose.EXPLORE
        return not (explores and self.algorithm.settings.validates)

    def place(self, events: Sequence[EggrollEvent], evaluations: int) -> int | None:
        """A point for every evaluation."""
        return evaluations

    def fitness_quantiles(self, fractions: Sequence[float]) -> Sequence[float]:
        """Fitness at these fractions of the population."""
        return self.algorithm.fitness_quantiles(fractions)

    def snapshot(self) -> dict[str, JsonValue]:
        """The whole state as JSON values."""
        return self.algorithm.snapshot()

    def freeze(self) -> Callable[[], dict[str, JsonValue]]:
        """The state as it is now, and what writes it as a snapshot."""
        return self.algorithm.freeze()

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Become what a snapshot says."""
        self.algorithm.restore(snapshot)


class EggrollSearch:
    """An evolution strategy as a :class:`Search`."""

    def __init__(self, algorithm: Eggroll) -> None:
        self.algorithm = algorithm
        self.evaluations_a_piece = 2 * algorithm.settings.slice_pairs

    def ask(self, n: int) -> Sequence[SliceAsk]:
        """At most n slices of the open epoch."""
        return self.algorithm.ask(n)

    def pending(self) -> Iterable[SliceAsk]:
        """The asks not yet told, in order of their tickets."""
        return self.algorithm.pending()

    def adopt_epoch(self, closed: EpochClosed) -> bool:
        """Take an epoch as closed that closed early before a restart; False if its scores closed it."""
        return self.algorithm.adopt_epoch(closed)

    def tell(self, result: Result) -> Sequence[EggrollEvent]:
        """Take a result; what happened to the epoch because of it."""
        return self.algorithm.tell(result)

    def set_aside(self, ticket: int, returns: Sequence[float]) -> Sequence[EggrollEvent]:
        """Wait no more for pairs that cannot be scored; the others count."""
        return self.algorithm.set_aside(ticket, returns)

    def untell(self, result: Result) -> Piece:
        """Take back a result of the open epoch."""
        return self.algorithm.untell(result)

    def close_early(self) -> Sequence[EggrollEvent]:
        """Close the epoch if enough of it is in."""
        return self.algorithm.close_early()

    def closed_without(self, ticket: int, closed: EpochClosed) -> bool:
        """Whether this epoch closed without the work of this ticket."""
        return self.algorithm.closed_without(ticket, closed)

    def knows(self, individual_id: int) -> bool:
        """Individuals live for an epoch, and have no names."""
        return False

    def forget(self, individuals: Sequence[int]) -> None:
        """There are none."""

    @property
    def cap_of_population(self) -> int:
        """None is cut."""
        return 0

    def adopt(self, piece: Piece) -> None:
        """Take back an ask made before a restart."""
        if isinstance(piece, SliceAsk):
            self.algorithm.adopt(piece)

    def leader(self) -> Leader | None:
        """The best measured centre."""
        best = self.algorithm.best
        if best is None:
            return None
        return Leader(f"epoch {best.epoch}", best.mean, best.proven, _sentence(best), best.epoch)

    def may_crown(self, piece: Piece) -> bool:
        """Only a measurement of the centre can."""
        return isinstance(piece, SliceAsk) and piece.pairs == 0

    def place(self, events: Sequence[EggrollEvent], evaluations: int) -> int | None:
        """A point for every closed epoch."""
        closed = any(isinstance(event, EpochClosed) for event in events)
        return self.algorithm.epoch if closed else None

    def fitness_quantiles(self, fractions: Sequence[float]) -> Sequence[float]:
        """Fitness at these fractions of the last closed epoch."""
        return self.algorithm.fitness_quantiles(fractions)

    def snapshot(self) -> dict[str, JsonValue]:
        """The whole state as JSON values."""
        return self.algorithm.snapshot()

    def freeze(self) -> Callable[[], dict[str, JsonValue]]:
        """The state as it is now, and what writes it as a snapshot."""
        return self.algorithm.freeze()

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Become what a snapshot says."""
        self.algorithm.restore(snapshot)


def _sentence(best: MeasuredCentre) -> str:
    return f"best centre after {best.epoch} epochs, mean {best.mean:.6g} over {best.episodes} episodes"
