"""What a network saw in each step of an episode, packed into a file, to look at one of them later."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt

MOST_BYTES = 48 << 20
"""Of a file; what comes later in the episode is not kept."""
_LENGTH = struct.Struct("<I")

Observation = npt.NDArray[np.generic]


class ObservationFile:
    """Takes observations of one shape and type, one after the other; use it in a `with` statement.

    Attributes:
        count: how many it holds.
    """

    def __init__(self, file: Path) -> None:
        """Begin the file anew."""
        self.count = 0
        self._opened: BinaryIO = file.open("wb")
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def add(self, seen: Observation) -> None:
        """Keep one, `[*shape]`, unless the file is full."""
        head = f"{seen.dtype.str} {' '.join(map(str, seen.shape))}\n".encode()
        packed = zlib.compress(head + np.ascontiguousarray(seen).tobytes(), level=1)
        self._bytes += _LENGTH.size + len(packed)
        if self._bytes <= MOST_BYTES:
            self._opened.write(_LENGTH.pack(len(packed)) + packed)
            self.count += 1


def read_observation(file: Path, step: int) -> Observation:
    """One of them, counted from 0. Raises ValueError if the file does not reach so far."""
    with file.open("rb") as opened:
        for at in range(step + 1):
            head = opened.read(_LENGTH.size)
            if len(head) < _LENGTH.size:
                raise ValueError(f"step is {step + 1}; kept are the observations of the first {at}")
            (length,) = _LENGTH.unpack(head)
            if at < step:
                opened.seek(length, 1)
        line, _, data = zlib.decompress(opened.read(length)).partition(b"\n")
    kind, *shape = line.decode().split()
    return np.frombuffer(data, np.dtype(kind)).reshape([int(each) for each in shape])
