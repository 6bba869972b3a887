"""Measures how busy two workers are while a genetic algorithm and an evolution strategy share them.

    python -m germline.bench.mixed_fleet --seconds 120

Two experiments on Space Invaders, whose episodes differ in length by a factor of ten, on a real master with
two real workers. An evolution strategy alone leaves workers idle at each epoch's tail; beside a genetic
algorithm they play its work. The busy share is what workers tell with their heartbeats, and /metrics shows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean

from germline.client import Client
from germline.ports import free_port
from germline.spec import loads
from germline.v1 import spec_pb2

_GAME = """
name = "{name}"
[task.atari]
game = "space_invaders"
max_frames = 6_000
[policy]
name = "dqn2015"
[evaluation]
precision = "{precision}"
"""
_GA = """
[algorithm.ga]
window = 100
parents = 10
power = 0.01
"""
_EGGROLL = """
[algorithm.eggroll]
pairs = {pairs}
slice_pairs = 2
sigma = 0.01
validation_epochs = 0
"""


def specs(pairs: int, precision: str) -> dict[str, spec_pb2.ExperimentSpec]:
    """The two experiments, by what they are."""
    texts = {"ga": _GA, "eggroll": _EGGROLL.format(pairs=pairs)}
    return {kind: loads(_GAME.format(name=kind, precision=precision) + text) for kind, text in texts.items()}


def measure(kinds: list[str], seconds: float, workers: int, pairs: int, precision: str) -> dict[str, float]:
    """Run these kinds on one fleet for a while; the busy share and what was played."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        address = f"127.0.0.1:{free_port()}"
        store = ("--store-folder", str(Path(folder) / "store"), "--metrics-port", "-1", "--heartbeat-s", "1")
        stack.enter_context(_process("master", "--listen", address, *store))
        for _ in range(workers):
            stack.enter_context(_process("worker", "--master", address, "--device", "cpu"))
        client = stack.enter_context(Client(address))
        client.wait_until_ready(60.0)
        for kind, spec in specs(pairs, precision).items():
            if kind in kinds:
                client.create(spec)
        _wait_until_playing(client, workers)
        shares = list(_samples(client, seconds))
        found = {experiment.name: experiment for experiment in client.experiments()}
        epochs = found["eggroll"].epochs if "eggroll" in found else 0
        played = {f"{name}_evaluations": float(each.evaluations) for name, each in found.items()}
    return {"busy_share": mean(shares), "lowest": min(shares), "epochs": float(epochs)} | played


@contextmanager
def _process(module: str, *flags: str) -> Iterator[None]:
    command = [sys.executable, "-m", module, *flags]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - our own modules
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_until_playing(client: Client, workers: int) -> None:
    """Workers import, connect and build their emulators first; that is not what is measured."""
    while len(busy := [w for w in client.workers() if w.busy_share > 0.5]) < workers or not all(
        each.frames_per_second for each in busy
    ):
        time.sleep(0.5)


def _samples(client: Client, seconds: float) -> Iterator[float]:
    """The mean busy share of all workers, once a second."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        time.sleep(1.0)
        yield mean(worker.busy_share for worker in client.workers())


def main() -> None:
    """Measure each experiment alone and both together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each measurement")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=16, help="of an epoch: few, so that tails are frequent")
    parser.add_argument("--precision", default="bfloat16")
    options = parser.parse_args()
    for kinds in (["eggroll"], ["ga", "eggroll"]):
        found = measure(kinds, options.seconds, options.workers, options.pairs, options.precision)
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
        sys.stdout.write(f"{' + '.join(kinds)}: {numbers}\n")


if __name__ == "__main__":
    main()
