"""Observations less their mean, divided by their deviation: the numbers, and what they are learned from.

A run learns them from what its episodes saw, and freezes them now and then: each time, that is a *version*.
The genome of whoever plays under a version says so: a mutation of power 0, which changes no weight, and whose
seed is the version's digest. So a score belongs to a genome as ever, relatives may play under different
versions, and a wrong number is noticed.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

from germline.genome import Genome, Mutation, format_id

CLIP = 10.0
"""How far a normalised number may be from 0, as in Stable-Baselines3's VecNormalize."""


class Normalisation(NamedTuple):
    """A mean and a deviation for each number of an observation; float32 values."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def digest(self) -> int:
        """A uint64 that names these numbers."""
        numbers = struct.pack(f"<{2 * len(self.mean)}f", *self.mean, *self.deviation)
        named = hashlib.blake2b(b"normalisation\x01" + numbers, digest_size=8)
        return int.from_bytes(named.digest(), "little")


class Version(NamedTuple):
    """Numbers that a run froze.

    Attributes:
        numbers: the mean and the deviation.
        first_epoch: of an evolution strategy, the first epoch that is played under them; 0 elsewhere.
    """

    numbers: Normalisation
    first_epoch: int = 0


def marked(genome: Genome, numbers: Normalisation, rank: int = 0) -> Genome:
    """The same network under these numbers: a child that differs by a mutation of power 0."""
    return genome.child(Mutation(numbers.digest, 0.0, rank))


def under(genome: Genome, numbers: Normalisation, rank: int = 0) -> Genome:
    """The same network under these numbers: itself, if it plays under them already."""
    return genome if digest_in(genome) == numbers.digest else marked(genome, numbers, rank)


def is_mark(mutation: Mutation | None) -> bool:
    """Whether a mutation changes no weight, and names a version."""
    return mutation is not None and mutation.power == 0


def digest_in(genome: Genome) -> int | None:
    """The digest of the version that a genome plays under; None if it sees what the task shows."""
    each: Genome | None = genome
    while each is not None:
        if each.last is not None and is_mark(each.last):
            return each.last.seed
        each = each.parent()
    return None


def of_genome(genome: Genome, versions: Sequence[Version]) -> Normalisation | None:
    """The numbers that a genome plays under; None if it sees what the task shows.

    Raises:
        ValueError: if its version is none of these.
    """
    digest = digest_in(genome)
    if digest is None:
        return None
    for version in reversed(versions):
        if version.numbers.digest == digest:
            return version.numbers
    raise ValueError(f"genome {format_id(genome.id)} plays under version {format_id(digest)}, not known here")


def of_epoch(epoch: int, versions: Sequence[Version]) -> Normalisation | None:
    """The numbers that an epoch is played under; None before the first version."""
    fitting = [version for version in versions if version.first_epoch <= epoch]
    return fitting[-1].numbers if fitting else None
