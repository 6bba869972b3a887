"""What one master carries: durable, acknowledged evaluations a second, against a bare gRPC echo.

Run ``python -m germline.bench.master``. A real master process with its own Valkey server serves a fleet
process (:mod:`germline.bench.fleet`) of 200 workers on streams of their own, which tell 16 scores to a
message. An evaluation counts when its acknowledgement is back: it is on disk then. The reference is what
Python's gRPC streams carry at all (:mod:`germline.bench.echo`), messages there and back, measured before,
between and after.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from germline.bench.serving import SPHERE, served
from germline.client import Client
from germline.spec import loads

STREAMS = 200
BATCH = 16
LONG_RUN = 1_000_000

_WARM_UP = 10_000  # evaluations before the first rate is taken
_WINDOW = 100_000  # evaluations over which a rate is taken
_ECHO_S = 3.0

Sample = tuple[float, int]  # monotonic seconds, evaluations acknowledged by then


@dataclass(frozen=True, slots=True)
class MasterFigures:
    """Medians over all rounds.

    Attributes:
        streams: workers, each on a stream of its own.
        batch: scores to a message.
        rounds: how often it was measured.
        evaluations: of one round.
        evaluations_per_second: durable and acknowledged, over a whole round; at least 20,000 is asked for.
        early_per_second: the same over 100,000 evaluations from the 10,000th on.
        late_per_second: the same over the last 100,000 of a round.
        late_share_of_early: late_per_second / early_per_second; at least 0.9 is asked for.
        echo_messages_per_second: of the bare echo, there and back.
        evaluations_per_echo: evaluations_per_second / echo_messages_per_second.
        lineage_depth: longest line in the population at the end.
    """

    streams: int
    batch: int
    rounds: int
    evaluations: int
    evaluations_per_second: float
    early_per_second: float
    late_per_second: float
    late_share_of_early: float
    echo_messages_per_second: float
    evaluations_per_echo: float
    lineage_depth: int


def measure(rounds: int = 3, evaluations: int = LONG_RUN) -> MasterFigures:
    """Measure, echo and master in turns."""
    echoes = [_echo()]
    runs = []
    for _ in range(rounds):
        runs.append(_run(evaluations))
        echoes.append(_echo())
    warm, window = min(_WARM_UP, evaluations // 10), min(_WINDOW, evaluations // 4)
    total = statistics.median(_rate(samples, warm, evaluations) for samples, _ in runs)
    early = statistics.median(_rate(samples, warm, warm + window) for samples, _ in runs)
    late = statistics.median(_rate(samples, evaluations - window, evaluations) for samples, _ in runs)
    echo = statistics.median(echoes)
    return MasterFigures(
        streams=STREAMS,
        batch=BATCH,
        rounds=rounds,
        evaluations=evaluations,
        evaluations_per_second=total,
        early_per_second=early,
        late_per_second=late,
        late_share_of_early=late / early,
        echo_messages_per_second=echo,
        evaluations_per_echo=total / echo,
        lineage_depth=max(depth for _, depth in runs),
    )


def _run(evaluations: int) -> tuple[list[Sample], int]:
    """One round on a fresh master: when how much was acknowledged, and the depth of the lineages."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder)) as master,
        Client(master.address) as client,
    ):
        client.create(loads(SPHERE))
        command = [
            *_python("germline.bench.fleet", master.address),
            *("--streams", str(STREAMS), "--batch", str(BATCH), "--evaluations", str(evaluations)),
        ]
        told = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603
        depth = client.experiment("bench").lineage_depth
    return [tuple(json.loads(line)) for line in told.stdout.splitlines()], depth


def _echo() -> float:
    with subprocess.Popen(  # noqa: S603
        _python("germline.bench.echo", "serve"), stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            port = server.stdout.readline().strip() if server.stdout else ""
            flags = (port, "--streams", str(STREAMS), "--seconds", str(_ECHO_S))
            command = _python("germline.bench.echo", "load", *flags)
            rate = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603
            return float(json.loads(rate.stdout))
        finally:
            server.kill()


def _rate(samples: list[Sample], first: int, last: int) -> float:
    """Evaluations a second between two numbers of evaluations."""
    start = next(sample for sample in samples if sample[1] >= first)
    end = next((sample for sample in samples if sample[1] >= last), samples[-1])
    return (end[1] - start[1]) / (end[0] - start[0])


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=LONG_RUN, help="of one round")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    figures = dataclasses.asdict(measure(given.rounds, given.evaluations))
    if given.json:
        print(json.dumps({"master": figures}))  # noqa: T201 - the figures
        return
    for name, value in figures.items():
        print(f"{name:<28} {value:,.2f}" if isinstance(value, float) else f"{name:<28} {value:,}")  # noqa: T201


if __name__ == "__main__":
    main()
