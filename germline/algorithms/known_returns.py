"""What of an individual's score can be held to it: which episodes it played, and what it got in them.

Where starts are finitely many, the return from each is kept while the individual is in the population or in
a race. Elsewhere a member of the population has one fitness, a mean. The episodes of its first evaluation
follow from its ticket; those of later ones are not kept. So of a member that was re-played, of one whose
games were cut, and of a champion's fresh episodes nothing can be said.
"""

from __future__ import annotations

from typing import NamedTuple

from germline.algorithms.draws import Dice
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.races import Races
from germline.algorithms.window import Member
from germline.genome import Genome


class KnownReturns(NamedTuple):
    """Episodes of an individual, and what it got in them.

    Attributes:
        genome: who it is.
        seeds: of the episodes, as they were asked; where starts are finitely many, those of the starts.
        returns: one for each seed, in their order; or a single one for several seeds, which is their mean.
    """

    genome: Genome
    seeds: tuple[int, ...]
    returns: tuple[float, ...]


def by_start(races: Races, genome: Genome) -> KnownReturns | None:
    """From which starts an individual played whole games; None if from none."""
    known = races.returns_of(genome.id)
    return KnownReturns(genome, tuple(known), tuple(known.values())) if known else None


def of_first_evaluation(settings: GaSettings, seed: int, member: Member) -> KnownReturns | None:
    """A member's fitness, if it rests on whole games of its first evaluation alone; otherwise None.

    Args:
        settings: those of the search.
        seed: the experiment's.
        member: of the population.
    """
    if member.cap_frames or member.episodes != settings.episodes:
        return None
    seeds = Dice(seed, member.ticket).episode_seeds(settings.episodes)
    return KnownReturns(member.genome, seeds, (member.fitness,))
