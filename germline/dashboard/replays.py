"""Replays: episodes that somebody wants to see, played one at a time in processes of their own, and kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import sys
import tempfile
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from germline.cli.output import Json
from germline.settings import PREFIX

logger = logging.getLogger(__name__)

MOST_WAITING = 16
_MOST_BYTES = 512 << 20
_MOST_KEPT = 200
_PATIENCE_S = 900.0
_NICER = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be played.

    Attributes:
        spec: as TOML.
        genome: in base64; empty for a centre.
        centre: the file of an evolution strategy's centre; empty for a genome.
        seed: of the episode.
        allow_code: what the spec may have imported; None for anything.
    """

    spec: str
    genome: str
    centre: bytes = field(default=b"", repr=False)
    seed: int
    allow_code: str | None

    @property
    def key(self) -> str:
        """The same for the same episode of the same network: what was played once is shown again."""
        parts = (
            self.spec,
            self.genome,
            str(self.seed),
            sha256(self.centre).hexdigest(),
            str(self.allow_code),
        )
        return sha256("\0".join(parts).encode()).hexdigest()[:24]


@dataclass(slots=True)
class Replay:
    """One of them, and how far it is.

    Attributes:
        job: what is played.
        state: waiting, playing, done or failed.
        pictures: so far.
        why: it failed, in words.
        told: of one that is done: its return, and what else its process said.
    """

    job: Job
    folder: Path
    state: str = "waiting"
    pictures: int = 0
    why: str = ""
    told: dict[str, Json] = field(default_factory=dict)

    @property
    def film(self) -> Path:
        """The .mp4."""
        return self.folder / "film.mp4"

    @property
    def steps(self) -> Path:
        """Each step, as JSON."""
        return self.folder / "steps.json"


class Replays:
    """Plays what is asked for, one at a time, and keeps the newest."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Replay] = OrderedDict()
        self._turn = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._root: Path | None = None

    def close(self) -> None:
        """End what is played, and forget all."""
        for task in self._tasks.values():
            task.cancel()
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    @property
    def are_full(self) -> bool:
        """Whether too many wait."""
        return len(self._tasks) >= MOST_WAITING

    def get(self, key: str) -> Replay | None:
        """One that was asked for; None if nobody did, or it was forgotten."""
        return self._known.get(key)

    def place(self, key: str) -> int:
        """How many are played before it."""
        return list(self._tasks).index(key) if key in self._tasks else 0

    def want(self, job: Job) -> Replay:
        """One that is played, or will be, or was; one that failed is tried again."""
        found = self._known.get(job.key)
        if found is not None and found.state != "failed":
            self._known.move_to_end(job.key)
            return found
        replay = self._known[job.key] = Replay(job, self._folder(job.key))
        task = asyncio.create_task(self._play(replay))
        self._tasks[job.key] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.key, None))
        return replay

    def _folder(self, key: str) -> Path:
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="germline-replays-"))
        folder = self._root / key
        folder.mkdir(exist_ok=True)
        return folder

    async def _play(self, replay: Replay) -> None:
        async with self._turn:
            replay.state = "playing"
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await _played(replay)
            except TimeoutError:
                replay.why = f"it was not over after {_PATIENCE_S:.0f} s"
            except OSError as error:
                replay.why = f"no process could be started: {error}"
            replay.state = "failed" if replay.why else "done"
            self._forget()

    def _forget(self) -> None:
        """Those that nobody asked for again, where there are too many."""
        over = [key for key, each in self._known.items() if each.state in ("done", "failed")]
        sizes = {key: _size(self._known[key].folder) for key in over}
        while over[1:] and (len(over) > _MOST_KEPT or sum(sizes[key] for key in over) > _MOST_BYTES):
            shutil.rmtree(self._known.pop(over.pop(0)).folder, ignore_errors=True)


async def _played(replay: Replay) -> None:
    """Run its process to the end, and read what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "germline.dashboard.replay_process",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=_environment(), limit=1 << 20, start_new_session=True,
    )  # fmt: skip
    try:
        await _hear(process, replay)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def _hear(process: asyncio.subprocess.Process, replay: Replay) -> None:
    assert process.stdin is not None  # noqa: S101 - asked for above
    assert process.stdout is not None  # noqa: S101
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICER)  # the run goes first
    process.stdin.write(_written(replay))
    process.stdin.close()
    async for line in process.stdout:
        told = json.loads(line)
        replay.pictures = told.get("pictures", replay.pictures)
        replay.why = told.get("failed", replay.why)
        replay.told = told.get("done", replay.told)
    if not replay.told and not replay.why:
        replay.why = f"its process ended with status {await process.wait()} and without a word"


def _written(replay: Replay) -> bytes:
    """The job for its process; a centre goes by a file."""
    centre = replay.folder / "centre.safetensors"
    if replay.job.centre:
        centre.write_bytes(replay.job.centre)
    job = {
        "spec": replay.job.spec,
        "genome": replay.job.genome,
        "centre": str(centre),
        "seed": str(replay.job.seed),
        "film": str(replay.film),
        "steps": str(replay.steps),
        "allow_code": replay.job.allow_code,
    }
    return json.dumps(job).encode()


def _environment() -> dict[str, str]:
    """Ours, without anything of ours: no token, no address of a master."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {"OMP_NUM_THREADS": "1"}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir()) if folder.is_dir() else 0
