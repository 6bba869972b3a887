"""Genomes: a network written as the seeds that made it (Such et al. 2018, arXiv 1712.06567, section 3.1).

A genome is an initialisation seed followed by mutations, oldest first. It is immutable. Its id is a digest
chained along the line, ``id(child) = H(id(parent), mutation)``: equal genomes are one individual, a child's
id costs the same however long its line, and every prefix of a genome is an ancestor whose id is known.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

ENCODING_VERSION = 1
MAX_SEED = 2**64 - 1
MAX_RANK = 255

_FOUNDER = struct.Struct("<8sQ")
_LINK = struct.Struct("<QQdB")
_HEADER = struct.Struct("<BQ")
_RUN = struct.Struct("<IdB")
_FLOAT32 = struct.Struct("<f")


class Mutation(NamedTuple):
    """One step of a lineage: ``weights += power * noise(seed)``.

    Attributes:
        seed: uint64 that names the noise.
        power: standard deviation of the step; always a float32 value.
        rank: 0 for dense noise, otherwise the rank of each matrix's step.
    """

    seed: int
    power: float
    rank: int = 0


def float32(value: float) -> float:
    """Round a number to the nearest float32, the precision in which a power acts."""
    return float(_FLOAT32.unpack(_FLOAT32.pack(value))[0])


def founder_id(init_seed: int) -> int:
    """The id of a line's founder."""
    return _digest(_FOUNDER.pack(b"founder\x01", init_seed))


def child_id(parent_id: int, mutation: Mutation) -> int:
    """The id of a child, from its parent's: what makes digests of long lines cheap."""
    return _digest(_LINK.pack(parent_id, *mutation))


def _digest(message: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(message, digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True, eq=False)
class Genome:
    """An initialisation seed and the mutations that followed it, oldest first.

    A child holds its parent and one mutation, so it costs the same however long its line, and relatives share
    the line that they have in common. Build one with :meth:`founder` and :meth:`child`.

    Attributes:
        init_seed: uint64 of the founder's weights.
        id: the digest of all this.
        last: the mutation that made it of its parent; None for a founder.
    """

    init_seed: int
    id: int
    last: Mutation | None = None
    _parent: Genome | None = None
    _length: int = 0

    @classmethod
    def founder(cls, init_seed: int) -> Genome:
        """Start a line. Raises ValueError if the seed is not a uint64."""
        check_seed("init_seed", init_seed)
        return cls(init_seed, founder_id(init_seed))

    def child(self, mutation: Mutation) -> Genome:
        """Extend the line by one mutation."""
        return Genome(self.init_seed, child_id(self.id, mutation), mutation, self, self._length + 1)

    def extended(self, mutations: Iterable[Mutation]) -> Genome:
        """Extend the line by several mutations, oldest first."""
        genome = self
        for mutation in mutations:
            genome = genome.child(mutation)
        return genome

    def parent(self) -> Genome | None:
        """The genome without its last mutation; None for a founder."""
        return self._parent

    def ancestors(self) -> Iterator[Genome]:
        """The line from its founder to this genome itself, oldest first."""
        line: list[Genome] = []
        ancestor: Genome | None = self
        while ancestor is not None:
            line.append(ancestor)
            ancestor = ancestor._parent
        return reversed(line)

    def ancestor_ids(self) -> list[int]:
        """The ids of :meth:`ancestors`."""
        return [ancestor.id for ancestor in self.ancestors()]

    @property
    def mutations(self) -> tuple[Mutation, ...]:
        """The whole line, oldest first; written out at every look."""
        return self.since(0)

    def since(self, length: int) -> tuple[Mutation, ...]:
        """The mutations that followed the first `length`, oldest first."""
        newest_first: list[Mutation] = []
        genome = self
        while genome._length > length and genome.last and genome._parent:
            newest_first.append(genome.last)
            genome = genome._parent
        return tuple(reversed(newest_first))

    def common_ancestor(self, other: Genome) -> Genome | None:
        """The youngest genome that both descend from, or are; None if their founders differ."""
        one: Genome | None = self
        two: Genome | None = other
        while one and two and one.id != two.id:
            if one._length >= two._length:
                one = one._parent
            else:
                two = two._parent
        return one if two else None

    def beside(self, relative: Genome) -> Genome:
        """The same genome, which holds what it has in common with a relative only once in memory."""
        common = relative.common_ancestor(self)
        return common.extended(self.since(len(common))) if common else self

    def encode(self) -> bytes:
        """Write the genome as bytes, about 8 a mutation: equal powers are written once a run."""
        parts = [_HEADER.pack(ENCODING_VERSION, self.init_seed)]
        for (power, rank), run in groupby(self.mutations, key=lambda m: (m.power, m.rank)):
            seeds = [mutation.seed for mutation in run]
            parts.append(_RUN.pack(len(seeds), power, rank))
            parts.append(struct.pack(f"<{len(seeds)}Q", *seeds))
        return b"".join(parts)

    @classmethod
    def decode(cls, encoded: bytes) -> Genome:
        """Read what :meth:`encode` wrote.

        Raises:
            ValueError: if the bytes are cut short, of another version, or hold a power that is no float32.
        """
        init_seed, mutations = _parse(encoded)
        return cls(init_seed, founder_id(init_seed)).extended(mutations)

    def __len__(self) -> int:
        """How many mutations the line has."""
        return self._length

    def __bool__(self) -> bool:
        """A founder, without a mutation, is a genome too."""
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Genome):
            return NotImplemented
        if self is other:
            return True
        alike = (self.id, self.init_seed, len(self)) == (other.id, other.init_seed, len(other))
        return alike and self.mutations == other.mutations

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Callable[[bytes], Genome], tuple[bytes]]:
        """Copies and pickles as its encoding: link by link, a long line would be too deep for them."""
        return Genome.decode, (self.encode(),)

    def __repr__(self) -> str:
        return f"<Genome {format_id(self.id)}: {len(self)} mutations>"


