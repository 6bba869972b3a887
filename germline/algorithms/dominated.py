"""Dominated Novelty Search's population (Bahlous-Boldi et al. 2025, arXiv 2502.00593), steady-state.

Its size is fixed, and whoever competes worst leaves: the individual with the least *dominated novelty*, its
mean distance to its k nearest among those that are at least as fit. So a crowd loses all but its best, of
those who did the same the last stays, and what is far from everything fitter stays however poor it is.

It stands where the sliding window stands in the genetic algorithm, as MAP-Elites' cells do. Each member's k
nearest are kept: one that comes or goes costs its distances to all, and a look at those whose list it is on.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from germline.algorithms.neighbours import FARTHEST, distances
from germline.algorithms.window import Member, Window
from germline.behaviour import unpack

_Ints = npt.NDArray[np.int64]
_NOBODY = -1


class Dominated(Window):
    """The `capacity` individuals with the largest dominated novelty; of equals, the newest."""

    def __init__(self, capacity: int, dimensions: int, neighbours: int) -> None:
        """Begin with nobody."""
        super().__init__(capacity, "worst")
        self._competition = Competition(capacity + 1, dimensions, neighbours)

    def add(self, member: Member) -> list[Member]:
        """Take an individual in; who left for it, which may be this very one."""
        self._competition.add(member)
        gone = super().add(member)
        for each in gone:
            self._competition.remove(each.genome.id)
        return gone

    def revise(self, individual_id: int, returns: tuple[float, ...]) -> None:
        """Let a member's fitness be the mean over these episodes too, and compete with that."""
        super().revise(individual_id, returns)
        self._competition.remove(individual_id)
        self._competition.add(self._by_id[individual_id])

    def forget(self, individuals: Collection[int]) -> list[Member]:
        """Let these individuals go."""
        gone = super().forget(individuals)
        for member in gone:
            self._competition.remove(member.genome.id)
        return gone

    def _leaving(self, member: Member) -> list[Member]:
        if len(self._ranked) < self._capacity:
            return []
        loser = self._competition.loser()
        return [member if loser == member.genome.id else self._by_id[loser]]


class Competition:
    """Who of at most `places` individuals has which k nearest among those that are at least as fit."""

    def __init__(self, places: int, dimensions: int, neighbours: int) -> None:
        """Begin with nobody."""
        self._rows = np.zeros((places, dimensions))
        self._norms = np.zeros(places)
        self._fitness = np.full(places, -np.inf)
        self._tickets = np.zeros(places, np.int64)
        self._near: _Ints = np.full((places, neighbours), FARTHEST, np.int64)  # nearest first
        self._who = np.full((places, neighbours), _NOBODY, np.int64)
        self._is_here = np.zeros(places, np.bool_)
        self._places: dict[int, int] = {}
        self._free = list(range(places))
        self._ids: dict[int, int] = {}  # by place

    def add(self, member: Member) -> None:
        """An individual comes."""
        place = self._free.pop()
        self._places[member.genome.id], self._ids[place] = place, member.genome.id
        row = self._rows[place] = unpack(member.behaviour).astype(np.float64)
        self._norms[place] = row @ row
        self._fitness[place], self._tickets[place] = member.fitness, member.ticket
        self._is_here[place] = True
        far = self._look(place)
        others = self._is_here & (self._fitness <= member.fitness) & (far < self._near[:, -1])
        others[place] = False
        self._insert(np.flatnonzero(others), far, place)

    def remove(self, individual: int) -> None:
        """An individual goes, if it is here; whoever had it among its nearest looks anew."""
        place = self._places.pop(individual, None)
        if place is None:
            return
        del self._ids[place]
        self._is_here[place], self._fitness[place] = False, -np.inf
        self._free.append(place)
        for other in np.flatnonzero((self._who == place).any(axis=1) & self._is_here).tolist():
            self._look(other)

    def loser(self) -> int:
        """The individual with the least dominated novelty; of equals, the oldest."""
        means = np.where(self._is_here, self._means(), FARTHEST + 1)
        worst = np.flatnonzero(means == means.min())
        return self._ids[int(worst[np.argmin(self._tickets[worst])])]

    def _look(self, place: int) -> _Ints:
        """Note who is nearest to an individual of those that are at least as fit; distances to all."""
        far = distances(self._norms - 2.0 * (self._rows @ self._rows[place]) + self._norms[place])
        rivals = self._is_here & (self._fitness >= self._fitness[place])
        rivals[place] = False
        who = np.flatnonzero(rivals)
        who = who[np.argsort(far[who], kind="stable")[: self._near.shape[1]]]
        self._near[place], self._who[place] = FARTHEST, _NOBODY
        self._near[place, : who.size], self._who[place, : who.size] = far[who], who
        return far

    def _insert(self, others: npt.NDArray[np.intp], far: _Ints, place: int) -> None:
        """These have one more that is near: it takes the place of the furthest that they had."""
        self._near[others, -1], self._who[others, -1] = far[others], place
        order = np.argsort(self._near[others], axis=1, kind="stable")
        self._near[others] = np.take_along_axis(self._near[others], order, axis=1)
        self._who[others] = np.take_along_axis(self._who[others], order, axis=1)

    def _means(self) -> _Ints:
        """The rounded mean of each one's nearest; FARTHEST where there are none."""
        is_near = self._near < FARTHEST
        counts = is_near.sum(axis=1)
        totals = np.where(is_near, self._near, 0).sum(axis=1)
        some = np.maximum(counts, 1)
        means: _Ints = np.where(counts > 0, (2 * totals + some) // (2 * some), FARTHEST)
        return means
