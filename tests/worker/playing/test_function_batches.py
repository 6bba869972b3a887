"""Functions of many: one call for many individuals, each with its own score."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from germline.genome import Genome
from worker.playing.engine import Engine, Evaluation, Played
from worker.playing.engines import build_engine
from worker.playing.playable import EngineSettings
from worker.tasks.base import SetupError
from worker.tasks.function import FunctionTask

Rows = npt.NDArray[np.float32]
CALLS: list[tuple[int, ...]] = []


@pytest.fixture(autouse=True)
def _module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions of this file under an import path."""
    made = ModuleType("functions_of_many")
    for function in (plain, seeded, one, picky, wrong, behaving, overwriting, three):
        setattr(made, function.__name__, function)
        monkeypatch.setattr(function, "__module__", "functions_of_many")
    monkeypatch.setitem(sys.modules, "functions_of_many", made)
    CALLS.clear()


def plain(weights: Rows) -> npt.NDArray[np.float64]:
    CALLS.append(weights.shape)
    result: npt.NDArray[np.float64] = -np.square(weights, dtype=np.float64).sum(axis=1)
    return result


def seeded(weights: Rows, seeds: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    return plain(weights) + (seeds % 7).astype(np.float64)


def one(weights: Rows, seed: int) -> float:
    return -float(np.square(weights, dtype=np.float64).sum()) + seed % 7


def picky(weights: Rows) -> npt.NDArray[np.float64]:
    if (weights[:, 0] < 0).any():
        raise ArithmeticError("below zero")
    return plain(weights)


def wrong(weights: Rows) -> npt.NDArray[np.float32]:
    return weights


def behaving(weights: Rows) -> tuple[npt.NDArray[np.float64], Rows]:
    return plain(weights), np.clip(weights[:, :1], 0, 1)


def overwriting(weights: Rows) -> npt.NDArray[np.float64]:
    told = plain(weights)
    weights[:] = 0
    return told


def three(a: Rows, b: Rows, c: Rows) -> Rows:
    return a


def played(name: str, individuals: int, seeds: Sequence[int] = (3,), **more: Any) -> list[Played[int]]:
    arguments = {"path": f"functions_of_many:{name}", "dimension": 4, **more}
    settings = EngineSettings(task="function", policy="vector", task_arguments=arguments)
    engine: Engine[int] = build_engine(settings, device=torch.device("cpu"))
    for number in range(individuals):
        engine.submit(Evaluation(number, Genome.founder(number), tuple(seeds)))
    told = []
    while engine.busy():
        told += engine.tick()
    assert engine.frames == individuals * len(seeds) or any(result.failure for result in told)
    return told


def test_many_calls_are_made_as_one_and_each_gets_its_own_score() -> None:
    alone = [result.returns for result in played("one", 10, (3, 9))]
    together = [result.returns for result in played("seeded", 10, (3, 9), batch=8)]
    assert together == alone
    assert CALLS == [(8, 4), (8, 4), (4, 4)], "whole individuals, up to eight rows"


def test_an_individual_with_more_seeds_than_rows_is_one_call() -> None:
    assert [len(result.returns) for result in played("plain", 2, range(5), batch=3)] == [5, 5]
    assert CALLS == [(5, 4), (5, 4)]


def test_room_is_made_for_a_whole_call() -> None:
    played("plain", 200, batch=200)
    assert CALLS == [(200, 4)]


def test_what_the_function_does_to_its_rows_is_its_own_copy() -> None:
    told, expected = played("overwriting", 6, batch=3), played("plain", 6, batch=3)
    assert [result.returns for result in told] == [result.returns for result in expected]


def test_one_that_cannot_be_scored_costs_itself_and_not_those_beside_it() -> None:
    told = played("picky", 12, batch=6)
    failed = {result.key for result in told if result.failure}
    scored = {result.key for result in told if not result.failure}
    assert failed
    assert scored
    assert failed | scored == set(range(12))
    assert all(result.failure == "ArithmeticError: below zero" for result in told if result.failure)
    expected = {result.key: result.returns for result in played("plain", 12, batch=6)}
    assert all(expected[result.key] == result.returns for result in told if not result.failure)


def test_an_answer_of_another_shape_is_named() -> None:
    (result,) = played("wrong", 1, batch=4)
    assert result.failure == "TypeError: the function returned shape (1, 4); allowed: (1,), a number a row"


def test_behaviours_come_a_row_each() -> None:
    task = FunctionTask(path="functions_of_many:behaving", dimension=4, batch=4)
    rows = np.array([[0.25, 0, 0, 0], [0.5, 0, 0, 0]], np.float32)
    told = task.measure_many(rows, [1, 2])
    assert [float(np.asarray(pair[1])[0]) for pair in told if isinstance(pair, tuple)] == [0.25, 0.5]


def test_a_single_call_of_a_function_of_many_is_a_row() -> None:
    task = FunctionTask(path="functions_of_many:seeded", dimension=4, batch=4)
    weights = np.ones(4, np.float32)
    assert task.measure(weights, 9) == -4.0 + 2


def test_a_function_that_takes_other_arguments_is_refused() -> None:
    with pytest.raises(
        SetupError, match=r"allowed: a function of \(weights, seed\), or with task.function.batch"
    ):
        FunctionTask(path="functions_of_many:three", batch=4)
    with pytest.raises(SetupError, match=r"which takes \(weights: "):
        FunctionTask(path="functions_of_many:plain")
