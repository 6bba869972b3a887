"""Keeps an archive small: of the oldest evaluations, every other ordinary one goes.

The rule. While the files are larger than they may be, the part is thinned that was thinned least often, the
oldest of those; the newest full part and what is smaller stay as they are. In it every other record goes,
but never

- one that has a child anywhere in the archive: so every line can be followed to its founder;
- the best of each 1,024 record numbers: so no peak of the curve is lost;
- a founder's, or one that measured a champion or a centre.

A part that was thinned 6 times is left. If all are, the oldest part goes whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from germline.archive.files import ArchiveFiles, Part
from germline.archive.part import read_columns, read_records
from germline.archive.record import FOUNDER, MEASUREMENT, Records

MOST_LEVELS = 6
_PEAK_OF = 1_024


def thin(files: ArchiveFiles, max_bytes: int) -> None:
    """Take records out until the files are no larger than this. Raises DestinationError and PartError."""
    while sum(part.size for part in files.parts) > max_bytes:
        full = [part for part in files.parts if part.is_full][:-1]
        thinnable = [part for part in full if part.level < MOST_LEVELS]
        if thinnable:
            _thin_one(files, min(thinnable, key=lambda part: (part.level, part.first)))
        elif full:
            files.drop(full[0])
        else:
            return


def _thin_one(files: ArchiveFiles, part: Part) -> None:
    numbers, records = read_records(files.read(part))
    kept = chosen(numbers, records, _parents(files))
    files.write(part.first, part.end, numbers[kept], records[kept], part.level + 1)
    files.sweep()


def _parents(files: ArchiveFiles) -> NDArray[np.uint64]:
    """The ids of all who have children."""
    columns = (read_columns(files.read(part), ["parent"])["parent"] for part in files.parts)
    return np.unique(np.concatenate([np.unique(column) for column in columns])).astype(np.uint64)


def chosen(numbers: NDArray[np.int64], records: Records, parents: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """`[N]` which records stay."""
    kept = np.isin(records["individual"], parents)
    kept |= (records["flags"] & (FOUNDER | MEASUREMENT)) != 0
    kept[_peaks(numbers, records["fitness"])] = True
    ordinary = np.flatnonzero(~kept)
    kept[ordinary[::2]] = True
    return kept


def _peaks(numbers: NDArray[np.int64], fitness: NDArray[np.float64]) -> NDArray[np.int64]:
    """The row of the best of each 1,024 numbers; of equals, the first."""
    order: NDArray[np.int64] = np.lexsort((-np.arange(len(numbers)), fitness, numbers // _PEAK_OF))
    is_last = np.append(np.diff((numbers // _PEAK_OF)[order]) != 0, True)
    best: NDArray[np.int64] = order[is_last[: len(order)]]
    return best
