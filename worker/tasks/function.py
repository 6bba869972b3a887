"""A Python function of the weights, ``f(weights, seed) -> float``: to optimise, or to wrap a simulator.

Where the spec has a `behaviour`, it returns a pair: the return, and the numbers that say what was done.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from germline.behaviour import Measure
from worker.plugins import imported
from worker.tasks.base import SetupError

Fitness = Callable[[npt.NDArray[np.float32], int], float | tuple[float, npt.ArrayLike]]


class FunctionTask:
    """A function by import path; its weights are those of the policy "vector"."""

    def __init__(
        self, *, path: str, dimension: int = 100, behaviour: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        """Import the function.

        Args:
            path: "package.module:function".
            dimension: how many weights it takes.
            behaviour: `low` and `high` of each number that it returns beside its return; by default none.

        Raises:
            SetupError: if there is no such function, or it takes other arguments.
        """
        self.dimension = dimension
        self._function = _fitness(path)
        said = behaviour or {"low": (), "high": ()}
        self.measures = [
            Measure(str(place), low, high)
            for place, (low, high) in enumerate(zip(said["low"], said["high"], strict=True))
        ]

    def measure(self, weights: npt.NDArray[np.float32], seed: int) -> float | tuple[float, npt.ArrayLike]:
        """Call the function; what it changes in `weights` is its own copy."""
        told = self._function(weights.copy(), seed)
        return told if isinstance(told, tuple) else float(told)


def _fitness(path: str) -> Fitness:
    """The function of weights and seed that a path names; it is looked at, and not called yet."""
    found = imported("task.function.path", path)
    if isinstance(found, type) or not callable(found):
        raise SetupError(f"task.function.path is {path!r}, a {type(found).__name__}; allowed: a function")
    try:
        signature = inspect.signature(found)
    except ValueError:  # compiled functions may not say what they take
        return found
    try:
        signature.bind("weights", "seed")
    except TypeError as error:
        raise SetupError(
            f"task.function.path is {path!r}, which takes {signature}; allowed: a function of (weights, seed)"
        ) from error
    return found


def noisy_sphere(weights: npt.NDArray[np.float32], seed: int) -> float:
    """An example: minus the distance from a hidden point, seen through noise; 0 is perfect.

    The point is drawn once for all, the noise (0.2) by the episode seed.
    """
    target = np.random.default_rng(2018).standard_normal(weights.size)
    distance = float(np.linalg.norm(weights - target))
    return -distance + 0.2 * float(np.random.default_rng(seed).standard_normal())
