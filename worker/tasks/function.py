"""A Python function of the weights, ``f(weights, seed) -> float``: to optimise, or to wrap a simulator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from worker.plugins import imported
from worker.tasks.base import SetupError

Fitness = Callable[[npt.NDArray[np.float32], int], float]


class FunctionTask:
    """A function by import path; its weights are those of the policy "vector"."""

    def __init__(self, *, path: str, dimension: int = 100) -> None:
        """Import the function.

        Args:
            path: "package.module:function".
            dimension: how many weights it takes.

        Raises:
            SetupError: if there is no such function.
        """
        found = imported("task.function.path", path)
        if not callable(found):
            raise SetupError(f"task.function.path is {path!r}, a {type(found).__name__}; allowed: a function")
        self.dimension = dimension
        self._path = path
        self._function: Fitness = found

    def measure(self, weights: npt.NDArray[np.float32], seed: int) -> float:
        """Call the function; what it changes in `weights` is its own copy."""
        return float(self._function(weights.copy(), seed))


def noisy_sphere(weights: npt.NDArray[np.float32], seed: int) -> float:
    """An example: minus the distance from a hidden point, seen through noise; 0 is perfect.

    The point is drawn once for all, the noise (0.2) by the episode seed.
    """
    target = np.random.default_rng(2018).standard_normal(weights.size)
    distance = float(np.linalg.norm(weights - target))
    return -distance + 0.2 * float(np.random.default_rng(seed).standard_normal())
