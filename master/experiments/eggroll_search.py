"""An evolution strategy as an experiment sees it: it has epochs, and individuals that live for one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from germline.algorithms.base import JsonValue, Result
from germline.algorithms.centres import MeasuredCentre
from germline.algorithms.eggroll import Eggroll
from germline.algorithms.slices import EpochClosed, SliceAsk
from germline.normalisation import Version
from master.experiments.algorithm_seam import Leader, SearchEvent
from master.experiments.events import Piece


class EggrollSearch:
    """An evolution strategy as a :class:`Search`."""

    def __init__(self, algorithm: Eggroll) -> None:
        self.algorithm = algorithm
        self.evaluations_a_piece = 2 * algorithm.settings.slice_pairs

    @property
    def normalisations(self) -> Sequence[Version]:
        """What observations were normalised by so far, oldest first."""
        return self.algorithm.normalisations

    def ask(self, n: int) -> Sequence[SliceAsk]:
        """At most n slices of the open epoch."""
        return self.algorithm.ask(n)

    def pending(self) -> Iterable[SliceAsk]:
        """The asks not yet told, in order of their tickets."""
        return self.algorithm.pending()

    def adopt_epoch(self, closed: EpochClosed) -> bool:
        """Take an epoch as closed that closed early before a restart; False if its scores closed it."""
        return self.algorithm.adopt_epoch(closed)

    def tell(self, result: Result) -> Sequence[SearchEvent]:
        """Take a result; what happened to the epoch because of it."""
        return self.algorithm.tell(result)

    def set_aside(self, ticket: int, returns: Sequence[float]) -> Sequence[SearchEvent]:
        """Wait no more for pairs that cannot be scored; the others count."""
        return self.algorithm.set_aside(ticket, returns)

    def untell(self, result: Result) -> Piece:
        """Take back a result of the open epoch."""
        return self.algorithm.untell(result)

    def close_early(self) -> Sequence[SearchEvent]:
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
    def cap_frames(self) -> int:
        """None are cut."""
        return 0

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

    def place(self, events: Sequence[SearchEvent], evaluations: int) -> int | None:
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
