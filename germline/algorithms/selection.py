"""Who breeds."""

from __future__ import annotations

from germline.algorithms.draws import below, unit
from germline.algorithms.window import Member, Window


def truncation(window: Window, parents: int, word: int) -> Member:
    """One of the `parents` best, each as likely as the other (Such et al. 2018, algorithm 1)."""
    return window.ranked(-1 - below(word, min(parents, len(window))))


def tournament(window: Window, size: int, word: int) -> Member:
    """The best of `size` members drawn with replacement.

    The best of k uniform ranks is distributed like ``n * u ** (1 / k)``: one die instead of k.
    """
    n = len(window)
    return window.ranked(min(n - 1, int(n * unit(word) ** (1 / size))))
