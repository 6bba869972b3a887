"""Weights & Biases: a run on its server, or files for `wandb sync` where it is offline or no key is known.

W&B's own process writes and sends, some time after it was told: when this process dies, what was told last
may be lost. So a run that goes on asks the server, or the files, how far it came, and tells the rest.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import urlparse

import wandb

from germline.trackers import wandb_file
from germline.trackers.base import Champion, Row, TrackedRun, TrackerError

_SETTLING_S = 0.7  # a dead tracker's W&B process notices within this, and writes what it has
_SETTLED_S = 20.0


class WandbTracker:
    """Keeps a run in the project WANDB_PROJECT, or germline. A Tracker."""

    def __init__(self, run: TrackedRun) -> None:
        """Connect to nothing yet."""
        self._run = run
        self.mode = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
        if self.mode not in ("online", "offline"):
            raise TrackerError(f"WANDB_MODE is {self.mode!r}; allowed: online, offline")
        self._step = 0
        self._media: dict[str, object] = {}
        self._wandb: wandb.Run | None = None

    def resume(self, after: int) -> int:
        """Begin, or go on behind what the server, or the files of this run, have."""
        held = self._held(after) if self.mode == "offline" else 0
        settings = wandb.Settings(console="off", x_disable_stats=True, disable_git=True, silent=True)
        self._wandb = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "germline"),
            id=self._run.id,
            name=self._run.name,
            config=dict(self._run.config),
            tags=sorted({tag for tag in self._run.tags.values() if 0 < len(tag) <= 64}),
            mode="offline" if self.mode == "offline" else "online",
            resume="allow",
            dir=self._run.folder,
            settings=settings,
        )
        self._wandb.define_metric("evaluations", hidden=True)
        self._wandb.define_metric("*", step_metric="evaluations")
        self._step = max(held, self._wandb.starting_step - 1)
        return self._step

    def log(self, rows: Sequence[Row]) -> None:
        """Tell rows; a champion's film goes with the first."""
        for row in rows:
            if row.evaluations > self._step:
                values = {"evaluations": row.evaluations, "time_s": row.time_s, **row.values, **self._media}
                self._begun.log(values, step=row.evaluations, commit=True)
                self._step, self._media = row.evaluations, {}

    def show(self, champion: Champion) -> None:
        """Keep its files, and show the film beside the curves."""
        for file in champion.files:
            kept = shutil.copy(file, self._begun.dir)
            self._begun.save(kept, base_path=self._begun.dir, policy="now")
        if champion.film is not None:
            self._media = {"champion/film": wandb.Video(str(champion.film), format="mp4")}

    def close(self, *, is_over: bool) -> None:
        """Let W&B write and send what it has."""
        del is_over  # a finished run may go on, as an experiment may
        if self._wandb is not None:
            self._wandb.finish()

    @property
    def _begun(self) -> wandb.Run:
        if self._wandb is None:
            raise TrackerError("the run has not begun")
        return self._wandb

    def _held(self, after: int) -> int:
        """The last step that this run's files have; `after` where they were synced and cleared away."""
        files = list(self._files())
        if not files:
            return after
        _wait_until_settled(files)
        steps = (row.get("evaluations") for file in files for row in wandb_file.rows(file))
        return max((step for step in steps if isinstance(step, int)), default=0)

    def _files(self) -> Iterator[Path]:
        return (self._run.folder / "wandb").glob(f"*run-*-{self._run.id}/run-{self._run.id}.wandb")


def _wait_until_settled(files: Sequence[Path]) -> None:
    """Let the W&B process of a tracker that died write what it still has."""
    give_up_s = time.monotonic() + _SETTLED_S
    before: list[int] = []
    while files and time.monotonic() < give_up_s:
        sizes = [file.stat().st_size for file in files]
        if sizes == before:
            return
        before = sizes
        time.sleep(_SETTLING_S)


def _has_key() -> bool:
    """Whether W&B would find a key; without one it would ask, and there is nobody to answer."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False
