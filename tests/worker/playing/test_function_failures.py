"""A function that raises costs the evaluation that it was measuring, and nobody else."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from germline.genome import Genome
from worker.networks.policies.vector import Vector
from worker.playing.engine import Evaluation, Played
from worker.playing.functions import FunctionEngine
from worker.tasks.base import SetupError

BAD = 66


class Function:
    """Returns its seed; raises for a bad one."""

    dimension = 3

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.seeds: list[int] = []

    def measure(self, weights: npt.NDArray[np.float32], seed: int) -> float:
        self.seeds.append(seed)
        if seed == BAD:
            raise self.error
        return math.nan if seed == 0 else float(seed)


def engine(error: BaseException) -> FunctionEngine[int]:
    return FunctionEngine(Function(error), Vector(dimension=3))


def play(engine: FunctionEngine[int], *evaluations: tuple[int, ...]) -> list[Played[int]]:
    for key, seeds in enumerate(evaluations):
        engine.submit(Evaluation(key, Genome.founder(key), seeds))
    played: list[Played[int]] = []
    while engine.busy():
        played += engine.tick()
    return played


@pytest.mark.parametrize("error", [FloatingPointError("diverged"), SystemExit(1), KeyboardInterrupt()])
def test_what_a_function_raises_costs_its_own_evaluation(error: BaseException) -> None:
    measured = engine(error)
    played = play(measured, (1, 2), (3, BAD, 4), (5,), (BAD,))
    assert [each[:4] for each in played] == [
        (0, (1.0, 2.0), 2, 2), (1, (), 1, 1), (2, (5.0,), 1, 1), (3, (), 0, 0)
    ]  # fmt: skip
    reason = f"{type(error).__name__}: {error}"
    assert [each.failure for each in played] == ["", reason, "", reason]
    assert measured.frames == 4


def test_a_return_that_is_no_number_is_told_as_it_is() -> None:
    (played,) = play(engine(ValueError()), (1, 0))
    assert played.failure == ""
    assert played.returns[0] == 1.0
    assert math.isnan(played.returns[1])


def test_a_tick_is_one_call() -> None:
    measured = engine(ValueError())
    measured.submit(Evaluation(0, Genome.founder(0), (1, 2, 3)))
    measured.submit(Evaluation(1, Genome.founder(1), ()))
    assert measured.in_play() == [0]
    measured.cancel([1])
    assert [len(measured.tick()) for _ in range(3)] == [0, 0, 1]
    assert measured.tick() == []
    assert measured.in_play() == []


@pytest.mark.parametrize("stop", [lambda engine: engine.cancel([0]), lambda engine: engine.drop()])
def test_what_is_stopped_half_way_leaves_nothing_to_the_next(stop: object) -> None:
    assert callable(stop)
    measured = engine(ValueError())
    measured.submit(Evaluation(0, Genome.founder(0), (1, 2, 3)))
    measured.tick()
    stop(measured)
    assert [each.returns for each in play(measured, (7, 8))] == [(7.0, 8.0)]


def test_a_function_that_cannot_be_set_up_is_the_experiments_own_trouble() -> None:
    with pytest.raises(SetupError, match="no licence"):
        play(engine(SetupError("no licence")), (BAD,))
