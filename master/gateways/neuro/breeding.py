"""Between seeds as workers of cshenton/neuroevolution know them and genomes, and who is to be played next."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import reduce

from germline.algorithms.ga import GeneticAlgorithm
from germline.genome import Genome, Mutation, child_id, float32, founder_id

OWN_WEIGHTS = 0
"""The initialisation seed of all genomes here: it stands for the workers' own first weights."""

MOST_SEEDS = 10_000
_SEED_END = 1 << 32


def genome_of(
    seeds: Sequence[int], strength: float, find: Callable[[int], Genome | None] = lambda _: None
) -> Genome:
    """The network that a worker makes of these seeds: its own first weights and noise of each upon them.

    Args:
        seeds: oldest first.
        strength: of the workers.
        find: an individual that is known, by its id: a child shares its line, which may be a long one.
    """
    power = float32(strength)
    mutations = [Mutation(seed, power) for seed in seeds]
    if not mutations:
        return Genome.founder(OWN_WEIGHTS)
    parent_id = reduce(child_id, mutations[:-1], founder_id(OWN_WEIGHTS))
    known = find(child_id(parent_id, mutations[-1]))
    if known is not None:
        return known
    parent = find(parent_id) or Genome.founder(OWN_WEIGHTS).extended(mutations[:-1])
    return parent.child(mutations[-1])


def seeds_of(genome: Genome) -> list[int]:
    """The seeds by which a worker makes this network."""
    return [mutation.seed for mutation in genome.mutations]


def next_seeds(algorithm: GeneticAlgorithm, below: Callable[[int], int] = secrets.randbelow) -> list[int]:
    """Who should be played next: a random elite and a new seed; nobody's child while the run opens.

    Nothing changes by it: who is never heard of again costs nothing.

    Args:
        algorithm: the search.
        below: a random whole number below its argument.
    """
    settings = algorithm.settings
    elites: list[Genome] = []
    if algorithm.evaluations >= settings.founder_count:
        elites = [member.genome for member in algorithm.best(settings.parents)]
        champion = algorithm.champion
        if champion is not None and all(champion.genome.id != elite.id for elite in elites):
            elites.append(champion.genome)
    line = seeds_of(elites[below(len(elites))]) if elites else []
    return [*line[: MOST_SEEDS - 1], below(_SEED_END)]
