"""Holds a run to what it told: a share of its results is played again on this machine."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from germline.cli.cards import Playable
from germline.cli.playing import play_all
from germline.client import Experiment, KnownReturns
from germline.genome import Genome, format_id
from germline.spec.convert import starts_of


class Told(NamedTuple):
    """One result: episodes of an individual, and the return, or their mean, that was told."""

    genome: Genome
    seeds: tuple[int, ...]
    told: float


@dataclass(frozen=True, slots=True)
class Differing:
    """A result that is another one here.

    Attributes:
        individual: its id, 16 hexadecimal digits.
        episodes: which, in words.
        told: what the run says.
        played: what it is here.
    """

    individual: str
    episodes: str
    told: float
    played: float


def results_of(known: Iterable[KnownReturns]) -> list[Told]:
    """Each of these by itself, an individual's next to each other."""
    results = []
    for each in known:
        if len(each.returns) < len(each.seeds):
            results.append(Told(each.genome, each.seeds, each.returns[0]))
            continue
        for seed, told in zip(each.seeds, each.returns, strict=True):
            results.append(Told(each.genome, (seed,), told))
    return results


def draw(results: Sequence[Told], share: float, seed: int) -> list[Told]:
    """A share of these at random, one at least if there are any, in their order."""
    count = min(len(results), max(1, round(share * len(results))))
    places = random.Random(seed).sample(range(len(results)), count)  # noqa: S311 - nobody is kept out by it
    return [results[place] for place in sorted(places)]


def differing(experiment: Experiment, drawn: Sequence[Told], device: str, *, quiet: bool) -> list[Differing]:
    """Play these results, and name those that are others here."""
    found = []
    for individual, group in groupby(drawn, key=lambda each: each.genome.id):
        results = list(group)
        name = format_id(individual)
        genome = results[0].genome
        policy = Playable(experiment.spec_for(genome), genome, name, name, kernels=experiment.kernels)
        seeds = tuple(seed for each in results for seed in each.seeds)
        returns = iter(play_all(policy, seeds, device, quiet=quiet))
        for each in results:
            own = [next(returns) for _ in each.seeds]
            played = sum(own) / len(own)  # as the search has it, to the last bit
            if played != each.told:
                episodes = _episodes(each.seeds, starts_of(experiment.spec))
                found.append(Differing(name, episodes, each.told, played))
    return found


def _episodes(seeds: tuple[int, ...], starts: tuple[int, ...]) -> str:
    """Which episodes, for people."""
    if len(seeds) == 1 and seeds[0] in starts:
        return f"start {starts.index(seeds[0]) + 1}"
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of seeds {', '.join(map(str, seeds))}"
