"""TensorBoard: event files in a folder, written at once and by no thread: what `log` returned for is there.

What may have been written twice is taken back in TensorBoard's own way: a new file begins with the step from
which its readers forget what older files of the folder hold.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import scalar, text

from germline.trackers.base import Champion, Row, TrackedRun

_PICTURES = 150
_GIF = "fps=15,scale=160:-2:flags=neighbor,split[a][b];[a]palettegen[p];[b][p]paletteuse"


class TensorBoardTracker:
    """Writes event files into a folder of the run's name. A Tracker."""

    def __init__(self, run: TrackedRun) -> None:
        """Write nothing yet."""
        self._run = run
        self.folder = run.folder / "tensorboard" / run.name
        self._writer: EventsWriter | None = None

    def resume(self, after: int) -> int:
        """Open a new file, for whose readers nothing behind `after` was ever written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._open(after + 1)
        if not after:
            settings = {"settings": dict(self._run.config), "tags": dict(self._run.tags)}
            self._add(text("run", f"```json\n{json.dumps(settings, indent=2)}\n```"), 0, time.time())
        return after

    def log(self, rows: Sequence[Row]) -> None:
        """Write rows."""
        writer = self._writer or self._open(rows[0].evaluations)
        self._writer = None  # half of them may be in the file if this is interrupted
        for row in rows:
            for name, value in row.values.items():
                writer.write_event(_event(scalar(name, value), row.evaluations, row.time_s))
        writer.flush()
        self._writer = writer

    def show(self, champion: Champion) -> None:
        """Write the card as a text, and the film's first seconds as an image that moves."""
        now = time.time()
        self._add(text("champion/card", f"```toml\n{champion.about}\n```"), champion.evaluations, now)
        if champion.film is not None:
            self._add(_moving("champion/film", champion.film), champion.evaluations, now)

    def close(self, *, is_over: bool) -> None:
        """Close the file."""
        del is_over
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, first: int) -> EventsWriter:
        """A new file; behind it, nothing counts that older ones have from this step on."""
        # Two files of one second would have one name, and the first one would be gone.
        writer = EventsWriter(str(self.folder / "events"), f".{time.time_ns()}")
        writer.write_event(Event(step=first, session_log=SessionLog(status=SessionLog.START)))
        writer.flush()
        self._writer = writer
        return writer

    def _add(self, summary: Summary, step: int, now: float) -> None:
        writer = self._writer or self._open(step)
        writer.write_event(_event(summary, step, now))
        writer.flush()


def _event(summary: Summary, step: int, time_s: float) -> Event:
    return Event(step=step, wall_time=time_s, summary=summary)


def _moving(name: str, film: Path) -> Summary:
    """A film as a GIF, the only kind that TensorBoard moves: small, and its beginning."""
    import imageio_ffmpeg  # noqa: PLC0415 - there where a film could be made

    program = imageio_ffmpeg.get_ffmpeg_exe()
    made = subprocess.run(  # noqa: S603 - ours, and a file of ours
        [program, "-v", "error", "-i", str(film), "-vf", _GIF, "-frames:v", str(_PICTURES), "-f", "gif", "-"],
        capture_output=True,
        check=True,
    )
    width, height = int.from_bytes(made.stdout[6:8], "little"), int.from_bytes(made.stdout[8:10], "little")
    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=made.stdout)
    return Summary(value=[Summary.Value(tag=name, image=picture)])
