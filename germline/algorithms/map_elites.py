"""MAP-Elites (Mouret and Clune 2015, arXiv 1504.04909), steady-state, on lines of seeds.

The population is the fittest individual that was seen in each cell of behaviour space; a parent is any of
them, all as likely; a child is its parent and one mutation. Everything else is the genetic algorithm, so the
champion is validated, and lines, cards and replays are as there.
"""

from __future__ import annotations

import math

from germline.algorithms.elites import Elites
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.window import Member


class MapElites(GeneticAlgorithm):
    """Ask and tell for MAP-Elites; see :class:`germline.algorithms.base.Algorithm`.

    Example::

        cells = MapSettings(dimensions=2, grid=(20, 20))
        search = MapElites(GaSettings(cells=cells, window=400, parents=400, power=0.1), seed=1)
    """

    def __init__(self, settings: GaSettings, seed: int) -> None:
        """Begin with all cells empty. Raises ValueError for settings without cells."""
        super().__init__(settings, seed)
        members = self._population.members
        if not isinstance(members, Elites):
            raise ValueError("cells is None; allowed: the cells of MAP-Elites")
        self._cells = members.cells

    def elites(self) -> list[tuple[int, Member]]:
        """Each cell that is not empty, by number, and who is in it."""
        found = [(self.cell_of(member), member) for member in self.population()]
        return sorted(found, key=lambda pair: pair[0])

    def cell_of(self, member: Member) -> int:
        """The cell that a member is the elite of."""
        return self._cells.of(member.behaviour)

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.settings.cells.count if self.settings.cells else 0

    @property
    def coverage(self) -> float:
        """Share of the cells that are not empty."""
        return self.population_size / self.cells

    def qd_score(self, offset: float = 0.0) -> float:
        """The sum of the elites' fitness, each over `offset`, the worst that there is (Pugh et al. 2016)."""
        return math.fsum(member.fitness - offset for _, member in self.elites())
