"""Who breeds."""

from __future__ import annotations

from collections.abc import Iterable

from germline.algorithms.draws import below, unit
from germline.algorithms.window import Member, Window
from germline.genome import Genome


def truncation(window: Window, parents: int, champion: Genome | None, word: int) -> Genome:
    """One of the `parents` best or the champion, all as likely (Such et al. 2018, algorithm 1)."""
    best = min(parents, window.comparable)
    place = below(word, best + (champion is not None))
    return champion if champion is not None and place == best else window.ranked(-1 - place).genome


def anybody(window: Window, word: int) -> Genome:
    """Any member, all as likely: MAP-Elites' choice among its elites."""
    return window.ranked(below(word, window.comparable)).genome


def contestants(window: Window, words: Iterable[int]) -> list[Member]:
    """A member for each word, drawn with replacement; whoever is drawn twice is one contestant."""
    drawn = (window.ranked(below(word, window.comparable)) for word in words)
    return list({member.genome.id: member for member in drawn}.values())


def tournament(window: Window, size: int, word: int) -> Genome:
    """The best of `size` members drawn with replacement.

    The best of k uniform ranks is distributed like ``n * u ** (1 / k)``: one die instead of k.
    """
    n = window.comparable
    return window.ranked(min(n - 1, int(n * unit(word) ** (1 / size)))).genome
