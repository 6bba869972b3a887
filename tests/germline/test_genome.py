"""Genomes are immutable, have ids that chain, and keep their bytes for ever."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.genome import MAX_RANK, Genome, Mutation, check_seed, float32, format_id, parse_id

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "genome-v1.json").read_text())

seeds = st.integers(0, 2**64 - 1)
powers = st.floats(-(2.0**100), 2.0**100, width=32).map(lambda power: power + 0.0)  # no negative zero
mutations = st.builds(Mutation, seed=seeds, power=powers, rank=st.sampled_from([0, 0, 1, 4, 255]))
lines = st.lists(mutations, max_size=30)


def grow(init_seed: int, line: list[Mutation]) -> Genome:
    genome = Genome.founder(init_seed)
    for mutation in line:
        genome = genome.child(mutation)
    return genome


genomes = st.builds(grow, seeds, lines)


def test_a_child_has_its_parents_line_and_one_mutation() -> None:
    parent = Genome.founder(5).child(Mutation(1, 0.5))
    child = parent.child(Mutation(2, 0.25, 3))
    assert child.init_seed == 5
    assert child.mutations == (Mutation(1, 0.5), Mutation(2, 0.25, 3))
    assert len(child) == 2
    assert child.parent() == parent


def test_a_founder_has_no_parent() -> None:
    assert Genome.founder(5).parent() is None
    assert Genome.founder(5).last is None


def test_a_mutation_is_dense_unless_it_says_its_rank() -> None:
    assert Mutation(1, 0.5) == Mutation(1, 0.5, rank=0)
    assert Genome.founder(5).child(Mutation(1, 0.5, MAX_RANK)).last == (1, 0.5, 255)


def test_a_genome_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Genome.founder(5).init_seed = 6  # type: ignore[misc]


@given(genomes)
def test_encoding_and_decoding_gives_the_same_individual(genome: Genome) -> None:
    decoded = Genome.decode(genome.encode())
    assert decoded == genome
    assert decoded.id == genome.id
    assert hash(decoded) == hash(genome)


@given(seeds, lines)
def test_extending_by_several_mutations_equals_child_by_child(init_seed: int, line: list[Mutation]) -> None:
    at_once = Genome.founder(init_seed).extended(line)
    assert at_once == grow(init_seed, line)
    assert at_once.id == grow(init_seed, line).id


@given(genomes)
def test_every_prefix_is_an_ancestor_with_the_id_it_had_when_it_lived(genome: Genome) -> None:
    line = list(genome.ancestors())
    assert [len(ancestor) for ancestor in line] == list(range(len(genome) + 1))
    assert [ancestor.id for ancestor in line] == genome.ancestor_ids()
    assert line == [grow(genome.init_seed, list(genome.mutations[:n])) for n in range(len(genome) + 1)]


@given(seeds, st.lists(mutations, min_size=1, max_size=8), st.data())
def test_another_seed_power_or_rank_anywhere_is_another_individual(
    init_seed: int, line: list[Mutation], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(mutations.filter(lambda mutation: mutation != line[place]))
    changed = [*line[:place], other, *line[place + 1 :]]
    assert grow(init_seed, changed) != grow(init_seed, line)
    assert grow(init_seed, changed).id != grow(init_seed, line).id


def test_individuals_spread_over_a_dictionary() -> None:
    assert len({hash(Genome.founder(seed)) for seed in range(100)}) == 100


def test_ids_are_the_chained_digests_that_the_docstring_promises() -> None:
    def digest(message: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(message, digest_size=8).digest(), "little")

    founder = digest(b"founder\x01" + struct.pack("<Q", 7))
    child = digest(struct.pack("<QQdB", founder, 99, 0.5, 2))
    assert Genome.founder(7).child(Mutation(99, 0.5, 2)).id == child


@pytest.mark.parametrize("case", GOLDEN["genomes"], ids=lambda case: case["id"])
def test_frozen_bytes_still_decode_to_the_frozen_individual(case: dict[str, str]) -> None:
    genome = Genome.decode(bytes.fromhex(case["encoding"]))
    assert format_id(genome.id) == case["id"]
    assert genome.encode().hex() == case["encoding"]


def test_equal_powers_cost_eight_bytes_a_mutation() -> None:
    genome = grow(1, [Mutation(seed, float32(0.002)) for seed in range(10_000)])
    assert len(genome.encode()) < 8 * 10_000 + 32


@pytest.mark.parametrize("cut", [0, 1, 8, 9, 12, 22, 29])
def test_bytes_cut_short_are_refused(cut: int) -> None:
    encoded = grow(1, [Mutation(2, 0.5)]).encode()
    if cut == 9:  # a whole founder
        assert Genome.decode(encoded[:cut]) == Genome.founder(1)
        return
    with pytest.raises(ValueError, match="cut short"):
        Genome.decode(encoded[:cut])


def test_bytes_of_another_version_are_refused_by_number() -> None:
    with pytest.raises(ValueError, match="version 9; this build reads 1"):
        Genome.decode(b"\x09" + Genome.founder(1).encode()[1:])


@pytest.mark.parametrize("power", [float("nan"), float("inf"), 0.1, 1e300, -0.0])
def test_a_power_that_is_no_float32_is_refused(power: float) -> None:
    encoded = struct.pack("<BQIdBQ", 1, 1, 1, power, 0, 2)
    with pytest.raises(ValueError, match=r"^power is"):
        Genome.decode(encoded)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_beyond_uint64_is_refused_by_name(seed: int) -> None:
    with pytest.raises(ValueError, match="init_seed is"):
        Genome.founder(seed)
    with pytest.raises(ValueError, match="my_seed is"):
        check_seed("my_seed", seed)


@given(seeds)
def test_an_id_is_read_as_it_is_written(individual_id: int) -> None:
    assert parse_id(format_id(individual_id)) == individual_id


@pytest.mark.parametrize("text", ["", "123", "z" * 16, "0" * 17])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="16 hexadecimal digits"):
        parse_id(text)


def test_what_people_see_of_a_genome_is_its_id_and_length() -> None:
    genome = grow(1, [Mutation(2, 0.5)])
    assert repr(genome) == f"<Genome {format_id(genome.id)}: 1 mutations>"
    assert genome != "something else"


def test_a_child_shares_the_line_of_its_parent() -> None:
    parent = Genome.founder(1).child(Mutation(2, 0.5))
    child = parent.child(Mutation(3, 0.5))
    assert child.parent() is parent
    assert child.last == Mutation(3, 0.5)
    assert child.since(1) == (Mutation(3, 0.5),)
    assert list(child.ancestors())[1] is parent


def test_relatives_find_their_youngest_common_ancestor() -> None:
    stem = Genome.founder(1).child(Mutation(2, 0.5))
    long, short = stem.extended([Mutation(3, 0.5), Mutation(4, 0.5)]), stem.child(Mutation(9, 0.5))
    read_again = Genome.decode(long.encode())
    assert long.common_ancestor(short) == short.common_ancestor(read_again) == stem
    assert long.common_ancestor(stem) is stem
    assert long.common_ancestor(Genome.founder(5)) is None


def test_a_line_of_any_length_is_compared_and_forgotten_without_recursion() -> None:
    mutations = [Mutation(seed, 0.5) for seed in range(100_000)]
    one, same = (Genome.founder(1).extended(mutations) for _ in range(2))
    assert one == same
    assert one != same.child(Mutation(1, 0.5)).parent().parent()  # type: ignore[union-attr]
    del one
    assert same.mutations == tuple(mutations)


def unpickled(genome: Genome) -> object:
    return pickle.loads(pickle.dumps(genome))  # noqa: S301 - its own bytes


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, unpickled])
def test_a_line_of_any_length_is_copied_and_pickled(again: Callable[[Genome], object]) -> None:
    genome = Genome.founder(1).extended(Mutation(seed, 0.5) for seed in range(10_000))
    assert again(genome) == genome


def test_a_genome_beside_a_relative_holds_their_common_line_only_once() -> None:
    stem = Genome.founder(1).child(Mutation(2, 0.5))
    relative = stem.extended([Mutation(3, 0.5)])
    genome = Genome.decode(stem.extended([Mutation(4, 0.5), Mutation(5, 0.5)]).encode())
    beside = genome.beside(relative)
    assert beside == genome
    assert list(beside.ancestors())[1] is stem
    assert genome.beside(Genome.founder(7)) is genome
