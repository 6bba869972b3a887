"""Many genomes in few bytes: individuals of one population share most of their lines.

Sorted, each genome is written as how many mutations it shares with the one before it and the rest: in sum,
every branch of the family forest once. The order in which genomes were given, repeats included, is kept too.

Layout, little endian: version u8, genomes given u32, distinct genomes u32; then for each distinct genome, in
order of (initialisation seed, mutations): init seed u64, mutations shared u32, runs u32, and per run of equal
power and rank: count u32, power f32, rank u8, the seeds u64; then for each genome given its position u32.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Sequence
from itertools import compress, count, groupby
from typing import Any

from germline.genome import Genome, Mutation, check_power, child_id, founder_id

FOREST_VERSION = 1

_HEADER = struct.Struct("<BII")
_TREE = struct.Struct("<QII")
_RUN = struct.Struct("<IfB")
_POSITION = struct.Struct("<I")
_SEED_BYTES = 8


def pack(genomes: Sequence[Genome]) -> bytes:
    """Write genomes, in their order and with their repeats, sharing what their lines share."""
    distinct = sorted(set(genomes), key=lambda genome: (genome.init_seed, genome.mutations))
    positions = {genome.id: position for position, genome in enumerate(distinct)}
    parts = [_HEADER.pack(FOREST_VERSION, len(genomes), len(distinct))]
    before: Genome | None = None
    for genome in distinct:
        parts.append(_pack_branch(genome, shared_mutations(before, genome) if before is not None else 0))
        before = genome
    parts.extend(_POSITION.pack(positions[genome.id]) for genome in genomes)
    return b"".join(parts)


def unpack(packed: bytes) -> list[Genome]:
    """Read what :func:`pack` wrote; lines share their mutations in memory, too.

    Raises:
        ValueError: if the bytes are cut short, too long, of another version or make no sense.
    """
    try:
        version, given, branches = _HEADER.unpack_from(packed)
        if version != FOREST_VERSION:
            raise ValueError(f"genome forest is of version {version}; this build reads {FOREST_VERSION}")
        reader = _Reader(packed, _HEADER.size)
        distinct = [reader.branch() for _ in range(branches)]
        positions = [reader.position(branches) for _ in range(given)]
    except struct.error as error:
        raise ValueError(f"genome forest of {len(packed)} bytes is cut short: {error}") from None
    if reader.offset != len(packed):
        raise ValueError(f"genome forest has {len(packed) - reader.offset} bytes too many")
    return [distinct[position] for position in positions]


def shared_mutations(one: Genome, other: Genome) -> int:
    """How many mutations two lines have in common, from their founder on; 0 if their founders differ."""
    if one.init_seed != other.init_seed:
        return 0
    differs = map(operator.ne, one.mutations, other.mutations)
    return next(compress(count(), differs), min(len(one), len(other)))


def _pack_branch(genome: Genome, shared: int) -> bytes:
    runs = [
        (power, rank, [mutation.seed for mutation in run])
        for (power, rank), run in groupby(genome.mutations[shared:], key=lambda m: (m.power, m.rank))
    ]
    parts = [_TREE.pack(genome.init_seed, shared, len(runs))]
    for power, rank, seeds in runs:
        parts.append(_RUN.pack(len(seeds), power, rank))
        parts.append(struct.pack(f"<{len(seeds)}Q", *seeds))
    return b"".join(parts)


class _Reader:
    """Walks a packed forest; ids along the last line are kept, so a shared mutation is digested once."""

    def __init__(self, packed: bytes, offset: int) -> None:
        self._packed = packed
        self.offset = offset
        self._init_seed = -1
        self._line: list[Mutation] = []
        self._ids: list[int] = []  # of the last line's founder, first mutation, ...

    def branch(self) -> Genome:
        """Read the next genome."""
        init_seed, shared, runs = self._next(_TREE)
        self._rewind(init_seed, shared)
        for _ in range(runs):
            self._run()
        return Genome(init_seed, tuple(self._line), self._ids[-1])

    def position(self, branches: int) -> int:
        """Read which distinct genome comes next in the order given."""
        (position,) = self._next(_POSITION)
        if position >= branches:
            raise ValueError(f"genome forest points at genome {position} of {branches}")
        return int(position)

    def _rewind(self, init_seed: int, shared: int) -> None:
        """Cut the last line back to what the next genome shares with it."""
        if init_seed != self._init_seed:
            self._init_seed, self._line, self._ids = init_seed, [], [founder_id(init_seed)]
        if shared > len(self._line):
            raise ValueError(f"genome forest shares {shared} mutations of a line of {len(self._line)}")
        del self._line[shared:], self._ids[shared + 1 :]

    def _run(self) -> None:
        """Read one run of equal power and rank onto the line."""
        size, power, rank = self._next(_RUN)
        check_power("power", power)
        seeds = struct.unpack_from(f"<{size}Q", self._packed, self.offset)
        self.offset += _SEED_BYTES * size
        for seed in seeds:
            self._line.append(Mutation(seed, power, rank))
            self._ids.append(child_id(self._ids[-1], self._line[-1]))

    def _next(self, layout: struct.Struct) -> tuple[Any, ...]:
        fields = layout.unpack_from(self._packed, self.offset)
        self.offset += layout.size
        return fields
