"""Arrays as bytes, for workers without a format of their own: safetensors, which runs no code when read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def pack(**arrays: npt.ArrayLike) -> bytes:
    """Named arrays as a safetensors file. Raises ImportError where the package safetensors is missing."""
    from safetensors.numpy import save  # noqa: PLC0415 - a worker with a format of its own needs none

    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def unpack(state: bytes) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays in a safetensors file, by name; each is a copy that may be changed."""
    from safetensors.numpy import load  # noqa: PLC0415

    return {name: np.array(array) for name, array in load(state).items()}
