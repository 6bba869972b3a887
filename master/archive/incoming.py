"""An archive that comes with a backup: parts that are checked before they are kept."""

from __future__ import annotations

import numpy as np

from germline.archive.files import About, ArchiveFiles, block_of
from germline.archive.part import PartError, read_head, read_records
from germline.destinations import Destination


class IncomingArchive:
    """Takes an experiment's archive in part by part, before the experiment is there. One thread at a time.

    Whoever breaks off deletes what came so far, see :meth:`ArchiveWriter.discard`.
    """

    def __init__(self, destination: Destination, identity: int, about: About, count: int) -> None:
        """Keep nothing yet; of the records, those below `count` are wanted."""
        self._files = ArchiveFiles(destination, f"{identity:016x}")
        self._about = about
        self._count = count
        self._end = 0
        self._is_empty = False

    def add(self, part: bytes) -> None:
        """Keep the next part. Raises PartError and DestinationError."""
        head = read_head(part)
        if head.first < self._end or head.end <= head.first or block_of(head.end - 1) != block_of(head.first):
            raise PartError(
                f"it covers the numbers {head.first:,} to {head.end:,}; allowed: from {self._end:,} on, and "
                "within one part of full size"
            )
        numbers, records = read_records(part)
        if not np.isfinite(records["fitness"]).all():
            raise PartError("it holds a fitness that is no number")
        self._end = head.end
        end = min(head.end, self._count)
        kept = numbers < end
        if kept.any():
            self._begin()
            is_thinned = np.count_nonzero(kept) < end - head.first
            self._files.write(head.first, end, numbers[kept], records[kept], int(is_thinned))

    def _begin(self) -> None:
        """Leave nothing of a restore that broke off with its master."""
        if not self._is_empty:
            self._files.delete()
            self._files.introduce(self._about)
            self._is_empty = True
