"""A Python function of the weights, ``f(weights, seed) -> float``: to optimise, or to wrap a simulator.

With `batch` it is one of many, ``f(weights[P, D]) -> [P]``.

Where the spec has a `behaviour`, it returns a pair: the return, and the numbers that say what was done.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from germline.behaviour import Measure
from worker.plugins import imported
from worker.tasks.base import SetupError

Told = float | tuple[float, npt.ArrayLike]
"""What a function says of weights: their return or, in a pair, what was done beside it."""


class FunctionTask:
    """A function by import path; its weights are those of the policy "vector"."""

    def __init__(
        self,
        *,
        path: str,
        dimension: int = 100,
        batch: int | None = None,
        behaviour: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Import the function.

        Args:
            path: "package.module:function".
            dimension: how many weights it takes.
            batch: rows of one call at most, for a function of many; None for a function of one.
            behaviour: `low` and `high` of each number that it returns beside its return; by default none.

        Raises:
            SetupError: if there is no such function, or it takes other arguments.
        """
        self.dimension = dimension
        self.batch = batch
        self._takes_seeds = batch is None or _takes_seeds(path)
        self._function = _fitness(path, 2 if self._takes_seeds else 1)
        said = behaviour or {"low": (), "high": ()}
        self.measures = [
            Measure(str(place), low, high)
            for place, (low, high) in enumerate(zip(said["low"], said["high"], strict=True))
        ]

    def measure(self, weights: npt.NDArray[np.float32], seed: int) -> float | tuple[float, npt.ArrayLike]:
        """Call the function; what it changes in `weights` is its own copy."""
        if self.batch is not None:
            return self.measure_many(weights[np.newaxis], [seed])[0]
        told = self._function(weights.copy(), seed)
        return told if isinstance(told, tuple) else float(told)

    def measure_many(self, weights: npt.NDArray[np.float32], seeds: Sequence[int]) -> list[Told]:
        """Call a function of many once, with a row of weights for each seed, `[P, dimension]`.

        Raises:
            TypeError: if it answers with anything but a number for each row (and, in a pair, its behaviour).
        """
        rows = weights.copy()
        told = self._function(rows, np.array(seeds, np.uint64)) if self._takes_seeds else self._function(rows)
        returns, behaviours = told if isinstance(told, tuple) else (told, None)
        values = np.asarray(returns, np.float64)
        if values.shape != (len(seeds),):
            raise TypeError(
                f"the function returned shape {values.shape}; allowed: ({len(seeds)},), a number a row"
            )
        if behaviours is None:
            return [float(value) for value in values]
        done = np.asarray(behaviours)
        if len(done) != len(seeds):
            raise TypeError(f"the function told of {len(done)} behaviours; allowed: {len(seeds)}, one a row")
        return list(zip(values.tolist(), done, strict=True))


def _takes_seeds(path: str) -> bool:
    """Whether a function of many takes the seeds, too; one that does not say takes them."""
    found = imported("task.function.path", path)
    try:
        inspect.signature(found).bind("weights", "seeds")  # type: ignore[arg-type]  # else it is refused below
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _fitness(path: str, arguments: int) -> Callable[..., Any]:
    """The function of weights (and seeds) that a path names; it is looked at, and not called yet."""
    found = imported("task.function.path", path)
    if isinstance(found, type) or not callable(found):
        raise SetupError(f"task.function.path is {path!r}, a {type(found).__name__}; allowed: a function")
    try:
        signature = inspect.signature(found)
    except ValueError:  # compiled functions may not say what they take
        return found
    try:
        signature.bind(*("weights", "seed")[:arguments])
    except TypeError as error:
        raise SetupError(
            f"task.function.path is {path!r}, which takes {signature}; allowed: a function of (weights, "
            "seed), or with task.function.batch one of (weights) or (weights, seeds)"
        ) from error
    return found


def noisy_sphere(weights: npt.NDArray[np.float32], seed: int) -> float:
    """An example: minus the distance from a hidden point, seen through noise; 0 is perfect.

    The point is drawn once for all, the noise (0.2) by the episode seed.
    """
    target = np.random.default_rng(2018).standard_normal(weights.size)
    distance = float(np.linalg.norm(weights - target))
    return -distance + 0.2 * float(np.random.default_rng(seed).standard_normal())
