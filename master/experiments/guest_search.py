"""A genetic algorithm whose individuals are played by clients of other projects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from germline.algorithms.base import Ask, Purpose
from germline.genome import Genome
from master.experiments.ga_search import GaSearch

_EPISODE = (0,)  # nobody here says which one was played


class GuestSearch(GaSearch):
    """A genetic algorithm as a search of which the fleet gets nothing: what is told of it was never lent."""

    def ask(self, n: int) -> Sequence[Ask]:
        """Nothing."""
        return ()

    def pending(self) -> Iterable[Ask]:
        """Nothing is waited for: an ask whose score was lost with a master was never promised to anybody."""
        return ()

    def invite(self, genome: Genome) -> Ask:
        """Ask for this very individual, as somebody is about to tell its score."""
        parent = genome.parent()
        ticket = self.algorithm.next_ticket
        ask = Ask(ticket, genome, Purpose.EXPLORE, _EPISODE, None if parent is None else parent.id)
        self.algorithm.adopt(ask)
        return ask
