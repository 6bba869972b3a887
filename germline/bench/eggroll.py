"""One EGGROLL step against the public packages, on the same torch, data and threads.

Run ``python -m germline.bench.eggroll``. The peers are the real packages from PyPI, in an environment of
their own that is made on first use. Every contender is a process of its own, so that its peak memory is its
own; they take their steps in turns, one after the other, and medians are compared. Ours stands there twice:
by its own interface, and by each package's (:mod:`germline.compat`), beside that package. Ratios on a machine
with other work to do mean little: compare the processor seconds too, at most threads times wall seconds.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

logger = logging.getLogger(__name__)

CONTENDER = Path(__file__).with_name("eggroll_contender.py")
PEERS = ("eggroll-trainer", "torcheggroll", "evox")
Clock = Literal["wall", "cpu"]
Steps = Sequence[Sequence[float]]
OURS, FLOOR = "germline", "inference"
INTERFACES = {
    "germline.compat.eggroll_trainer": "eggroll-trainer",
    "germline.compat.torcheggroll": "torcheggroll",
}


@dataclass(frozen=True, slots=True)
class Workload:
    """A network, its data and a population, with what is asked of us there.

    Attributes:
        name: for people.
        widths: of the network's layers.
        batch: rows that every member sees.
        population: members.
        rank: of the noise.
        asked: how many times as fast as each peer a step must be; or as its package, for an interface.
        asked_mib: how much memory our processes may ever hold; 0 for any.
    """

    name: str
    widths: tuple[int, ...]
    batch: int
    population: int
    rank: int = 1
    asked: tuple[tuple[str, float], ...] = ()
    asked_mib: int = 0


WORKLOADS = (
    Workload(
        "batch 256, population 1024",
        (128, 256, 256, 10),
        256,
        1024,
        asked=(
            ("eggroll-trainer", 1.8),
            ("torcheggroll", 3.0),
            ("germline.compat.torcheggroll", 3.0),
        ),
        asked_mib=300,
    ),
    Workload(
        "wide input, batch 256, population 512",
        (784, 256, 10),
        256,
        512,
        asked=(("eggroll-trainer", 5.0), ("torcheggroll", 10.0)),
    ),
    Workload(
        "batch 1, population 1024",
        (128, 256, 256, 10),
        1,
        1024,
        asked=(("eggroll-trainer", 30.0), ("torcheggroll", 30.0)),
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One contender on one workload.

    Attributes:
        workload: its name.
        contender: its name.
        median_s: wall seconds of a step.
        cpu_s: processor seconds of a step, median.
        peak_mib: the most memory its process ever held.
        ratio: how many times as fast as this contender ours is, by medians of the clock that was chosen; for
            ours by a package's interface: how many times as fast as the package it is.
        asked: the ratio that is asked for; 0 for none.
        reached: whether ours reaches it, and its memory bound.
        rounds: steps measured.
    """

    workload: str
    contender: str
    median_s: float
    cpu_s: float
    peak_mib: float
    ratio: float
    asked: float
    reached: bool
    rounds: int


def measure(
    workloads: Iterable[Workload] = WORKLOADS,
    *,
    rounds: int = 7,
    threads: int = 2,
    contenders: Sequence[str] = PEERS,
    clock: Clock = "wall",
    folder: Path | None = None,
) -> list[Row]:
    """Measure ours, the peers, and bare inference, workload by workload.

    Args:
        workloads: what to step through.
        rounds: steps of each contender, in turns.
        threads: of each contender.
        contenders: which peers.
        clock: ``wall``; or ``cpu``, which on a busy machine says more, with one thread most of all.
        folder: where the peers' environment is, or will be made.
    """
    peers = peers_python(folder) if contenders else Path(sys.executable)
    rows: list[Row] = []
    for work in workloads:
        rows += _measure_one(work, rounds, threads, contenders, peers, clock)
        logger.info("%s\n%s", work.name, table([row for row in rows if row.workload == work.name]))
    return rows


