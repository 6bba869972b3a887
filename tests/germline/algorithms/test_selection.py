"""Who breeds: each of the best as likely under truncation, the better the likelier in a tournament."""

from __future__ import annotations

from collections import Counter

import pytest

from germline.algorithms.selection import tournament, truncation
from germline.algorithms.window import Member, Window
from germline.genome import Genome

GENOMES = [Genome.founder(seed) for seed in range(4)]
STRANGER = Genome.founder(99)
WORDS = [(2 * k + 1) * 2**63 // 120 for k in range(120)]  # spread evenly over all words


@pytest.fixture
def window() -> Window:
    """Four members, the later the better."""
    window = Window(10, "oldest")
    for rank, genome in enumerate(GENOMES):
        window.add(Member(genome, rank, float(rank), 1))
    return window


def test_each_of_the_best_is_as_likely(window: Window) -> None:
    assert Counter(truncation(window, 3, None, word) for word in WORDS) == dict.fromkeys(GENOMES[1:], 40)


def test_the_champion_breeds_beside_them_as_likely_as_each(window: Window) -> None:
    drawn = Counter(truncation(window, 3, STRANGER, word) for word in WORDS)
    assert drawn == dict.fromkeys([*GENOMES[1:], STRANGER], 30)


def test_all_breed_where_there_are_fewer_than_may(window: Window) -> None:
    assert Counter(truncation(window, 9, None, word) for word in WORDS) == dict.fromkeys(GENOMES, 30)


def test_a_tournament_of_one_is_a_draw_and_of_two_has_the_better_win(window: Window) -> None:
    assert Counter(tournament(window, 1, word) for word in WORDS) == dict.fromkeys(GENOMES, 30)
    chances = [Counter(tournament(window, 2, word) for word in WORDS)[genome] / 120 for genome in GENOMES]
    assert chances == pytest.approx([1 / 16, 3 / 16, 5 / 16, 7 / 16], abs=0.01)


def test_the_best_wins_a_tournament_whatever_the_die(window: Window) -> None:
    assert tournament(window, 5, 2**64 - 1) == GENOMES[-1]
    assert tournament(window, 10**6, 2**63) == GENOMES[-1]
