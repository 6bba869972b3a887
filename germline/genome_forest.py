"""Many genomes in few bytes: individuals of one population share most of their lines.

Sorted, each genome is written as how many mutations it shares with the one before it and the rest: in sum,
every branch of the family forest once. The order in which genomes were given, repeats included, is kept too.

Layout, little endian: version u8, genomes given u32, distinct genomes u32; then for each distinct genome, in
order of (initialisation seed, mutations): init seed u64, mutations shared u32, runs u32, and per run of equal
power and rank: count u32, power f32, rank u8, the seeds u64; then for each genome given its position u32.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from germline.genome import Genome, Mutation, check_power
from germline.leisure import resting

FOREST_VERSION = 1

_HEADER = struct.Struct("<BII")
_TREE = struct.Struct("<QII")
_RUN = struct.Struct("<IfB")
_POSITION = struct.Struct("<I")
_SEED_BYTES = 8
_MANY = 10_000


def pack(genomes: Sequence[Genome]) -> bytes:
    """Write genomes, in their order and with their repeats, sharing what their lines share."""
    distinct = in_order_of_lines(genomes)
    positions = {genome.id: position for position, genome in enumerate(resting(distinct))}
    parts = [_HEADER.pack(FOREST_VERSION, len(genomes), len(distinct))]
    before: Genome | None = None
    for genome in resting(distinct):
        parts.append(_pack_branch(genome, shared_mutations(before, genome) if before is not None else 0))
        before = genome
    places = np.fromiter((positions[genome.id] for genome in resting(genomes)), "<u4", len(genomes))
    packed = bytearray()
    for part in resting(parts):  # one by one: to join a million at once lets nobody else in meanwhile
        packed += part
    return bytes(packed + places.tobytes())


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


def in_order_of_lines(genomes: Iterable[Genome]) -> list[Genome]:
    """Distinct genomes by initialisation seed and mutations; every branch of the forest is walked once."""
    founders: dict[int, Genome] = {}
    children: dict[int, dict[int, Genome]] = {}  # of an id, by id; who has none, as nearly all, is not there
    wanted = {genome.id: genome for genome in resting(genomes)}
    for genome in resting(wanted.values()):
        each = genome
        while (parent := each.parent()) and each.id not in children.setdefault(parent.id, {}):
            children[parent.id][each.id] = each
            each = parent
        if parent is None:
            founders[each.id] = each
    waiting = _by_falling_seed(list(founders.values()))
    ordered: list[Genome] = []
    for genome in resting(_popped(waiting)):
        if genome.id in wanted:
            ordered.append(genome)
        if genome.id in children:
            waiting += _by_falling_mutation(list(children.pop(genome.id).values()))
    return ordered


def _popped(waiting: list[Genome]) -> Iterator[Genome]:
    """Take from the end what is there, until nothing is; more may come meanwhile."""
    while waiting:
        yield waiting.pop()


def _by_falling_mutation(children: list[Genome]) -> list[Genome]:
    """Sort children of one parent, of which a leader may have hundreds of thousands: see below."""
    if len(children) < _MANY:
        return sorted(children, key=lambda child: child.last or (), reverse=True)
    last = [child.last or Mutation(0, 0.0, 0) for child in children]
    keys = (  # the last one counts first
        np.fromiter((each.rank for each in last), np.uint8, len(last)),
        np.fromiter((each.power for each in last), np.float64, len(last)),
        np.fromiter((each.seed for each in last), np.uint64, len(last)),
    )
    return [children[place] for place in np.lexsort(keys)[::-1]]


def _by_falling_seed(founders: list[Genome]) -> list[Genome]:
    """Sort founders. A random search has a million, and Python's sort lets nobody else in meanwhile."""
    seeds = np.fromiter((founder.init_seed for founder in founders), np.uint64, len(founders))
    return [founders[place] for place in np.argsort(seeds)[::-1]]


def shared_mutations(one: Genome, other: Genome) -> int:
    """How many mutations two lines have in common, from their founder on; 0 if their founders differ."""
    common = one.common_ancestor(other)
    return len(common) if common else 0


def _pack_branch(genome: Genome, shared: int) -> bytes:
    runs = [
        (power, rank, [mutation.seed for mutation in run])
        for (power, rank), run in groupby(genome.since(shared), key=lambda m: (m.power, m.rank))
    ]
    parts = [_TREE.pack(genome.init_seed, shared, len(runs))]
    for power, rank, seeds in runs:
        parts.append(_RUN.pack(len(seeds), power, rank))
        parts.append(struct.pack(f"<{len(seeds)}Q", *seeds))
    return b"".join(parts)


class _Reader:
    """Walks a packed forest; the last line is kept, so lines share their ancestors."""

    def __init__(self, packed: bytes, offset: int) -> None:
        self._packed = packed
        self.offset = offset
        self._line: list[Genome] = []  # the last genome's ancestors, its founder first, and itself

    def branch(self) -> Genome:
        """Read the next genome."""
        init_seed, shared, runs = self._next(_TREE)
        self._rewind(init_seed, shared)
        for _ in range(runs):
            self._run()
        return self._line[-1]

    def position(self, branches: int) -> int:
        """Read which distinct genome comes next in the order given."""
        (position,) = self._next(_POSITION)
        if position >= branches:
            raise ValueError(f"genome forest points at genome {position} of {branches}")
        return int(position)

    def _rewind(self, init_seed: int, shared: int) -> None:
        """Cut the last line back to what the next genome shares with it."""
        if not self._line or init_seed != self._line[0].init_seed:
            self._line = [Genome.founder(init_seed)]
        if shared > len(self._line[-1]):
            raise ValueError(f"genome forest shares {shared} mutations of a line of {len(self._line[-1])}")
        del self._line[shared + 1 :]

    def _run(self) -> None:
        """Read one run of equal power and rank onto the line."""
        size, power, rank = self._next(_RUN)
        check_power("power", power)
        seeds = struct.unpack_from(f"<{size}Q", self._packed, self.offset)
        self.offset += _SEED_BYTES * size
        for seed in seeds:
            self._line.append(self._line[-1].child(Mutation(seed, power, rank)))

    def _next(self, layout: struct.Struct) -> tuple[Any, ...]:
        fields = layout.unpack_from(self._packed, self.offset)
        self.offset += layout.size
        return fields
