"""The dice of an ask: a digest of (experiment seed, ticket), so that the ticket is the only state."""

from __future__ import annotations

import hashlib
import struct
from itertools import chain, count, islice
from statistics import NormalDist

_MESSAGE = struct.Struct("<QQI")
_WORDS = struct.Struct("<8Q")
_PERSON = b"germline-ask-1"
_FIRST_EPISODES = 4
_FIRST_CONTEST = 1 << 31  # block; those of episodes count from 1
_inverse_normal = NormalDist().inv_cdf


class Dice:
    """Eight uint64 words for one ask, and as many episode seeds as it needs.

    Attributes:
        seed: the new mutation's, or the founder's initialisation.
        parent: picks the parent.
        power: moves a self-adapted power.
        archive: whether an individual's behaviour is put into an archive.
    """

    __slots__ = ("_experiment_seed", "_ticket", "_words", "archive", "parent", "power", "seed")

    def __init__(self, experiment_seed: int, ticket: int) -> None:
        self._experiment_seed = experiment_seed
        self._ticket = ticket
        self._words = _block(experiment_seed, ticket, 0)
        self.seed, self.parent, self.power, self.archive = self._words[:_FIRST_EPISODES]

    def episode_seeds(self, episodes: int) -> tuple[int, ...]:
        """Fresh uint64 seeds, one an episode; more episodes extend the same sequence."""
        if episodes <= _FIRST_EPISODES:
            return self._words[_FIRST_EPISODES : _FIRST_EPISODES + episodes]
        further = (_block(self._experiment_seed, self._ticket, number) for number in count(1))
        words = chain(self._words[_FIRST_EPISODES:], chain.from_iterable(further))
        return tuple(islice(words, episodes))

    def contest(self, contestants: int) -> tuple[int, ...]:
        """Words that pick the contestants of a tournament, apart from all that pick episodes."""
        blocks = (_block(self._experiment_seed, self._ticket, number) for number in count(_FIRST_CONTEST))
        return tuple(islice(chain.from_iterable(blocks), contestants))


def below(word: int, n: int) -> int:
    """Turn a uint64 word into an index below n, uniformly."""
    return (word * n) >> 64


def unit(word: int) -> float:
    """Turn a uint64 word into a float64 strictly between 0 and 1."""
    return ((word >> 12) + 0.5) / 2**52


def normal(word: int) -> float:
    """Turn a uint64 word into a standard normal value."""
    return _inverse_normal(unit(word))


def _block(experiment_seed: int, ticket: int, number: int) -> tuple[int, ...]:
    message = _MESSAGE.pack(experiment_seed, ticket, number)
    return _WORDS.unpack(hashlib.blake2b(message, person=_PERSON).digest())
