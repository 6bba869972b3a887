"""What episodes saw, added up: exact in any order, and refused where nobody can have seen it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.genome import float32
from germline.observed import LARGEST, Observed, Totals, add_up, is_observed

SEEN = st.lists(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=20
)  # observations of three numbers


def observed(rows: list[list[float]]) -> Observed:
    seen = np.array(rows, np.float64)
    return Observed(len(seen), seen.sum(axis=0), np.square(seen).sum(axis=0))


@given(st.lists(SEEN, min_size=1, max_size=5))
def test_the_order_of_results_does_not_matter(parts: list[list[list[float]]]) -> None:
    here, there = Totals(), Totals()
    for part in parts:
        here.add(observed(part).pack())
    for part in reversed(parts):
        there.add(observed(part).pack())
    assert here.snapshot() == there.snapshot()
    assert here.freeze() == there.freeze()


def test_mean_and_deviation_are_those_of_all_that_was_seen() -> None:
    random = np.random.default_rng(3)
    seen = np.float32(random.normal([5.0, -1e-3, 3e4], [2.0, 1e-4, 1e3], (4_000, 3)))
    totals = Totals()
    for part in np.split(seen, 8):
        totals.add(observed(part.tolist()).pack())
    numbers = totals.freeze()
    assert numbers is not None
    np.testing.assert_allclose(numbers.mean, seen.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(numbers.deviation, seen.std(axis=0, dtype=np.float64), rtol=1e-6)
    assert all(float32(number) == number for number in (*numbers.mean, *numbers.deviation))


def test_what_never_changes_has_a_deviation_all_the_same() -> None:
    totals = Totals()
    totals.add(observed([[7.0]] * 5).pack())
    numbers = totals.freeze()
    assert numbers is not None
    assert numbers.mean == (7.0,)
    assert numbers.deviation == (float32(1e-4),)


def test_nothing_seen_says_nothing() -> None:
    assert Totals().freeze() is None
    assert Observed(0, np.zeros(2), np.zeros(2)).pack() == b""
    assert add_up([b"", b""]) == b""


def test_observations_of_another_size_than_the_first_are_passed_over() -> None:
    totals = Totals()
    totals.add(observed([[1.0, 2.0]]).pack())
    before = totals.snapshot()
    totals.add(observed([[1.0, 2.0, 3.0]]).pack())
    assert totals.snapshot() == before


def test_totals_go_on_after_a_snapshot() -> None:
    totals, restored = Totals(), Totals()
    totals.add(observed([[-3.0, 0.1], [4.5, -0.7]]).pack())
    restored.restore(totals.snapshot())
    for each in (totals, restored):
        each.add(observed([[9.0, 1e-5]]).pack())
    assert restored.snapshot() == totals.snapshot()


@given(SEEN, SEEN)
def test_parts_add_up_to_the_whole(one: list[list[float]], other: list[list[float]]) -> None:
    whole = Observed.unpack(add_up([observed(one).pack(), b"", observed(other).pack()]))
    assert whole.seen == len(one) + len(other)
    assert (whole.sums == observed(one).sums + observed(other).sums).all()


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (b"\x01" * 8, "8 bytes"),
        (b"\x01" * 30, "30 bytes"),
        (Observed(1, np.array([np.nan]), np.array([0.0])).pack(), "1 observations"),
        (Observed(1, np.array([np.inf]), np.array([np.inf])).pack(), "1 observations"),
        (Observed(2, np.array([0.0]), np.array([-1.0])).pack(), "2 observations"),
        (Observed(2, np.array([3 * LARGEST]), np.array([1.0])).pack(), "2 observations"),
    ],
)
def test_what_nobody_can_have_seen_is_refused(packed: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Observed.unpack(packed)


def test_one_ticket_of_four_tells_what_was_seen() -> None:
    assert [ticket for ticket in range(9) if is_observed(ticket)] == [0, 4, 8]
    assert is_observed(1 << 63 | 4), "a check of work is played as the work is"
