"""How much a store holds while an experiment grows to a million evaluations: as much as at its beginning.

Run ``python -m germline.bench.store_size``. A real master with its own Valkey server serves the made-up
workers of :mod:`germline.bench.fleet`. The server's memory and its files are looked at again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from germline.bench.serving import SPHERE, Served, served
from germline.client import Client
from germline.spec import loads

_LOOK_S = 0.5
_EARLY = 10  # part of the evaluations after which a size is an early one


@dataclass(frozen=True, slots=True)
class StoreSize:
    """Sizes in MiB.

    Attributes:
        evaluations: that were acknowledged.
        early_memory_mib: most memory of the server up to a tenth of them.
        late_memory_mib: most memory in the last tenth; bounded means: about the same.
        most_memory_mib: most at any time.
        most_files_mib: most that its folder held.
        last_files_mib: at the end, when all is written.
    """

    evaluations: int
    early_memory_mib: float
    late_memory_mib: float
    most_memory_mib: float
    most_files_mib: float
    last_files_mib: float


async def measure(evaluations: int, snapshot_interval_s: float) -> StoreSize:
    """Let so many evaluations be told, and look."""
    snapshots = ("--snapshot-interval-s", str(snapshot_interval_s))
    with tempfile.TemporaryDirectory() as folder:
        with served(Path(folder), *snapshots) as master, Client(master.address) as client:
            client.create(loads(SPHERE))
            sizes = await _look_on(master, client, evaluations)
        return _figures(evaluations, sizes, _files(Path(folder)))


Size = tuple[int, float, float]  # evaluations, memory and files in MiB


async def _look_on(master: Served, client: Client, evaluations: int) -> list[Size]:
    """Start the fleet, and look until it has told enough."""
    from master.journal.connection import connect

    store = connect(f"unix://{master.folder / 'valkey.sock'}")
    fleet = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "germline.bench.fleet", master.address, "--evaluations", str(evaluations),
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    sizes = []
    while fleet.returncode is None:
        memory = float((await store.info("memory"))["used_memory"])
        told = (await asyncio.to_thread(client.experiment, "bench")).evaluations
        sizes.append((told, memory / 2**20, _files(master.folder)))
        await asyncio.sleep(_LOOK_S)
    await store.aclose()
    if await fleet.wait():
        raise RuntimeError(f"the fleet ended with status {fleet.returncode}")
    return sizes


def _files(folder: Path) -> float:
    """What is in a folder, in MiB; files may go while one looks."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return total / 2**20


def _figures(evaluations: int, sizes: list[Size], last_files: float) -> StoreSize:
    early = [memory for told, memory, _ in sizes if told <= evaluations / _EARLY]
    late = [memory for told, memory, _ in sizes if told >= evaluations * (1 - 1 / _EARLY)]
    return StoreSize(
        evaluations=evaluations,
        early_memory_mib=max(early, default=0.0),
        late_memory_mib=max(late, default=0.0),
        most_memory_mib=max(memory for _, memory, _ in sizes),
        most_files_mib=max(files for _, _, files in sizes),
        last_files_mib=last_files,
    )


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=1_000_000)
    parser.add_argument("--snapshot-interval-s", type=float, default=10.0, help="of the master")
    given = parser.parse_args()
    figures = asyncio.run(measure(given.evaluations, given.snapshot_interval_s))
    print(json.dumps(dataclasses.asdict(figures), indent=1))  # noqa: T201 - the figures


if __name__ == "__main__":
    main()
