"""Who is played for the first time: founders, then children of chosen parents, litter after litter."""

from __future__ import annotations

from collections.abc import Iterable

from germline.algorithms.base import Ask
from germline.algorithms.draws import Dice
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.population import Population
from germline.algorithms.power import power_rule
from germline.algorithms.running_normalisation import RunningNormalisation
from germline.algorithms.selection import anybody, contestants, tournament, truncation
from germline.genome import Genome, Mutation
from germline.normalisation import is_mark


class Breeding:
    """Makes new individuals; what a call changes, and what it only decides, are kept apart.

    Attributes:
        founders_asked: random individuals asked so far.
        litter_parent: whose litter was asked last; None before the first of more than one child.
        litter_left: how many of its children are still to be asked.
        again: by id, individuals to be asked once more, as if they were new.
        normalisation: what the run learns to normalise observations by; None where it does not.
    """

    def __init__(self, settings: GaSettings) -> None:
        """Begin with the first founder."""
        self._settings = settings
        self._power = power_rule(settings)
        self._founder = None if settings.founder is None else Genome.founder(settings.founder)
        self.founders_asked = 0
        self.litter_parent: Genome | None = None
        self.litter_left = 0
        self.again: dict[int, Genome] = {}
        learns = settings.normalise_observations
        self.normalisation = RunningNormalisation(settings.founder_count) if learns else None

    @property
    def is_due(self) -> bool:
        """Whether a new individual comes before any re-play: a litter is open, or somebody is asked again."""
        return bool(self.litter_left or self.again)

    def next(
        self, ticket: int, dice: Dice, population: Population, elite: Genome | None
    ) -> tuple[Genome, int | None]:
        """Who is next, and the id of its parent, if it has one for this purpose. Changes nothing.

        Children play under the newest version of the normalisation. A parent under an earlier one is next
        itself under the newest, once; its children descend from that.

        Args:
            ticket: of the ask.
            dice: of the ask.
            population: among whom parents are chosen.
            elite: who breeds beside the best of these.
        """
        for genome in self.again.values():
            return genome, None
        parent = self.litter_parent if self.litter_left else self._parent(dice, population, elite)
        if parent is None:
            return self._founder or Genome.founder(dice.seed), None
        if self.normalisation is not None:
            renewed = self.normalisation.renew(parent, self._settings.rank)
            if renewed is not parent and renewed.id not in self.normalisation.renewed:
                return renewed, parent.id
            parent = renewed
        power = self._power(ticket, parent, dice)
        return parent.child(Mutation(dice.seed, power, self._settings.rank)), parent.id

    def lend(self, ask: Ask) -> None:
        """Note a new individual as asked."""
        if self.again.pop(ask.genome.id, None) is not None:
            return
        if self.normalisation is not None and is_mark(ask.genome.last):
            self.normalisation.renewed[ask.genome.id] = None
        elif not len(ask.genome):
            self.founders_asked += 1
        elif self.litter_left:
            self.litter_left -= 1
        elif self._settings.litter > 1:
            self.litter_left = self._settings.litter - 1
            self.litter_parent = ask.genome.parent()

    def ask_again(self, genomes: Iterable[Genome]) -> None:
        """Ask these once more: what was told of them counts no longer."""
        self.again |= {genome.id: genome for genome in genomes}

    def find(self, individual_id: int) -> Genome | None:
        """The litter's parent, if it has this id."""
        parent = self.litter_parent
        return parent if parent is not None and parent.id == individual_id else None

    def _parent(self, dice: Dice, population: Population, elite: Genome | None) -> Genome | None:
        """A parent for the next litter; None while founders are due or if nobody may breed.

        A founder of stored weights breeds before it is scored: there is nobody else.
        """
        settings, members, novelty = self._settings, population.members, population.novelty
        if self.founders_asked < settings.founder_count or not settings.parents:
            return None
        if not len(members):
            return self._founder
        if settings.cells is not None:
            return anybody(members, dice.parent)
        if novelty is not None and novelty.settings.chooses:
            return novelty.best(contestants(members, dice.contest(settings.tournament_size))).genome
        if settings.selection == "tournament":
            return tournament(members, settings.tournament_size, dice.parent)
        return truncation(members, settings.parents, elite, dice.parent)
