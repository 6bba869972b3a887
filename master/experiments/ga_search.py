"""A genetic algorithm as an experiment sees it: it has individuals, and no epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from germline.algorithms.base import Ask, JsonValue, Purpose, Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.slices import EpochClosed
from germline.genome import format_id
from germline.normalisation import Version
from master.experiments.algorithm_seam import Leader, SearchEvent
from master.experiments.events import Piece


class GaSearch:
    """A genetic algorithm as a :class:`Search`."""

    evaluations_a_piece = 1

    def __init__(self, algorithm: GeneticAlgorithm) -> None:
        self.algorithm = algorithm

    @property
    def normalisations(self) -> Sequence[Version]:
        """What observations were normalised by so far, oldest first."""
        return self.algorithm.normalisations

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

    def tell(self, result: Result) -> Sequence[SearchEvent]:
        """Take a result; a genetic algorithm has no epochs."""
        return self.algorithm.tell(result)

    def set_aside(self, ticket: int, returns: Sequence[float]) -> Sequence[SearchEvent]:
        """Wait no more for an individual that cannot be scored."""
        self.algorithm.set_aside(ticket)
        return ()

    def untell(self, result: Result) -> Piece:
        """Nothing is ever taken back: an individual plays what it is, whoever plays it."""
        raise ValueError(f"ticket {result.ticket} is of a genetic algorithm, which has no open epoch")

    def close_early(self) -> Sequence[SearchEvent]:
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
    def cap_frames(self) -> int:
        """Frames after which the episodes of new individuals are cut."""
        return self.algorithm.cap_frames

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
        """Only a validation can, where first episodes decide nothing."""
        explores = isinstance(piece, Ask) and piece.purpose is Purpose.EXPLORE
        return not explores or self.algorithm.settings.may_crown_at_once

    def place(self, events: Sequence[SearchEvent], evaluations: int) -> int | None:
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
