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
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from germline.cli.output import Json
from germline.settings import PREFIX

logger = logging.getLogger(__name__)

MOST_WAITING = 16
MOST_LOOKING = 4
_MOST_BYTES = 512 << 20
_MOST_KEPT = 200
_PATIENCE_S = 900.0
_LOOK_PATIENCE_S = 60.0
_NICER = 10
_MOST_SAID = 4 << 20  # bytes of a line


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

    @property
    def observations(self) -> Path:
        """What the network saw in each."""
        return self.folder / "observations"


class Replays:
    """Plays what is asked for, one at a time, and keeps the newest."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Replay] = OrderedDict()
        self._turn, self._look_turn = asyncio.Lock(), asyncio.Lock()
        self._looking = 0
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

    async def saliency(self, replay: Replay, step: int) -> dict[str, Json]:
        """What the choice in a step, from 0, hung on; computed by a process of its own, and kept.

        Raises:
            LookError: if there is no such map, or too many are asked for; the message says why.
        """
        kept = replay.folder / f"saliency-{step}.json"
        if not kept.exists():
            if self._looking >= MOST_LOOKING:
                raise LookError(f"{MOST_LOOKING} steps are looked at already; try again in a moment")
            self._looking += 1
            try:
                async with self._look_turn:
                    kept.write_text(json.dumps(await _looked(replay, step)), encoding="utf-8")
            finally:
                self._looking -= 1
        found: dict[str, Json] = json.loads(kept.read_text(encoding="utf-8"))
        return found

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


class LookError(Exception):
    """A step cannot be looked at; the message says why."""


async def _played(replay: Replay) -> None:
    """Run its process to the end, and read what it says."""

    def hear(told: dict[str, Json]) -> None:
        pictures, why, done = told.get("pictures"), told.get("failed"), told.get("done")
        replay.pictures = pictures if isinstance(pictures, int) else replay.pictures
        replay.why = why if isinstance(why, str) else replay.why
        replay.told = done if isinstance(done, dict) else replay.told

    status = await _run(_written(replay), hear)
    if not replay.told and not replay.why:
        replay.why = _silent(status)


async def _looked(replay: Replay, step: int) -> dict[str, Json]:
    heard: dict[str, Json] = {}
    try:
        async with asyncio.timeout(_LOOK_PATIENCE_S):
            status = await _run(_written(replay, step), heard.update)
    except TimeoutError:
        raise LookError(f"it took more than {_LOOK_PATIENCE_S:.0f} s") from None
    except OSError as error:
        raise LookError(f"no process could be started: {error}") from None
    found = heard.get("done")
    if isinstance(found, dict):
        return found
    raise LookError(str(heard.get("failed") or _silent(status)))


def _silent(status: int) -> str:
    return f"its process ended with status {status} and without a word"


async def _run(job: bytes, hear: Callable[[dict[str, Json]], None]) -> int:
    """Have a process of its own do a job; hear what it says, and the status that it ends with."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "germline.dashboard.replay_process",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=_environment(), limit=_MOST_SAID, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdin is not None  # noqa: S101 - asked for above
        assert process.stdout is not None  # noqa: S101
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICER)  # the run goes first
        process.stdin.write(job)
        process.stdin.close()
        async for line in process.stdout:
            hear(json.loads(line))
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
    return await process.wait()


def _written(replay: Replay, step: int | None = None) -> bytes:
    """The job for its process, to play or to look at a step; a centre goes by a file."""
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
        "observations": str(replay.observations),
        "allow_code": replay.job.allow_code,
    }
    return json.dumps(job if step is None else job | {"step": step}).encode()


def _environment() -> dict[str, str]:
    """Ours, without anything of ours: no token, no address of a master."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {"OMP_NUM_THREADS": "1"}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir()) if folder.is_dir() else 0
