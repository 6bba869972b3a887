"""How far a tracker is, in a file: what it has taken, and what it was just about to be told."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from germline.trackers.base import Row, TrackerError

_FORMAT = 1


class Cursor:
    """Remembers over restarts. Rows are noted before they are told, so that they are told again as they were.

    Attributes:
        after: evaluations of the last row that the tracker has taken.
        pending: rows that it was told, or about to be told, and may have taken.
        champion: id of the last champion that it was shown.
    """

    def __init__(self, file: Path, run_id: str) -> None:
        """Read the file, if there is one.

        Raises:
            TrackerError: if it is damaged, or of another run.
        """
        self._file, self._run_id = file, run_id
        self.after = 0
        self.pending: list[Row] = []
        self.champion = ""
        if file.exists():
            self._read()

    def begin(self, rows: Sequence[Row]) -> None:
        """Note that these rows are told now."""
        self.pending = list(rows)
        self._write()

    def done(self, champion: str) -> None:
        """Note that the pending rows were taken, and which champion was shown."""
        if self.pending:
            self.after = self.pending[-1].evaluations
        self.pending, self.champion = [], champion
        self._write()

    def rewind(self, after: int) -> None:
        """The tracker holds less than was thought, or more: it wants what is behind so many evaluations."""
        self.pending = [row for row in self.pending if row.evaluations > after] if after >= self.after else []
        self.after = after

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others out; raises TrackerError if somebody is at it: two would tell everything twice."""
        with self._file.with_suffix(".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TrackerError(f"{self._file} is in use: another process tracks this run") from None
            yield

    def _read(self) -> None:
        try:
            noted: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
            run_id = str(noted["run"])
            self.after, self.champion = int(noted["after"]), str(noted["champion"])
            self.pending = [Row(int(at), float(when), dict(values)) for at, when, values in noted["pending"]]
            version = int(noted["format"])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TrackerError(
                f"{self._file} is damaged ({type(error).__name__}: {error}); "
                "delete it, and everything is told anew"
            ) from None
        if (version, run_id) != (_FORMAT, self._run_id):
            raise TrackerError(
                f"{self._file} is of run {run_id} in format {version}, and this is {self._run_id} in format "
                f"{_FORMAT}; give it another --folder"
            )

    def _write(self) -> None:
        noted = {
            "format": _FORMAT,
            "run": self._run_id,
            "after": self.after,
            "champion": self.champion,
            "pending": [[row.evaluations, row.time_s, dict(row.values)] for row in self.pending],
        }
        draft = self._file.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as written:
            json.dump(noted, written)
            written.flush()
            os.fsync(written.fileno())
        draft.replace(self._file)
