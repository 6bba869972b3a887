"""Functions to try the machinery on: milliseconds an evaluation, and their truth is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NOISE = 0.2


def noisy_distance(weights: npt.NDArray[np.float32], seed: int) -> float:
    """Minus the distance from `weights`, `[D]` float32, to a fixed point, measured with noise of 0.2.

    The point is all ones; 0 is perfect, and only luck scores above it.
    """
    return true_distance(weights) + NOISE * float(np.random.default_rng(seed).standard_normal())


def true_distance(weights: npt.NDArray[np.float32]) -> float:
    """What :func:`noisy_distance` would say without noise."""
    return -float(np.linalg.norm(weights.astype(np.float64) - 1.0))
