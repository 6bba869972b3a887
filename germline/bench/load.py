"""What a master stands: a thousand workers, a population of a million, an epoch of 262,144 slices.

Run ``python -m germline.bench.load``. A real master process with its own Valkey serves made-up workers
(:mod:`germline.bench.fleet`), each on a connection of its own, while somebody asks for the experiment all the
time and snapshots are written. Workers take their time, and all together tell 5,000 evaluations a second;
what a master can carry at most is another bench (:mod:`germline.bench.master`). It tells how long everybody
had to wait for the master's loop, how long workers waited for work, and what memory it all cost.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from germline.bench.serving import Served, served
from germline.client import Client
from germline.spec import loads

WORKERS = 1_000
SLICE_WORKERS = 64
POPULATION = 1_000_000
SLICES = 262_144
BATCH = 16
RATE = 5_000.0  # evaluations a second of the whole fleet

_LOOK_S = 0.2
_SNAPSHOT_S = "10"
_FILES = 8_192  # that a process may have open: a connection is one on either side
_HEAD = """
name = "load"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
"""
_GA = "[algorithm.ga]\nwindow = {size}\n"
_EGGROLL = "[algorithm.eggroll]\npairs = {size}\nslice_pairs = 1\nvalidation_epochs = 0\n"


@dataclass(frozen=True, slots=True)
class Load:
    """What was seen while so many workers told results.

    Attributes:
        workers: each on a connection of its own.
        size: of the population, or slices of an epoch.
        evaluations: that were acknowledged.
        evaluations_per_second: over the whole run, from when all are connected.
        longest_stall_s: the longest that the master's loop was late; at most 0.25 is asked for.
        ask_to_lease_p50_s: from asking for work to the first of it, the middle.
        ask_to_lease_p99_s: the same, one in a hundred waited longer.
        get_experiment_p50_s: how long somebody who asks for the experiment waits.
        get_experiment_most_s: the longest of these.
        memory_per_worker_kib: of the master's process, over that of an idle one.
        memory_mib: of the master's process at the end.
    """

    workers: int
    size: int
    evaluations: int
    evaluations_per_second: float
    longest_stall_s: float
    ask_to_lease_p50_s: float
    ask_to_lease_p99_s: float
    get_experiment_p50_s: float
    get_experiment_most_s: float
    memory_per_worker_kib: float
    memory_mib: float


def measure_population(workers: int, population: int, evaluations: int) -> Load:
    """Load a genetic algorithm: the population fills, and the rest comes when it is full."""
    return _measure(_HEAD + _GA.format(size=population), workers, population, evaluations)


def measure_slices(workers: int, slices: int, evaluations: int) -> Load:
    """Load an evolution strategy, whose epoch is cut into slices of one pair."""
    return _measure(_HEAD + _EGGROLL.format(size=slices), workers, slices, evaluations)


def _measure(spec: str, workers: int, size: int, evaluations: int) -> Load:
    allow_files()
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder) / "store", "--snapshot-interval-s", _SNAPSHOT_S) as master,
        Client(master.address) as client,
    ):
        client.create(loads(spec))
        idle_mib = master.memory_mib()
        with _fleet(master, workers, evaluations, Path(folder)) as fleet:
            connected_mib, asked_s = _look_on(fleet, master, client)
        samples = [json.loads(line) for line in (Path(folder) / "samples").read_text().splitlines()]
        waited_s = sorted(json.loads((Path(folder) / "waits").read_text()))
        return Load(
            workers=workers,
            size=size,
            evaluations=samples[-1][1],
            evaluations_per_second=_rate(samples),
            longest_stall_s=master.metric("germline_loop_late_most_seconds"),
            ask_to_lease_p50_s=statistics.median(waited_s),
            ask_to_lease_p99_s=waited_s[len(waited_s) * 99 // 100],
            get_experiment_p50_s=statistics.median(asked_s),
            get_experiment_most_s=max(asked_s),
            memory_per_worker_kib=(connected_mib - idle_mib) * 1024 / workers,
            memory_mib=master.memory_mib(),
        )


def allow_files() -> None:
    """Let this process and its children open a file for each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


@contextlib.contextmanager
def _fleet(master: Served, workers: int, evaluations: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Made-up workers at work; the folder gets their samples, and how long they waited."""
    sizes = ("--streams", str(workers), "--batch", str(BATCH), "--in-flight", str(BATCH))
    pace = ("--own-connections", "--play-s", str(workers * BATCH / RATE))
    end = ("--evaluations", str(evaluations), "--waits", str(folder / "waits"))
    command = [sys.executable, "-m", "germline.bench.fleet", master.address, *sizes, *pace, *end]
    with (folder / "samples").open("w") as told:
        fleet = subprocess.Popen(command, stdout=told)  # noqa: S603 - our own module
        try:
            yield fleet
        finally:
            fleet.kill()
    if fleet.wait():
        raise RuntimeError(f"the fleet ended with status {fleet.returncode}")


def _look_on(fleet: subprocess.Popen[bytes], master: Served, client: Client) -> tuple[float, list[float]]:
    """The master's memory when all had connected, and how long each question took."""
    connected_mib, asked_s = 0.0, []
    while fleet.poll() is None:
        asked = time.monotonic()
        experiment = client.experiment("load")
        asked_s.append(time.monotonic() - asked)
        if not connected_mib and experiment.evaluations:
            connected_mib = master.memory_mib()
        time.sleep(_LOOK_S)
    return connected_mib, asked_s


def _rate(samples: list[tuple[float, int]]) -> float:
    """Evaluations a second from the first that was acknowledged to the last."""
    first = next(sample for sample in samples if sample[1])
    return (samples[-1][1] - first[1]) / (samples[-1][0] - first[0])


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--slice-workers", type=int, default=SLICE_WORKERS, help="each is told every score")
    parser.add_argument("--population", type=int, default=POPULATION)
    parser.add_argument("--slices", type=int, default=SLICES)
    parser.add_argument("--evaluations", type=int, default=POPULATION * 5 // 4, help="of each of the two")
    given = parser.parse_args()
    _say("population", measure_population(given.workers, given.population, given.evaluations))
    _say("slices", measure_slices(given.slice_workers, given.slices, given.evaluations))


def _say(name: str, load: Load) -> None:
    print(json.dumps({name: dataclasses.asdict(load)}, indent=1), flush=True)  # noqa: T201 - the figures


if __name__ == "__main__":
    main()
