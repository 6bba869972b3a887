"""A run whose workers bring the arithmetic as a :class:`Search`: nothing in it is for the ordinary fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from germline.algorithms.base import JsonValue, Result
from germline.algorithms.own import OwnRun
from germline.algorithms.slices import EpochClosed
from germline.normalisation import Version
from master.experiments.algorithm_seam import Leader, SearchEvent
from master.experiments.events import Piece


class OwnSearch:
    """An own run as a search that asks nothing: what is lent of it is :mod:`master.experiments.own`'s affair.

    Attributes:
        run: the order of things in it.
    """

    evaluations_a_piece = 1
    cap_frames = cap_of_population = 0
    normalisations: Sequence[Version] = ()  # its workers see to that

    def __init__(self, run: OwnRun) -> None:
        self.run = run

    def ask(self, n: int) -> Sequence[Piece]:
        """Nothing."""
        return ()

    def adopt(self, piece: Piece) -> None:
        """There is nothing that it has asked."""

    def adopt_epoch(self, closed: EpochClosed) -> bool:
        """Its epochs end with a state."""
        return False

    def tell(self, result: Result) -> Sequence[SearchEvent]:
        """Nothing was asked."""
        raise ValueError(f"ticket {result.ticket} is of an experiment that has no tickets")

    def set_aside(self, ticket: int, returns: Sequence[float]) -> Sequence[SearchEvent]:
        """Nothing was asked."""
        raise ValueError(f"ticket {ticket} is of an experiment that has no tickets")

    def untell(self, result: Result) -> Piece:
        """Nothing was told."""
        raise ValueError(f"ticket {result.ticket} is of an experiment that has no tickets")

    def close_early(self) -> Sequence[SearchEvent]:
        """Its epochs wait for everybody."""
        return ()

    def pending(self) -> Iterable[Piece]:
        """Nothing."""
        return ()

    def closed_without(self, ticket: int, closed: EpochClosed) -> bool:
        """No epoch closes without its members."""
        return False

    def knows(self, individual_id: int) -> bool:
        """There are no individuals."""
        return False

    def forget(self, individuals: Sequence[int]) -> None:
        """There are none."""

    def leader(self) -> Leader | None:
        """Nobody but its workers can measure a state."""
        return None

    def may_crown(self, piece: Piece) -> bool:
        """Nothing is crowned."""
        return False

    def place(self, events: Sequence[SearchEvent], evaluations: int) -> int | None:
        """A point is drawn where an epoch is told, not here."""
        return None

    def fitness_quantiles(self, fractions: Sequence[float]) -> Sequence[float]:
        """Fitness at these fractions of the last epoch whose members are all told, or of what is told."""
        returns = self.run.latest
        finite = returns[np.isfinite(returns)]
        return [float(each) for each in np.quantile(finite, fractions)] if len(finite) else []

    def snapshot(self) -> dict[str, JsonValue]:
        """The whole state as JSON values."""
        return self.run.snapshot()

    def freeze(self) -> Callable[[], dict[str, JsonValue]]:
        """The state as it is now; it is small."""
        kept = self.run.snapshot()
        return lambda: kept

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Become what a snapshot says."""
        self.run.restore(snapshot)
