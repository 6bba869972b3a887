"""Noise version 1 is a promise: these tests say which numbers it means, for ever."""

from __future__ import annotations

import json
import math
import random
from itertools import combinations
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline import noise

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "noise-v1.json").read_text())
UINT64 = 2**64 - 1

uint64 = st.integers(0, UINT64)
starts = st.integers(0, 2**50)
counts = st.integers(1, 200)


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Philox4x64-10 as Salmon et al. 2011 print it, in plain integers."""
    x, k = list(counter), list(key)
    for _ in range(10):
        low0, low1 = 0xD2E7470EE14C6C93 * x[0], 0xCA5A826395121157 * x[2]
        x = [(low1 >> 64) ^ x[1] ^ k[0], low1 & UINT64, (low0 >> 64) ^ x[3] ^ k[1], low0 & UINT64]
        k = [(k[0] + 0x9E3779B97F4A7C15) & UINT64, (k[1] + 0xBB67AE8584CAA73B) & UINT64]
    return x


def lane(seed: int, stream: int, epoch: int, index: int) -> int:
    """One value's table index by the definition, without numpy."""
    words = philox((index // 16, epoch, 0, 0), (seed, stream))
    return words[index % 16 // 4] >> 16 * (index % 4) & 0xFFFF


def test_the_independent_philox_gives_the_published_known_answer() -> None:
    assert philox((0, 0, 0, 0), (0, 0)) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]


def test_a_block_of_lanes_is_the_published_known_answer_low_bits_first() -> None:
    words = noise.lanes(0, 0, 0, 16).astype("<u2").view("<u8")
    assert [hex(word) for word in words] == [
        "0x16554d9eca36314c",
        "0xdb20fe9d672d0fdc",
        "0xd7e772cee186176b",
        "0x7e68b68aec7ba23b",
    ]


@given(seed=uint64, stream=uint64, epoch=uint64, start=starts, count=st.integers(1, 40))
def test_lanes_equal_the_definition_in_plain_integers(
    seed: int, stream: int, epoch: int, start: int, count: int
) -> None:
    expected = [lane(seed, stream, epoch, start + i) for i in range(count)]
    assert noise.lanes(seed, stream, start, count, epoch).tolist() == expected


@pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=lambda vector: vector["name"])
def test_drawn_units_are_the_frozen_ones(vector: dict[str, str | int | list[int]]) -> None:
    seed, stream, epoch = (int(str(vector[field]), 16) for field in ("seed", "stream", "epoch"))
    start, expected = int(str(vector["start"]), 16), vector["units"]
    assert isinstance(expected, list)
    assert noise.units(seed, stream, start, len(expected), epoch).tolist() == expected


def test_streams_of_names_are_the_frozen_ones() -> None:
    assert {name: f"{noise.stream_id(name):016x}" for name in GOLDEN["streams"]} == GOLDEN["streams"]


def test_the_self_test_digest_is_the_frozen_one() -> None:
    assert noise.self_test_digest() == GOLDEN["self_test_digest"]
    assert noise.self_test_digest() == noise.self_test_digest()


def test_the_table_is_antisymmetric_and_holds_rounded_quantiles() -> None:
    table = noise.table_units().astype(int)
    assert (table == -table[::-1]).all()
    quantile = NormalDist().inv_cdf
    for index in (0, 1, 1_000, 32_768, 50_000, 65_535):
        assert table[index] == round(quantile((index + 0.5) / 65_536) * 1_024)


def test_uniform_values_are_as_many_equal_steps_around_nought() -> None:
    uniform = noise.uniform_values().astype(np.float64)
    assert noise.uniform_values().dtype == np.float32
    assert np.array_equal(uniform * 65_536, np.arange(-65_535, 65_536, 2))


def test_nobody_can_write_into_a_table() -> None:
    for table in (noise.table_units(), noise.table_values(), noise.uniform_values()):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 0


def test_a_machine_that_computes_another_table_is_told_not_to_evolve(monkeypatch: pytest.MonkeyPatch) -> None:
    true = noise._TABLE_DIGEST
    monkeypatch.setattr(noise, "_TABLE_DIGEST", "other")
    says = f"^noise table has digest {true}, version 1 has other: do not evolve here$"
    with pytest.raises(RuntimeError, match=says):
        noise.table_units.__wrapped__()


@given(seed=uint64, stream=uint64, start=starts, count=counts, longer=counts)
def test_a_prefix_of_a_longer_draw_is_the_shorter_draw(
    seed: int, stream: int, start: int, count: int, longer: int
) -> None:
    long = noise.draw(seed, stream, start, count + longer)
    assert np.array_equal(long[:count], noise.draw(seed, stream, start, count))


@given(seed=uint64, stream=uint64, start=starts, count=counts, skipped=st.integers(0, 200))
def test_any_window_of_a_draw_is_the_draw_of_that_window(
    seed: int, stream: int, start: int, count: int, skipped: int
) -> None:
    whole = noise.draw(seed, stream, start, skipped + count)
    assert np.array_equal(whole[skipped:], noise.draw(seed, stream, start + skipped, count))


def test_draws_of_other_seeds_streams_and_epochs_are_uncorrelated() -> None:
    n = 20_000
    keys = [(1, 1, 0), (2, 1, 0), (1, 2, 0), (2, 2, 0), (1, 1, 1), (1, 1, 2), (1, UINT64, 0), (UINT64, 1, 0)]
    drawn = [noise.draw(seed, stream, 0, n, epoch) for seed, stream, epoch in keys]
    worst = max(abs(float(np.corrcoef(one, other)[0, 1])) for one, other in combinations(drawn, 2))
    assert worst < 5 / math.sqrt(n)


def test_a_generator_begins_at_the_first_block_outside_evolution_strategies() -> None:
    assert np.array_equal(noise.next_lanes(noise.generator(3, 4), 40), noise.lanes(3, 4, 0, 40, epoch=0))
    assert np.array_equal(
        noise.next_lanes(noise.generator(3, 4, 2, 5), 40), noise.lanes(3, 4, 32, 40, epoch=5)
    )


def test_a_generator_goes_on_where_it_stopped_block_by_block() -> None:
    source = noise.generator(3, 4)
    drawn = [noise.next_lanes(source, 32), noise.next_lanes(source, 5), noise.next_lanes(source, 16)]
    assert np.array_equal(np.concatenate(drawn), noise.lanes(3, 4, 0, 64)[[*range(37), *range(48, 64)]])


def test_drawing_touches_no_global_generator() -> None:
    random.seed(1)
    np.random.seed(1)
    plain, legacy = random.getstate(), repr(np.random.get_state())
    noise.draw(3, 4, 0, 1_000)
    noise.self_test_digest()
    assert random.getstate() == plain
    assert repr(np.random.get_state()) == legacy


def test_drawing_something_else_in_between_changes_nothing() -> None:
    before = noise.draw(3, 4, 10, 100)
    noise.draw(5, 6, 7, 8)
    assert np.array_equal(before, noise.draw(3, 4, 10, 100))


def test_values_are_units_of_two_to_the_minus_ten_exactly() -> None:
    drawn = noise.draw(9, 9, 0, 5_000)
    assert drawn.dtype == np.float32
    assert np.array_equal(drawn.astype(np.float64) * 1_024, noise.units(9, 9, 0, 5_000).astype(np.float64))


def test_a_large_draw_has_the_mean_variance_and_tails_of_the_standard_normal() -> None:
    n = 1_000_000
    drawn = noise.draw(2024, noise.stream_id("distribution"), 0, n).astype(np.float64)
    assert abs(drawn.mean()) < 4 / math.sqrt(n)
    assert abs(drawn.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((drawn**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((drawn**4).mean() - 3) < 4 * math.sqrt(96 / n)


def test_a_large_draw_is_as_near_the_normal_distribution_as_chance_allows() -> None:
    """Kolmogorov-Smirnov by hand; the table's steps of 2**-10 add at most half a step times the density."""
    n = 200_000
    drawn = np.sort(noise.draw(7, noise.stream_id("ks"), 0, n).astype(np.float64))
    values, first = np.unique(drawn, return_index=True)
    below, upto = first / n, np.append(first[1:], n) / n
    cdf = np.array([NormalDist().cdf(value) for value in values])
    distance = max(np.abs(upto - cdf).max(), np.abs(below - cdf).max())
    assert distance < 1.95 / math.sqrt(n) + 0.4 / 1_024


def test_neighbouring_values_are_uncorrelated() -> None:
    n = 200_000
    drawn = noise.draw(11, 12, 0, n)
    for lag in (1, 2, 4, 15, 16, 17):
        assert abs(float(np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1])) < 5 / math.sqrt(n)


def test_float64_sums_of_products_are_exact_in_any_order() -> None:
    """Sums of weighted products of values stay far below 2**53 units of 2**-20: no order can lose a bit."""
    n = 100_000
    a, b = (noise.draw(seed, 1, 0, n).astype(np.float64) for seed in (1, 2))
    ranks = np.arange(n, dtype=np.float64) - n // 2
    terms = a * b * ranks
    exact = sum(
        int(x) * int(y) * int(r)
        for x, y, r in zip(noise.units(1, 1, 0, n), noise.units(2, 1, 0, n), ranks, strict=True)
    )
    order = np.random.default_rng(5).permutation(n)
    chunks = sum(float(part.sum()) for part in np.array_split(terms, 977))
    sums = {float(terms.sum()), float(terms[order].sum()), float(terms[::-1].cumsum()[-1]), chunks}
    assert sums == {exact / 2**20}