def peers_python(folder: Path | None = None) -> Path:
    """The interpreter of the environment that holds the peers; made if it is not there.

    eggroll-trainer asks for Python 3.12 but runs on 3.11, and for packages that only its examples use; so it
    is installed without its dependencies.
    """
    home = (
        folder
        or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "germline" / "eggroll-peers"
    )
    python, ready = home / "bin" / "python", home / "ready"
    if not ready.exists():
        logger.info("making the peers' environment in %s", home)
        venv.create(home, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        torch_version = version("torch").split("+")[0]
        pinned = [f"torch=={torch_version}", f"numpy=={version('numpy')}"]
        _run([*pip, *pinned])
        _run([*pip, *pinned, "torcheggroll==0.2.0", "evox==1.4.0"])
        _run([*pip, "--no-deps", "--ignore-requires-python", "eggroll-trainer==0.1.0"])
        ready.touch()
    return python


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - our own words


class Contender:
    """A process that takes a step whenever it is asked to."""

    def __init__(self, python: Path, name: str, work: Workload, threads: int) -> None:
        settings = {"widths": work.widths, "batch": work.batch, "population": work.population}
        argument = json.dumps({**settings, "rank": work.rank, "threads": threads})
        self.name = name
        self.steps: list[list[float]] = []
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            [str(python), str(CONTENDER), name, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._read()

    def step(self) -> list[float]:
        """One step: seconds, processor seconds, peak MiB so far."""
        if self._process.stdin is None:
            raise RuntimeError(f"contender {self.name} has no input")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def end(self) -> None:
        """Let the process go."""
        self._process.communicate()

    def _read(self) -> list[float]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        while line and not line.startswith("["):  # a peer that prints
            line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"contender {self.name} ended with status {self._process.wait()}")
        figures: list[float] = json.loads(line)
        return figures


def _measure_one(
    work: Workload, rounds: int, threads: int, contenders: Sequence[str], peers: Path, clock: Clock
) -> list[Row]:
    """All contenders in turns: two steps to warm up, then `rounds` steps each."""
    places = [
        (Path(sys.executable), OURS),
        (Path(sys.executable), FLOOR),
        *((Path(sys.executable), name) for name, package in INTERFACES.items() if package in contenders),
        *((peers, name) for name in contenders),
    ]
    running = [Contender(python, name, work, threads) for python, name in places]
    try:
        for turn in range(rounds + 2):
            for contender in running:
                figures = contender.step()
                if turn >= 2:
                    contender.steps.append(figures)
    finally:
        for contender in running:
            contender.end()
    return rows_of(work, {contender.name: contender.steps for contender in running}, clock)


def rows_of(work: Workload, steps: Mapping[str, Steps], clock: Clock) -> list[Row]:
    """What the contenders' steps come to: of each, seconds, processor seconds and the peak in MiB."""
    place = 0 if clock == "wall" else 1
    medians = {name: statistics.median(step[place] for step in own) for name, own in steps.items()}
    return [_row(work, name, own, _ratio(name, medians)) for name, own in steps.items()]


def _ratio(name: str, medians: Mapping[str, float]) -> float:
    if name in INTERFACES:
        return medians[INTERFACES[name]] / medians[name]
    return medians[name] / medians[OURS]


def _row(work: Workload, name: str, steps: Steps, ratio: float) -> Row:
    median, cpu = (statistics.median(step[i] for step in steps) for i in (0, 1))
    peak = max(step[2] for step in steps)
    asked = dict(work.asked).get(name, 0.0)
    bound = work.asked_mib if name == OURS or (name in INTERFACES and asked) else 0
    fits = not bound or peak <= bound
    reached = ratio >= asked and fits
    return Row(work.name, name, median, cpu, peak, ratio, asked, reached, len(steps))


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| workload | contender | step, median s | CPU s | peak MiB | ours is faster by | asked |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        asked = f"{row.asked:g} ({'reached' if row.reached else 'missed'})" if row.asked else ""
        lines.append(
            f"| {row.workload} | {row.contender} | {row.median_s:.4f} | {row.cpu_s:.4f} | {row.peak_mib:.0f} "
            f"| {row.ratio:.2f} | {asked} |"
        )
    return "\n".join(lines)


def main() -> None:
    """`python -m germline.bench.eggroll`."""
    parser = argparse.ArgumentParser(description="one EGGROLL step against the public packages")
    parser.add_argument("--rounds", type=int, default=7, help="steps of each contender, in turns")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the peers' environment is, or will be made")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu for a busy machine")
    parser.add_argument("--workload", type=int, nargs="*", help="which workloads, from 0; default all")
    parser.add_argument("--json", action="store_true", help="rows as JSON instead of a table")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    rows = measure(
        [work for i, work in enumerate(WORKLOADS) if i in (arguments.workload or range(len(WORKLOADS)))],
        rounds=arguments.rounds,
        threads=arguments.threads,
        clock=arguments.clock,
        folder=arguments.folder,
    )
    text = json.dumps([asdict(row) for row in rows], indent=1) if arguments.json else table(rows)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
