"""MAP-Elites' population: of each cell of behaviour space the fittest that was seen there (arXiv 1504.04909).

It stands where the sliding window stands in the genetic algorithm, and so everything else is the genetic
algorithm: founders, mutations, litters, candidates, the champion. An individual comes in where its cell is
empty, or if it is fitter than who is there, or as fit where the settings say so; nobody leaves for age.
"""

from __future__ import annotations

from collections.abc import Collection

from germline.algorithms.cells import MapSettings
from germline.algorithms.window import Member, Window


class Elites(Window):
    """One member for each cell, at most.

    Attributes:
        cells: the parts of behaviour space.
    """

    def __init__(self, settings: MapSettings) -> None:
        """Begin with all cells empty."""
        super().__init__(settings.count, "worst")
        self.cells = settings.make()
        self._newest = settings.ties == "newest"
        self._of_cell: dict[int, int] = {}  # ids

    def cell_of(self, member: Member) -> int:
        """The cell that a member is, or would be, the elite of."""
        return self.cells.of(member.behaviour)

    def add(self, member: Member) -> list[Member]:
        """Take an individual in if its cell is empty, or who is there has to leave for it; who left."""
        gone = super().add(member)
        if member not in gone:
            self._of_cell[self.cell_of(member)] = member.genome.id
        return gone

    def forget(self, individuals: Collection[int]) -> list[Member]:
        """Let these go; their cells are empty then."""
        gone = super().forget(individuals)
        for member in gone:
            self._of_cell.pop(self.cell_of(member), None)
        return gone

    def _leaving(self, member: Member) -> list[Member]:
        holder = self._of_cell.get(self.cell_of(member))
        if holder is None:
            return []
        elite = self._by_id[holder]
        ties = self._newest and member.fitness == elite.fitness
        return [elite if member.fitness > elite.fitness or ties else member]
