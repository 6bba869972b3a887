"""What a large archive costs: its size, and how long each question to it takes.

Run ``python -m germline.bench.archive``. A genetic algorithm evolves made-up scores and behaviours that
children inherit, through a real experiment, journal and archive in one process; only networks and games are
left out. Then a real master serves that store, and a client asks it everything that the dashboard asks,
several times. :func:`fill` makes such a store for others, too: a master on its folder shows a run of that
many evaluations.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from germline.algorithms.base import Ask, Result
from germline.bench.serving import served
from germline.client import Client
from germline.destinations import Folder
from germline.spec import loads
from master.archive.opening import FOLDER
from master.archive.writer import ArchiveWriter
from master.experiments.registry import Registry
from master.experiments.workers import WorkerIdentity
from master.journal.connection import connect
from master.journal.journal import Journal
from master.journal.keys import Keys
from master.journal.own_store import OwnStore
from master.work.leases import Key

NAME = "many"
EVALUATIONS = 1_000_000

_SPEC = f"""
name = "{NAME}"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[behaviour]
descriptor = "task"
dimensions = 4
names = ["left", "up", "speed", "turn"]
low = [0.0]
high = [1.0]
[algorithm.ga]
window = 1000
parents = 20
"""
_AT_A_TIME = 1_000
_PATIENCE_S = 600.0
_ROUNDS = 5


class Heirs:
    """Scores and behaviours that children inherit, with noise; the last 20,000 individuals are remembered."""

    def __init__(self, seed: int = 1) -> None:
        """Begin with founders."""
        self._random = random.Random(seed)  # noqa: S311 - scores
        self._known: dict[int, tuple[float, tuple[float, ...]]] = {}

    def play(self, ask: Ask) -> Result:
        """What an individual comes to."""
        if ask.genome.id not in self._known:
            parent = ask.genome.parent()
            score, place = self._known.get(parent.id if parent else 0, (0.0, (0.5, 0.5, 0.5, 0.5)))
            score = score * 0.9995 + self._random.gauss(0.0, 0.3)
            moved = tuple(min(1.0, max(0.0, each + self._random.gauss(0.0, 0.02))) for each in place)
            self._remember(ask.genome.id, (score, moved))
        score, place = self._known[ask.genome.id]
        behaviour = struct.pack(f"<{len(place)}H", *(round(each * 65_535) for each in place))
        returns = tuple(score for _ in ask.episode_seeds)
        frames = 1_000 + self._random.randrange(4_000)
        return Result(ask.ticket, returns, frames, frames // 4, behaviour=behaviour)

    def _remember(self, individual: int, known: tuple[float, tuple[float, ...]]) -> None:
        self._known[individual] = known
        if len(self._known) > 20_000:
            del self._known[next(iter(self._known))]


async def fill(folder: Path, evaluations: int) -> None:
    """Have a store in this folder, and its archive, as if so many evaluations had been told to a master."""
    async with OwnStore(folder) as store:
        client = connect(store.url)
        journal = Journal(client, Keys(), own_store=True)
        archive = ArchiveWriter(Folder(folder / FOLDER), journal.when_durable, max_bytes=1 << 40)
        journal.snapshots.when_archived = archive.when_stored
        started = time.monotonic()
        registry = Registry(journal, lambda: time.monotonic() - started, archive)
        await registry.recover()
        tasks = [asyncio.create_task(each) for each in (archive.run(), journal.run())]
        await _evolve(registry, journal, evaluations)
        for _ in range(2):  # the archive first, then the snapshot that waits for it
            await journal.flush(_PATIENCE_S, with_snapshots=True)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await client.aclose()


async def _evolve(registry: Registry, journal: Journal, evaluations: int) -> None:
    experiment, heirs = registry.create(loads(_SPEC)), Heirs()
    workers = [WorkerIdentity(f"w-{number}", "cpu", {}) for number in range(8)]
    while experiment.progress.evaluations < evaluations:
        worker = workers[experiment.progress.evaluations // _AT_A_TIME % len(workers)]
        for ask, lease in experiment.lend(worker.worker_id, _AT_A_TIME, (), 0):
            if isinstance(ask, Ask):
                key = Key(experiment.number, ask.ticket, lease.attempt)
                experiment.tell(worker, [(key, heirs.play(ask))])
        await journal.durable()
    experiment.pause()


def questions(client: Client) -> Iterator[tuple[str, Callable[[], object]]]:
    """What pages ask of an archive, by name."""
    individual = client.evaluations(NAME, "newest", 1).evaluations.individual[0]
    middle = client.experiment(NAME).evaluations // 2
    axes = client.behaviour_map(NAME, None).axes
    yield "bands of all", lambda: client.bands(NAME)
    yield "bands of all by frames", lambda: client.bands(NAME, "frames")
    yield "bands of 2,000", lambda: client.bands(NAME, low=middle, high=middle + 2_000)
    yield "the best 100", lambda: client.evaluations(NAME, "best", 100)
    yield "the newest 100", lambda: client.evaluations(NAME, "newest", 100)
    yield "an individual", lambda: client.life(NAME, individual)
    yield "ancestry", lambda: client.ancestry(NAME)
    yield "map", lambda: client.behaviour_map(NAME, (0, 1))
    yield "map of principal components", lambda: client.behaviour_map(NAME, axes)
    yield "map of half of all", lambda: client.behaviour_map(NAME, (0, 1), end=middle)
    yield "100 of some cells", lambda: client.evaluations(NAME, "best", 100, cells=(axes, (60, 68), (60, 68)))


def measure(folder: Path, evaluations: int) -> dict[str, float]:
    """Megabytes of a million evaluations, seconds to write them, and milliseconds that answers take."""
    began = time.monotonic()
    asyncio.run(fill(folder, evaluations))
    found = {"seconds to fill": time.monotonic() - began}
    size = sum(file.stat().st_size for file in (folder / FOLDER).rglob("*.part"))
    found["bytes a record"] = size / evaluations
    with served(folder) as master, Client(master.address, deadline_s=60.0) as client:
        for name, ask in questions(client):
            took_ms = [_timed(ask) for _ in range(_ROUNDS)]
            found[f"{name}, first, ms"] = took_ms[0]
            found[f"{name}, ms"] = statistics.median(took_ms[1:])
    return found


def _timed(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return 1_000 * (time.perf_counter() - began)


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    parser.add_argument("--folder", type=Path, help="a new one, which is kept; otherwise nothing is")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(given.folder or Path(temporary), given.evaluations)
    print(json.dumps({name: round(value, 2) for name, value in found.items()}, indent=1))  # noqa: T201 - the figures


if __name__ == "__main__":
    main()
