r"""Novelty: parents are chosen by how far from everybody else they behaved, generationless.

An individual's novelty is its mean distance to its k nearest neighbours (Lehman and Stanley 2011) among the
population *and* an archive of the past (Such et al. 2018, algorithm 2). A sliding window makes every number
stale at once, so novelty is computed when it is asked for: for the few contestants of a tournament, against
window and archive as they are then. Whether a new individual enters the archive is a die of its ticket. So
everything here is a function of asks and tells, and a restart changes nothing.

    told --> window --------------+
         \-- die < p --> archive --+--> novelty of the contestants --> the winner breeds
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from germline.algorithms.draws import Dice, unit
from germline.algorithms.neighbours import Archive, Behaviours, nearest_mean
from germline.algorithms.novelty_settings import WHOLE, NoveltySettings
from germline.algorithms.window import Member
from germline.behaviour import unpack


@dataclass(slots=True)
class Reward:
    """How much reward counts beside novelty, in 64ths; "adaptive" moves it (NSRA, arXiv 1712.06560).

    Attributes:
        weight: 64 is reward alone, as at the start of "adaptive".
        idle: evaluations since the weight moved, or somebody became champion.
    """

    weight: int
    idle: int = 0

    def told(self, settings: NoveltySettings, *, is_new_champion: bool) -> None:
        """An evaluation was told."""
        if settings.objective != "adaptive":
            return
        self.idle += 1
        if is_new_champion:
            self.weight, self.idle = min(WHOLE, self.weight + settings.weight_step), 0
        elif self.idle >= settings.patience:
            self.weight, self.idle = max(0, self.weight - settings.weight_step), 0


class Novelty:
    """The behaviours of the population and of the past, and who of some contestants should breed.

    Attributes:
        archive: of the past.
        population: of the window's members, with their fitness.
        reward: how much that counts beside novelty.
    """

    def __init__(self, settings: NoveltySettings) -> None:
        """Begin with nobody."""
        self.settings = settings
        self.archive = Archive(settings.dimensions, settings.archive_size)
        self.population = Behaviours(settings.dimensions)
        self.reward = Reward(WHOLE if settings.objective == "adaptive" else settings.weight)

    def add(self, member: Member, gone: Iterable[Member], dice: Dice) -> None:
        """A new individual came into the population, others left it; a die may put it into the archive."""
        for each in gone:
            self.population.remove(each.genome.id)
        if member not in gone:
            self.population.add(member.genome.id, member.behaviour, member.fitness)
        if unit(dice.archive) < self.settings.archive_share:
            self.archive.add(member.genome.id, member.behaviour)

    def revise(self, individual: int, fitness: float) -> None:
        """A member of the population has another fitness."""
        if individual in self.population:
            self.population.revise(individual, fitness)

    def forget(self, individuals: Iterable[int]) -> None:
        """Let these count no more, neither here nor as neighbours."""
        for individual in individuals:
            self.population.remove(individual)
            self.archive.remove(individual)

    def of(self, individual: int, behaviour: bytes) -> int:
        """An individual's novelty, in whole 1024ths of a step; nobody is its own neighbour."""
        row = unpack(behaviour)
        squares = [
            each.squares(row, without=individual) for each in (self.population, self.archive.behaviours)
        ]
        return nearest_mean(np.concatenate(squares), self.settings.neighbours)

    def dominated(self, individual: int) -> int:
        """An individual's mean distance to its k nearest members that are at least as fit; else FARTHEST."""
        return nearest_mean(self.population.rivals(individual), self.settings.neighbours)

    def best(self, contestants: Sequence[Member]) -> Member:
        """Who wins a tournament; of equals, the newest."""
        if len(contestants) == 1:
            return contestants[0]
        if self.settings.objective == "dominated":
            scores = [self.dominated(each.genome.id) for each in contestants]
        else:
            scores = [self.of(each.genome.id, each.behaviour) for each in contestants]
        if self.settings.objective in ("mixed", "adaptive"):
            scores = self._mixed([each.fitness for each in contestants], scores)
        return max(zip(scores, contestants, strict=True), key=lambda pair: (pair[0], pair[1].ticket))[1]

    def _mixed(self, fitness: Sequence[float], novelty: Sequence[int]) -> list[int]:
        """The weighted sum of both ranks; whole numbers, so that equals are equal."""
        weight = self.reward.weight
        ranks = zip(_ranks(fitness), _ranks(novelty), strict=True)
        return [weight * by_reward + (WHOLE - weight) * by_novelty for by_reward, by_novelty in ranks]


def _ranks(values: Sequence[float]) -> list[int]:
    """Of each value how many are below it."""
    return [sum(other < value for other in values) for value in values]
