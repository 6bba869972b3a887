"""What masters answered to this worker's scores, line by line: an operator's own account of what was played.

A line is a JSON object::

    {"experiment": 1, "identity": "5f0c...", "ticket": 12, "attempt": 4097, "returns": [3.0],
     "frames": 40, "steps": 10, "failure": "", "verdict": "counted"}

`verdict` is `counted`, or the code of the refusal in small letters: `already_told`, `closed`, `failed` ... A
ticket with its highest bit set is a check of what another worker told. There is no time in it: nothing may
depend on a worker's clock.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path

from worker.connection.leases import Batch
from worker.playing.lease_work import LeaseKey, Score
from worker.tasks.base import SetupError

logger = logging.getLogger(__name__)

COUNTED = "counted"


class ResultsLog:
    """Appends to a file, one write for each message of results, so that a killed worker leaves no half line.

    Workers of one machine may share a file. One that cannot be written to any more is given up with a line in
    the log, and the worker plays on.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it. Raises SetupError if that cannot be done."""
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise SetupError(f"results_log is {str(path)!r}, which cannot be written to: {error}") from error

    def write(self, batch: Batch, refused: Mapping[LeaseKey, str]) -> None:
        """Note that a master settled these scores; it refused some of them, and why."""
        lines = [_line(score, refused.get(score.key, COUNTED)) for score in batch.scores]
        if self._file.closed:
            return
        try:
            self._file.write("".join(lines).encode())
        except OSError as error:
            logger.error("nothing more is written to results_log %s: %s", self._file.name, error)
            self._file.close()

    def close(self) -> None:
        """Write no more."""
        self._file.close()


def _line(score: Score, verdict: str) -> str:
    (number, identity), ticket, attempt = score.key
    fields = {
        "experiment": number,
        "identity": f"{identity:016x}",
        "ticket": ticket,
        "attempt": attempt,
        "returns": [value if math.isfinite(value) else None for value in score.returns],
        "frames": score.frames,
        "steps": score.steps,
        "failure": score.failure,
        "verdict": verdict,
    }
    return json.dumps(fields) + "\n"
