"""A packed forest holds every genome, in order, and every branch once."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline import genome_forest
from germline.genome import Genome, Mutation, float32, format_id
from germline.genome_forest import in_order_of_lines, pack, shared_mutations, unpack

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "genome-v1.json").read_text())["forest"]


@st.composite
def forests(draw: st.DrawFn) -> list[Genome]:
    """Families as evolution makes them: founders, and children of anyone before."""
    genomes = [Genome.founder(seed) for seed in draw(st.lists(st.integers(0, 3), max_size=3))]
    if genomes:
        for _ in range(draw(st.integers(0, 20))):
            parent = draw(st.sampled_from(genomes))
            power = draw(st.sampled_from([0.5, 0.25, float32(0.002)]))
            rank = draw(st.sampled_from([0, 0, 2]))
            genomes.append(parent.child(Mutation(draw(st.integers(0, 5)), power, rank)))
    return draw(st.permutations(genomes)) + genomes[:2]


@given(forests())
def test_unpacking_gives_the_same_genomes_in_the_same_order(genomes: list[Genome]) -> None:
    unpacked = unpack(pack(genomes))
    assert unpacked == genomes
    assert [genome.id for genome in unpacked] == [genome.id for genome in genomes]


def test_frozen_bytes_still_hold_the_frozen_genomes() -> None:
    packed = bytes.fromhex(GOLDEN["packed"])
    genomes = unpack(packed)
    assert [format_id(genome.id) for genome in genomes] == GOLDEN["ids"]
    assert pack(genomes) == packed


@given(forests())
def test_large_families_are_packed_as_small_ones_are(genomes: list[Genome]) -> None:
    packed = pack(genomes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(genome_forest, "_MANY", 2)
        assert pack(genomes) == packed


def test_shared_lines_are_written_once() -> None:
    trunk = Genome.founder(1).extended(Mutation(seed, 0.5) for seed in range(2_000))
    children = [trunk.child(Mutation(seed, 0.5)) for seed in range(100, 600)]
    assert len(pack(children)) < len(trunk.encode()) + 500 * 50


def test_unpacked_lines_share_their_mutations_in_memory() -> None:
    trunk = Genome.founder(1).extended(Mutation(seed, 0.5) for seed in range(10))
    one, other = unpack(pack([trunk.child(Mutation(1, 0.5)), trunk.child(Mutation(2, 0.5))]))
    assert all(a is b for a, b in zip(one.mutations[:10], other.mutations[:10], strict=True))


@given(forests().filter(lambda genomes: len(genomes) > 1))
def test_lines_share_mutations_up_to_the_first_that_differs(genomes: list[Genome]) -> None:
    one, other = genomes[:2]
    shared = shared_mutations(one, other)
    if one.init_seed != other.init_seed:
        assert shared == 0
        return
    assert one.mutations[:shared] == other.mutations[:shared]
    assert one.mutations[shared : shared + 1] != other.mutations[shared : shared + 1] or shared == len(one)


def test_any_cut_is_refused() -> None:
    packed = pack([Genome.founder(1).child(Mutation(2, 0.5)), Genome.founder(3)])
    for length in range(len(packed)):
        with pytest.raises(ValueError, match="cut short"):
            unpack(packed[:length])


def test_bytes_too_many_are_refused() -> None:
    with pytest.raises(ValueError, match="2 bytes too many"):
        unpack(pack([Genome.founder(1)]) + b"xx")


def test_another_version_is_refused_by_number() -> None:
    with pytest.raises(ValueError, match="version 7; this build reads 1"):
        unpack(b"\x07" + pack([])[1:])


def test_a_share_of_a_line_that_is_not_there_is_refused() -> None:
    packed = struct.pack("<BII", 1, 1, 1) + struct.pack("<QII", 5, 3, 0) + struct.pack("<I", 0)
    with pytest.raises(ValueError, match="shares 3 mutations of a line of 0"):
        unpack(packed)


def test_a_position_beyond_the_genomes_is_refused() -> None:
    packed = struct.pack("<BII", 1, 1, 1) + struct.pack("<QII", 5, 0, 0) + struct.pack("<I", 1)
    with pytest.raises(ValueError, match="genome 1 of 1"):
        unpack(packed)


@given(forests())
def test_lines_are_ordered_as_their_mutations_are(genomes: list[Genome]) -> None:
    expected = sorted(set(genomes), key=lambda genome: (genome.init_seed, genome.mutations))
    assert in_order_of_lines(genomes) == expected


@given(forests(), st.data())
def test_damaged_bytes_are_refused_or_read_as_genomes_that_pack_again(
    genomes: list[Genome], data: st.DataObject
) -> None:
    packed = bytearray(pack(genomes))
    packed[data.draw(st.integers(1, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    del packed[data.draw(st.integers(1, len(packed))) :]
    found = genomes
    with contextlib.suppress(ValueError):  # anything else is a crash
        found = unpack(bytes(packed))
    assert unpack(pack(found)) == found


def test_a_population_of_long_lines_packs_to_little_more_than_its_branches() -> None:
    dice = np.random.default_rng(3)
    population = [Genome.founder(0)]
    for _ in range(3_000):
        parent = population[-1 - int(dice.integers(min(50, len(population))))]
        population.append(parent.child(Mutation(int(dice.integers(2**63)), float32(0.002))))
    recent = population[-1_000:]
    assert unpack(pack(recent)) == recent
    assert len(pack(recent)) < len(b"".join(genome.encode() for genome in recent)) / 3
