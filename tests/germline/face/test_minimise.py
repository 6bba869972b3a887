"""`germline.minimise`: the least value of a plain function."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

import germline
from germline.face.minimise import MOST_WORKERS

Vector = np.ndarray


def sphere(x: Vector) -> float:
    return float(np.square(x - 0.5).sum())


def marked_sphere(x: Vector) -> float:
    Path(os.environ["MARKS"], str(os.getpid())).touch()
    return sphere(x)


def broken(x: Vector) -> float:
    raise ZeroDivisionError("in the middle of it")


def test_it_finds_the_least_value_and_where_it_is() -> None:
    found = germline.minimise(sphere, 5, budget=3_000)
    assert found.value == sphere(found.x) < 1e-5
    assert np.abs(found.x - 0.5).max() < 0.01


def test_it_begins_where_it_is_told_as_far_around_as_it_is_told() -> None:
    far = np.full(5, 1_000.0)
    near = germline.minimise(sphere, far, budget=200, sigma=0.001)
    assert np.abs(near.x - far).max() < 0.1
    assert germline.minimise(lambda x: sphere(x / 1_000), far, budget=3_000, sigma=500).value < 1e-3


def test_the_history_is_the_least_value_until_then_and_the_budget_is_kept_to() -> None:
    calls: list[float] = []

    def noted(x: Vector) -> float:
        calls.append(sphere(x))
        return calls[-1]

    found = germline.minimise(noted, 3, budget=150)
    assert found.evaluations == len(calls) == 150
    assert found.history.tolist() == np.minimum.accumulate(calls).tolist()
    assert found.value == found.history[-1]


def test_the_seed_alone_decides_the_answer_not_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKS", str(tmp_path))
    alone = germline.minimise(sphere, 3, budget=200, seed=7)
    together = germline.minimise(marked_sphere, 3, budget=200, seed=7, workers=2)
    other = germline.minimise(sphere, 3, budget=200, seed=8)
    assert together.x.tolist() == alone.x.tolist() != other.x.tolist()
    assert together.history.tolist() == alone.history.tolist()
    assert str(os.getpid()) not in {mark.name for mark in tmp_path.iterdir()}


def test_it_stops_at_the_target() -> None:
    found = germline.minimise(sphere, 3, budget=100_000, target=0.01)
    assert found.value <= 0.01
    assert found.evaluations < 3_000


def test_a_lucky_value_of_a_noisy_function_does_not_win() -> None:
    luck = np.random.default_rng(0)

    def noisy(x: Vector) -> float:
        return sphere(x) + float(luck.normal())

    fooled = germline.minimise(noisy, 3, budget=2_000)
    found = germline.minimise(noisy, 3, budget=2_000, noisy=True)
    assert abs(found.value - sphere(found.x)) < 0.5 < abs(fooled.value - sphere(fooled.x))


def test_what_is_no_number_counts_for_nothing() -> None:
    found = germline.minimise(lambda x: sphere(x) if x[0] > 0 else math.nan, 3, budget=1_000)
    assert found.value == sphere(found.x) < 0.01
    with pytest.raises(germline.GermlineError, match="no finite value in 50 calls"):
        germline.minimise(lambda _: math.inf, 3, budget=50)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_function_raises_is_raised(workers: int) -> None:
    with pytest.raises(ZeroDivisionError, match="in the middle of it"):
        germline.minimise(broken, 3, workers=workers)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"x0": 0}, "x0"),
        ({"x0": [1.0, math.nan]}, "x0"),
        ({"x0": 2, "budget": 0}, "budget is 0; allowed: 1 or more"),
        ({"x0": 2, "sigma": 0.0}, "sigma is 0.0; allowed: finite and above 0"),
        ({"x0": 2, "workers": 17}, f"workers is 17; allowed: 1 to {MOST_WORKERS}"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(named: dict[str, object], says: str) -> None:
    with pytest.raises(germline.GermlineError, match=says):
        germline.minimise(sphere, **named)  # type: ignore[arg-type]
