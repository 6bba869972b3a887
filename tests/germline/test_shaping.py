"""Fitness becomes whole numbers, the same on every machine."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline import shaping
from germline.pairs import Block, Member, ParameterNoise, members, noise_epoch
from germline.shaping import ShapingName, shape

NAN, INF = math.nan, math.inf
ALL: list[tuple[ShapingName, int]] = [
    ("centred_rank", 0),
    ("z_score", 0),
    ("group_mean", 2),
    ("pair_sign", 0),
]
scores = st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=8)


def test_centred_rank_is_twice_the_rank_around_zero() -> None:
    assert shape([10, -5, 3, 4]).weights.tolist() == [3 - -3, -1 - 1]


def test_tied_members_share_their_average_rank() -> None:
    assert shape([1, 1, 1, 7]).weights.tolist() == [0, -1 - 3]


def test_z_score_is_standardised_and_quantised() -> None:
    fitness = np.array([3.0, -1.0, 0.5, 2.5])
    shaped = shape(fitness, "z_score")
    z = (fitness - fitness.mean()) / fitness.std()
    exact = z[::2] - z[1::2]
    assert np.abs(shaped.weights * shaped.unit - exact).max() <= shaped.unit


def test_group_mean_subtracts_each_groups_mean_and_divides_by_one_std() -> None:
    fitness = np.array([3.0, -1.0, 10.5, 2.5])
    shaped = shape(fitness, "group_mean", group_pairs=1)
    exact = (fitness[::2] - fitness[1::2]) / fitness.std()
    assert np.abs(shaped.weights * shaped.unit - exact).max() <= shaped.unit


def test_pair_sign_says_who_won() -> None:
    assert shape([2, 1, 1, 2, 3, 3], "pair_sign").weights.tolist() == [1, -1, 0]


@pytest.mark.parametrize(("name", "groups"), ALL)
@pytest.mark.parametrize("hole", [NAN, INF, -INF])
def test_a_missing_or_infinite_member_drops_its_pair(name: ShapingName, groups: int, hole: float) -> None:
    shaped = shape([1, 2, hole, 9, 4, 3, 5, 8], name, groups)
    assert shaped.weights[1] == 0
    assert shaped.members == 6
    assert shaped.weights[[0, 2, 3]].all()
    if not groups:
        assert shaped.weights[[0, 2, 3]].tolist() == shape([1, 2, 4, 3, 5, 8], name).weights.tolist()


@pytest.mark.parametrize(("name", "groups"), ALL)
@pytest.mark.parametrize("value", [0.0, 0.1, -1e300])
def test_zero_variance_weighs_nothing(name: ShapingName, groups: int, value: float) -> None:
    assert not shape([value] * 8, name, groups).weights.any()


@pytest.mark.parametrize(("name", "groups"), ALL)
def test_if_every_member_is_missing_nothing_counts(name: ShapingName, groups: int) -> None:
    shaped = shape([NAN] * 8, name, groups)
    assert not shaped.weights.any()
    assert (shaped.unit, shaped.members) == (0.0, 0)


@pytest.mark.parametrize(("name", "groups"), ALL)
def test_scores_of_any_type_are_taken_as_the_float64_that_they_are(name: ShapingName, groups: int) -> None:
    half = np.random.default_rng(1).normal(size=400).astype(np.float16)
    shaped = shape(half, name, groups)
    assert shaped.weights.dtype == np.int64
    assert shaped.weights.tolist() == shape(half.astype(np.float64), name, groups).weights.tolist()


def test_a_group_of_which_everybody_is_missing_moves_no_other() -> None:
    shaped = shape([NAN, 1, 2, NAN, 9, 4, 3, 5], "group_mean", group_pairs=2)
    assert shaped.weights.tolist() == [0, 0, *shape([9, 4, 3, 5], "group_mean", group_pairs=2).weights]
    assert shaped.members == 4


@pytest.mark.parametrize(("name", "groups"), ALL)
@given(scores)
def test_weights_stay_within_their_stated_bound(name: ShapingName, groups: int, fitness: list[float]) -> None:
    assert np.abs(shape(fitness, name, groups).weights).sum() <= shaping.largest_weight_sum(name, 4)


@pytest.mark.parametrize(("name", "bound"), [("centred_rank", 2 * 4 * 4), ("pair_sign", 4)])
def test_the_bound_is_the_least_that_holds(name: ShapingName, bound: int) -> None:
    always_won = [5, 1, 6, 2, 7, 3, 8, 4]
    assert shaping.largest_weight_sum(name, 4) == np.abs(shape(always_won, name).weights).sum() == bound


@pytest.mark.parametrize("name", ["z_score", "group_mean"])
def test_the_bound_of_standardised_scores_leaves_room_for_the_rounding_and_no_more(name: ShapingName) -> None:
    told_apart = np.abs(shape([1, -1] * 4, "z_score").weights).sum()
    assert told_apart == 4 * 2 * 1024
    assert shaping.largest_weight_sum(name, 4) == told_apart + 4


def test_ranks_without_ties_have_a_variance_of_exactly_one() -> None:
    shaped = shape([1, 2, 3, 4])
    assert shaped.unit * math.sqrt((9 + 1 + 1 + 9) / 4) == pytest.approx(1, rel=1e-12)


def test_each_member_is_rounded_around_the_mean_of_its_own_group() -> None:
    by_group = np.random.default_rng(0).normal(size=(8, 4, 2)) + np.arange(8)[:, None, None]
    z = (by_group - by_group.mean(axis=(1, 2), keepdims=True)) / by_group.std()
    steps = np.rint(z * 1024).astype(int)
    expected = (steps[..., 0] - steps[..., 1]).ravel()
    assert shape(by_group.ravel(), "group_mean", group_pairs=4).weights.tolist() == expected.tolist()


@pytest.mark.parametrize(("name", "groups"), ALL)
@given(scores, st.integers(-900, 900))
def test_scale_does_not_matter(name: ShapingName, groups: int, fitness: list[float], exponent: int) -> None:
    rounded = np.rint(np.array(fitness))
    scaled = np.ldexp(rounded, exponent)
    assert shape(rounded, name, groups).weights.tolist() == shape(scaled, name, groups).weights.tolist()


@pytest.mark.parametrize("name", ["centred_rank", "z_score", "pair_sign"])
def test_shaped_fitness_has_unit_variance(name: ShapingName) -> None:
    fitness = np.random.default_rng(0).normal(size=2000)
    fitness[1::2] = -fitness[::2]  # so z+ - z- is 2 z+
    shaped = shape(fitness, name)
    assert np.std(shaped.weights * shaped.unit / 2) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("fitness", "name", "groups", "complaint"),
    [
        ([1, 2, 3], "z_score", 0, "even"),
        ([], "z_score", 0, "even"),
        ([1, 2], "best", 0, "shaping is 'best'; known are centred_rank, z_score, group_mean, pair_sign"),
        ([1, 2, 3, 4], "group_mean", 0, "group_pairs is 0"),
        ([1, 2, 3, 4], "z_score", 2, "group_pairs is 2"),
        ([1, 2, 3, 4, 5, 6], "group_mean", 2, "must divide the 3 pairs"),
    ],
)
def test_what_cannot_be_shaped_is_refused(
    fitness: list[float], name: ShapingName, groups: int, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        shape(fitness, name, groups)


def test_members_are_named_and_found_again() -> None:
    assert [str(m) for m in members(12, 3, 1)] == ["12.3+", "12.3-"]
    assert Member.parse("12.3-") == Member(12, 3, -1)
    for wrong in ("", "12.3", "a.3+", "12+", "12.-3+", "0.²+"):
        with pytest.raises(ValueError, match="EPOCH"):
            Member.parse(wrong)


def test_noise_is_kept_for_the_stated_number_of_epochs() -> None:
    assert [noise_epoch(e, 1) for e in range(4)] == [0, 1, 2, 3]
    assert [noise_epoch(e, 2) for e in range(4)] == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="noise_reuse is 0"):
        noise_epoch(0, 0)


def test_pairs_own_whole_blocks_of_the_stream() -> None:
    block = Block(stream=1, size=17)
    assert block.stride == 32
    assert block.window(3, 2) == (96, 64)


def test_streams_belong_to_names_so_equal_shapes_differ() -> None:
    one, other = (ParameterNoise.of(name, (3, 3), 1) for name in ("a.weight", "b.weight"))
    assert one.a
    assert other.a
    assert len({one.a.stream, one.b.stream, other.a.stream, other.b.stream}) == 4


def test_scores_that_should_be_rankings_already_are_refused() -> None:
    with pytest.raises(ValueError, match="not made of whole numbers; allowed: what weighted_ranks"):
        shape([0.25, 0.5, 1.0, 2.0], "weighted_ranks")
    assert shape([3, NAN, 1, 2], "weighted_ranks").weights.tolist() == [0, -1]
