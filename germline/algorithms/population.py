"""The population: who is in it, what novelty knows of them, and how a scored individual gets its place."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from germline.algorithms.base import Ask, Champion, Purpose, Result
from germline.algorithms.dominated import Dominated
from germline.algorithms.draws import Dice
from germline.algorithms.elites import Elites
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.novelty import Novelty
from germline.algorithms.window import Member, Window
from germline.behaviour import BYTES


class Population:
    """Who may become a parent, with the fitness that selection sees.

    Attributes:
        members: a sliding window of results, the elite of each cell under MAP-Elites, or those that dominated
            novelty keeps.
        novelty: how the members behaved, and others before them; None where nobody asks.
        dimensions: whole numbers of the behaviours that the search needs; 0: it needs none.
    """

    def __init__(self, settings: GaSettings, seed: int) -> None:
        """Begin with nobody; `seed` is the experiment's."""
        self._settings, self._seed = settings, seed
        self.members = _members(settings)
        self.novelty = Novelty(settings.novelty) if settings.novelty else None
        needs = settings.novelty or settings.cells
        self.dimensions = needs.dimensions if needs else 0

    def check_behaviour(self, behaviour: bytes) -> None:
        """Raise ValueError unless a result's behaviour is what this search needs."""
        if self.dimensions and len(behaviour) != BYTES * self.dimensions:
            raise ValueError(f"behaviour has {len(behaviour)} bytes; allowed: {BYTES * self.dimensions}")

    def explored(self, ask: Ask, result: Result) -> None:
        """Give a newly scored individual its place; equal genomes are one individual."""
        scores = self._scores(result)
        known = self.members.find(ask.genome.id)
        if known is not None and known.cap_frames == ask.cap_frames:
            self._revise(ask.genome.id, scores)
            return
        if known is not None:  # under another cap
            self.members.forget([ask.genome.id])
        self._add(self._member(ask, scores, result.behaviour))

    def replayed(self, ask: Ask, returns: tuple[float, ...]) -> None:
        """Let a re-played individual's fitness be what all its episodes say that may decide anything.

        Under a cap that is nothing: whole games are other numbers than those that chose the parents.
        """
        member = self.members.find(ask.genome.id) if ask.purpose is Purpose.VALIDATE else None
        if member is not None and not member.cap_frames:
            self.members.plan(ask.genome.id, -len(returns))
            self._revise(ask.genome.id, returns)

    def told(self, *, is_new_champion: bool) -> None:
        """A result was told: reward may count for more from now on, or for less."""
        if self.novelty is not None:
            self.novelty.reward.told(self.novelty.settings, is_new_champion=is_new_champion)

    def forget(self, individuals: Collection[int]) -> list[Member]:
        """Let these go, and count as nobody's neighbours; return those that were members."""
        gone = self.members.forget(individuals)
        if self.novelty is not None:
            self.novelty.forget(individuals)
        return gone

    def best(self) -> Champion | None:
        """The best member, as far as single evaluations tell; under a cap they tell nothing of its mean."""
        if not len(self.members):
            return None
        best = self.members.ranked(-1)
        if best.cap_frames:
            return Champion(best.genome, math.nan, 0, math.nan, validated=False)
        return Champion(best.genome, best.fitness, best.episodes, math.nan, validated=False)

    def fitness_quantiles(self, fractions: Sequence[float]) -> list[float]:
        """Fitness at these fractions of those that are compared, 0 the worst and 1 the best."""
        last = self.members.comparable - 1
        return [self.members.ranked(round(f * last)).fitness for f in fractions] if last >= 0 else []

    def _scores(self, result: Result) -> tuple[float, ...]:
        """What selection sees in a new individual's episodes: their returns, and a bonus for lasting."""
        if not self._settings.frame_bonus:
            return result.returns
        bonus = self._settings.frame_bonus * result.frames / len(result.returns)
        return tuple(value + bonus for value in result.returns)

    def _member(self, ask: Ask, scores: tuple[float, ...], behaviour: bytes) -> Member:
        """A newly scored individual; ties of its fitness are broken by how the others stand when it comes."""
        fitness = sum(scores) / len(scores)
        member = Member(ask.genome, ask.ticket, fitness, len(scores), cap_frames=ask.cap_frames)
        if not self.dimensions:
            return member
        breaks_ties = self.novelty is not None and not self.novelty.settings.chooses
        novelty = self.novelty.of(ask.genome.id, behaviour) if self.novelty and breaks_ties else 0
        return member._replace(behaviour=behaviour, novelty=novelty)

    def _add(self, member: Member) -> None:
        """Take an individual in, and who leaves for it out of the neighbours."""
        gone = self.members.add(member)
        if self.novelty is not None:
            self.novelty.add(member, gone, Dice(self._seed, member.ticket))

    def _revise(self, individual_id: int, scores: tuple[float, ...]) -> None:
        """A member played more episodes."""
        self.members.revise(individual_id, scores)
        member = self.members.find(individual_id)
        if self.novelty is not None and member is not None:
            self.novelty.revise(individual_id, member.fitness)


def _members(settings: GaSettings) -> Window:
    """An empty population of the kind that the settings ask for."""
    if settings.cells is not None:
        return Elites(settings.cells)
    if settings.novelty is not None and settings.replacement == "dominated":
        return Dominated(settings.window, settings.novelty.dimensions, settings.novelty.neighbours)
    return Window(settings.window, settings.replacement)
