"""A real master in a process of its own, with a store of its own, for as long as something is measured."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from germline.client import Client
from germline.ports import free_port

SPHERE = """
name = "bench"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 1000
"""
"""An experiment that costs its workers nothing."""

_START_S = 60.0
_ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Served:
    """A master that answers.

    Attributes:
        address: of its gRPC port.
        folder: where its store is.
        metrics: URL of its metrics.
        pid: of its process.
    """

    address: str
    folder: Path
    metrics: str
    pid: int

    def metric(self, name: str) -> float:
        """The value of a metric that has no labels."""
        with urllib.request.urlopen(self.metrics, timeout=_ANSWER_S) as answer:  # noqa: S310 - our own
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def memory_mib(self) -> float:
        """What of its process lies in memory, in MiB (Linux)."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


@contextlib.contextmanager
def served(folder: Path, *flags: str) -> Iterator[Served]:
    """Serve from a folder, with these flags besides, until the block ends."""
    address, port = f"127.0.0.1:{free_port()}", free_port()
    own = ("--listen", address, "--store-folder", str(folder), "--metrics-port", str(port))
    command = [sys.executable, "-m", "master", *own, "--log-level", "error", *flags]
    process = subprocess.Popen(command)  # noqa: S603 - our own module
    try:
        with Client(address) as client:
            client.wait_until_ready(_START_S)
        yield Served(address, folder, f"http://127.0.0.1:{port}/metrics", process.pid)
    finally:
        process.terminate()
        process.wait()
