"""Who breeds."""

from __future__ import annotations

from germline.algorithms.draws import below, unit
from germline.algorithms.window import Window
from germline.genome import Genome


def truncation(window: Window, parents: int, champion: Genome | None, word: int) -> Genome:
    """One of the `parents` best or the champion, all as likely (Such et al. 2018, algorithm 1)."""
    best = min(parents, window.comparable)
    place = below(word, best + (champion is not None))
    return champion if champion is not None and place == best else window.ranked(-1 - place).genome


def tournament(window: Window, size: int, word: int) -> Genome:
    """The best of `size` members drawn with replacement.

    The best of k uniform ranks is distributed like ``n * u ** (1 / k)``: one die instead of k.
    """
    n = window.comparable
    return window.ranked(min(n - 1, int(n * unit(word) ** (1 / size)))).genome
