"""The work of an evolution strategy's epoch: slices of antithetic pairs, and the end of them all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class SliceAsk(NamedTuple):
    """One piece of work: consecutive pairs of an epoch, or the centre itself.

    Attributes:
        ticket: names this work for ever: ``epoch * tickets_per_epoch`` for the centre, then one a slice.
        epoch: the centre to play around is the one after so many updates.
        first_pair: of the slice.
        pairs: how many; 0 is the centre itself.
        episode_seeds: pair after pair; both members of a pair play its seeds.
    """

    ticket: int
    epoch: int
    first_pair: int
    pairs: int
    episode_seeds: tuple[int, ...]

    @property
    def episodes(self) -> int:
        """Episodes that the work takes."""
        return len(self.episode_seeds) * (2 if self.pairs else 1)

    def scored(self, returns: Sequence[float]) -> dict[int, tuple[float, ...]]:
        """The returns of those pairs, by their number in the epoch, of which both members have all of theirs.

        Of work that could not be scored: NaN stands for a return that is missing, and nothing at all for all.
        """
        each = self.episodes // max(self.pairs, 1)
        own = {self.first_pair + k: tuple(returns[k * each : (k + 1) * each]) for k in range(self.pairs)}
        return {k: told for k, told in own.items() if len(told) == each and all(map(math.isfinite, told))}


@dataclass(frozen=True, slots=True)
class EpochClosed:
    """Every pair that will ever count is in.

    Attributes:
        epoch: the epoch that closed.
        fitness: of its members: pair after pair, plus before minus; NaN for a member that is missing. Where
            novelty counts, what moves the centre instead, by :func:`germline.shaping.weighted_ranks`.
        next_centre: which of the centres that take turns the next epoch plays around.
    """

    epoch: int
    fitness: tuple[float, ...]
    next_centre: int = 0
