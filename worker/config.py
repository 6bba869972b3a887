"""Settings of a worker process. They shape speed, never weights or fitness: those come with the work."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from germline.connection import Security, check_addresses, is_loopback
from germline.settings import SECRET
from worker.allowed_code import AllowedCode

_SPOT_NOTICE = re.compile(r"(ec2|gcp|azure)$|https?://|file:///")
_WORKER_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Plays what a germline master lends, on this machine.

    With a master on this machine it needs no setting:  germline worker
    With one elsewhere:  germline worker --master HOST:7700 --ca ca.pem --token-file FILE

    Every setting is a flag or an environment variable. With _FILE at the end of its name, a variable names a
    file that holds the value. The first SIGTERM or Ctrl-C hands the leases back and ends the worker within
    seconds; the second ends it at once.
    """

    master: str = "localhost:7700"
    """Address of the master, host:port. A worker may start first: it waits. Where several masters share a
    store, the addresses of all of them, with commas between, or a name that stands for all: the worker finds
    the one that serves."""

    token: str = field(default="", metadata=SECRET, repr=False)
    """The token that the master asks for, one of its workers'."""

    tls: bool = False
    """Encrypt the stream, and trust the system's certificates."""

    ca: Path | None = None
    """Encrypt the stream, and trust this PEM file instead."""

    tls_cert: Path | None = None
    """Show the master this certificate chain, a PEM file; needs `tls_key`."""

    tls_key: Path | None = None
    """Private key of the certificate, a PEM file."""

    allow_code: str = ""
    """Python code that experiments may have this worker import: modules, with all below them, or single
    package.module:name, with commas between them. Installed plug-ins, germline's own policies and what
    Gymnasium has registered need no mention; everything else is refused before it is imported."""

    device: str = "auto"
    """Where networks run: cpu, cuda, cuda:N, mps, or auto, the first of cuda, mps and cpu that is there."""

    slots: int = 0
    """Individuals to play at a time; 0 sizes them from memory, cores and the network. Each has a lane of the
    task for each of its episodes; the log says how many that makes."""

    threads: int = 1
    """Threads that torch may use. More workers with one thread each beat one worker with many."""

    cache_mib: int = 256
    """Memory for the weights of each experiment's parents, in MiB: a kept parent's child is built fast."""

    worker_id: str = ""
    """What logs call this worker: 1 to 64 letters, digits, '.', '_' or '-'. Drawn at the start by default."""

    exit_when_idle: float = 0.0
    """Leave after so many seconds in which there was no work, or no master; 0 waits for ever. For jobs that
    should end when there is nothing left to do."""

    for_: float = 0.0
    """Leave after so many seconds, as at SIGTERM; 0 is never. For queues that give a job only so long."""

    spot_notice: str = ""
    """Who says that this machine is to be taken away, asked every 5 s: ec2, gcp or azure for what a machine
    there can ask, any other http or https URL that then answers with a text, or file:///PATH of a file that
    then exists. It works as SIGTERM does, which is what ECS, Batch and Kubernetes send instead."""

    metrics_port: int = -1
    """TCP port for Prometheus metrics of this worker; 0 takes a free one, -1 serves none."""

    metrics_host: str = "localhost"
    """Host to serve metrics on; 0.0.0.0 is every IPv4 interface. Beyond this machine they ask for this
    worker's `token` and show its `tls_cert`, or `insecure_metrics`."""

    insecure_metrics: bool = False
    """Serve metrics to a network in the open. They are counts and times, and name no individual."""

    results_log: Path | None = None
    """Append to this file, as a line of JSON each, every score that a master has answered: that it counts,
    and is durable, or why not. An account of what this worker played, to hold against the master's."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important lines to log."""

    log_format: Literal["text", "json"] = "text"
    """How lines are written: for people, or as one JSON object each."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_addresses(self.master)
        if self.slots < 0:
            raise ValueError(f"slots is {self.slots}; allowed: 1 or more, or 0 to size them from memory")
        if self.threads < 1:
            raise ValueError(f"threads is {self.threads}; allowed: 1 or more")
        if self.cache_mib < 0:
            raise ValueError(f"cache_mib is {self.cache_mib}; allowed: 0 or more")
        for name, seconds in (("exit_when_idle", self.exit_when_idle), ("for", self.for_)):
            if not 0 <= seconds < math.inf:
                raise ValueError(f"{name} is {seconds:g}; allowed: 0 or more seconds")
        if self.spot_notice and not _SPOT_NOTICE.match(self.spot_notice):
            raise ValueError(
                f"spot_notice is {self.spot_notice!r}; allowed: ec2, gcp, azure, an http or https URL, file:///PATH"
            )
        if self.worker_id and not _WORKER_ID.fullmatch(self.worker_id):
            raise ValueError(
                f"worker_id is {self.worker_id!r}; allowed: 1 to 64 letters, digits, '.', '_' or '-'"
            )
        _ = self.security, self.allowed_code  # which look at their own
        self._check_metrics()

    @property
    def metrics_are_open(self) -> bool:
        """Whether metrics are for everybody who reaches their port."""
        return is_loopback(self.metrics_host) or self.insecure_metrics

    def _check_metrics(self) -> None:
        if not -1 <= self.metrics_port <= 65_535:
            raise ValueError(f"metrics_port is {self.metrics_port}; allowed: 0 to 65535, or -1 for none")
        has_all = self.token and self.tls_cert and self.tls_key
        if self.metrics_port >= 0 and not self.metrics_are_open and not has_all:
            raise ValueError(
                f"metrics_host is {self.metrics_host!r}, which other machines reach, without a token, "
                "tls_cert and tls_key. Give what is missing, or say insecure_metrics"
            )

    @property
    def allowed_code(self) -> AllowedCode:
        """What specs may have imported here."""
        return AllowedCode.of(self.allow_code)

    @property
    def security(self) -> Security:
        """How the stream to the master is protected."""
        return Security(
            token=self.token, tls=self.tls, ca=self.ca, tls_cert=self.tls_cert, tls_key=self.tls_key
        )