def _parse(encoded: bytes) -> tuple[int, list[Mutation]]:
    """Split an encoding into its initialisation seed and its mutations."""
    try:
        version, init_seed = _HEADER.unpack_from(encoded)
        if version != ENCODING_VERSION:
            raise ValueError(f"genome encoding is of version {version}; this build reads {ENCODING_VERSION}")
        mutations: list[Mutation] = []
        offset = _HEADER.size
        while offset < len(encoded):
            count, power, rank = _RUN.unpack_from(encoded, offset)
            check_power("power", power)
            offset += _RUN.size
            seeds = struct.unpack_from(f"<{count}Q", encoded, offset)
            mutations.extend(Mutation(seed, power, rank) for seed in seeds)
            offset += 8 * count
    except struct.error as error:
        raise ValueError(f"genome encoding of {len(encoded)} bytes is cut short: {error}") from None
    return init_seed, mutations


def check_seed(field: str, seed: int) -> None:
    """Raise ValueError, naming the field, unless the seed is a uint64."""
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"{field} is {seed}; a seed lies in 0..2^64-1")


def check_power(field: str, power: float) -> None:
    """Raise ValueError, naming the field, unless the power is a finite float32 value and no negative zero.

    Negative zero would equal zero and yet have another digest.
    """
    negative_zero = power == 0 and math.copysign(1, power) < 0
    if not math.isfinite(power) or abs(power) > 3e38 or float32(power) != power or negative_zero:
        raise ValueError(f"{field} is {power}; a mutation power is a finite float32 value")


def format_id(individual_id: int) -> str:
    """Write an id as people see it: 16 hexadecimal digits."""
    return f"{individual_id:016x}"


def parse_id(text: str) -> int:
    """Read what :func:`format_id` wrote. Raises ValueError if the text is no such id."""
    try:
        if len(text) != 16:
            raise ValueError
        return int(text, 16)
    except ValueError:
        raise ValueError(f"id is {text!r}; an individual's id has 16 hexadecimal digits") from None
