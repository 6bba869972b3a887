"""What an episode of an Atari game leaves behind: bytes of the console's memory, at its end or along the way.

| descriptor | numbers | what they are |
|---|---|---|
| ``ram`` | 128, or 1 for each address | the memory after the last step (whole: Such et al. 2018) |
| ``ram_path`` | 512 | the whole memory at 4 moments |
| ``path`` | 16 for each address | the bytes where the player's place stands, at 16 moments |

Moments are `every_steps` agent steps apart. An episode that ends before all of them counts on as it ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from germline.behaviour import PATH_MOMENTS, RAM_BYTES, RAM_PATH_MOMENTS, Measure
from worker.tasks.base import SetupError

if TYPE_CHECKING:
    from worker.tasks.emulator import Emulator

_EVERY_STEPS = 50
_MOMENTS = {"ram": 1, "ram_path": RAM_PATH_MOMENTS, "path": PATH_MOMENTS}


@dataclass(frozen=True, slots=True)
class Trace:
    """What an episode leaves behind.

    Attributes:
        addresses: of the bytes that are kept, in order.
        moments: how often they are looked at.
        every_steps: agent steps between two looks; 0: only the end is looked at.
    """

    addresses: tuple[int, ...]
    moments: int
    every_steps: int

    @property
    def measures(self) -> list[Measure]:
        """One for each byte and moment, in the order in which they are written."""
        return [
            Measure(f"byte {address} at moment {moment}", 0.0, 255.0)
            for moment in range(1, self.moments + 1)
            for address in self.addresses
        ]

    def begin(self, lanes: int) -> Traces:
        """Traces of so many lanes."""
        return Traces(self, lanes)


class Traces:
    """What the episodes that play now left behind so far."""

    def __init__(self, trace: Trace, lanes: int) -> None:
        """Have seen nothing."""
        self._trace = trace
        self._addresses = np.array(trace.addresses, np.intp)
        self._kept = np.zeros((lanes, trace.moments, len(trace.addresses)), np.uint8)
        self._steps = [0] * lanes

    def restart(self, lane: int) -> None:
        """A lane begins an episode."""
        self._steps[lane] = 0

    def step(self, lane: int, console: Emulator) -> None:
        """A lane took a step; where it is a moment, look."""
        self._steps[lane] += 1
        every = self._trace.every_steps
        if not every or self._steps[lane] % every:
            return
        moment = self._steps[lane] // every - 1
        if moment < self._trace.moments:
            self._kept[lane, moment] = console.memory()[self._addresses]

    def read(self, lane: int, console: Emulator) -> npt.NDArray[np.uint8]:
        """All moments of a lane's episode; those that it has not come to are as it is now."""
        every = self._trace.every_steps
        seen = min(self._trace.moments, self._steps[lane] // every) if every else 0
        kept: npt.NDArray[np.uint8] = self._kept[lane].copy()
        kept[seen:] = console.memory()[self._addresses]
        return kept.ravel()


def trace_of(behaviour: Mapping[str, Any]) -> Trace:
    """What a spec's `behaviour` asks for.

    Raises:
        SetupError: if it is of another kind of task.
    """
    descriptor: str = behaviour["descriptor"]
    if descriptor not in _MOMENTS:
        allowed = ", ".join(_MOMENTS)
        raise SetupError(f"behaviour.descriptor is {descriptor!r}; allowed for Atari: {allowed}")
    indices: Sequence[int] = behaviour.get("indices") or range(RAM_BYTES)
    every = 0 if descriptor == "ram" else int(behaviour.get("every_steps", _EVERY_STEPS))
    return Trace(tuple(indices), _MOMENTS[descriptor], every)
