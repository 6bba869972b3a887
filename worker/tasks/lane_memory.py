"""Memory that a worker shares with the processes of its lanes: an unnamed file, mapped on both sides."""

from __future__ import annotations

import math
import mmap
import os

import numpy as np
import numpy.typing as npt

from worker.tasks.base import ContinuousActions, Spaces

_ALIGNMENT = 64


class LaneMemory:
    """Arrays with a row for each lane: what the lanes show, and the orders and results of one command.

    A process owns the rows of its own lanes. A command about `k` of them uses the first `k` of its rows in
    `lanes`, `seeds`, `actions`, `rewards`, `ended` and `frames`; `observations` are indexed by lane.
    """

    def __init__(self, file: int, count: int, spaces: Spaces, dimensions: int = 0) -> None:
        """Map the file, a descriptor, for `count` lanes; it grows as needed.

        `dimensions` is how many numbers say what a lane's episode did; `behaviour` is indexed by lane, too.
        """
        continuous = isinstance(spaces.actions, ContinuousActions)
        action_shape = (spaces.actions.outputs,) if continuous else ()
        shapes: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
            "observations": (spaces.observation_shape, spaces.observation_dtype),
            "lanes": ((), np.int64),
            "seeds": ((), np.uint64),
            "actions": (action_shape, np.float32 if continuous else np.int64),
            "rewards": ((), np.float64),
            "ended": ((), np.bool_),
            "frames": ((), np.int64),
            "behaviour": ((dimensions,), np.float64),
        }
        offsets, end = {}, 0
        for name, (shape, kind) in shapes.items():
            offsets[name] = end
            size = count * math.prod(shape) * np.dtype(kind).itemsize
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        if os.fstat(file).st_size < end:
            os.ftruncate(file, end)
        memory = mmap.mmap(file, end)
        arrays = {
            name: np.ndarray((count, *shape), kind, memory, offsets[name])
            for name, (shape, kind) in shapes.items()
        }
        self.behaviour = arrays["behaviour"]
        self.observations = arrays["observations"]
        self.lanes, self.seeds, self.actions = arrays["lanes"], arrays["seeds"], arrays["actions"]
        self.rewards, self.ended, self.frames = arrays["rewards"], arrays["ended"], arrays["frames"]
