"""What Prometheus may ask a worker: counters of its work, read at the moment of asking."""

from __future__ import annotations

import hmac
import logging
import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from germline.metrics_server import serve_metrics
from worker.config import WorkerConfig
from worker.connection.wire import Identity
from worker.connection.worker_state import WorkerState
from worker.tasks.base import SetupError

logger = logging.getLogger(__name__)

_STATM = Path("/proc/self/statm")
_STAGES = ("fill", "infer", "emulate", "report", "update")


class WorkerMetrics(Collector):
    """Reads a worker's counters. Labels name stages and versions, never an individual, a seed or a lease."""

    def __init__(self, state: WorkerState, identity: Identity) -> None:
        """Read from `state`, at the moment of asking and from the asker's thread."""
        self._state, self._identity = state, identity

    def collect(self) -> Iterator[Metric]:
        """Everything as it is now."""
        played = self._state.playing.played
        leases = self._state.leases
        yield _counter("frames", "Emulator frames played, of unfinished episodes too.", played.frames)
        yield _counter("evaluations", "Evaluations played and told.", leases.evaluations)
        text = "Seconds from the first to the last step of each of them; several are played at a time."
        yield _counter("evaluation_seconds", text, leases.play_s)
        yield _counter("playing_seconds", "Seconds in which anything was played.", played.busy_s)
        yield self._stages()
        yield self._cache()
        yield _gauge("leases", "Work that it holds.", len(leases.unplayed()))
        yield _gauge("unacknowledged", "Scores that no master has made durable yet.", leases.owed())
        yield _gauge("memory_bytes", "Memory of this process.", _memory_bytes())
        yield _gauge("device_memory_bytes", "Memory of tensors on the accelerator.", _device_bytes())
        yield self._build()

    def _stages(self) -> CounterMetricFamily:
        text = "Seconds by what they went into: a step fills slots, asks networks, emulates and reports."
        family = CounterMetricFamily("germline_worker_stage_seconds", text, labels=["stage"])
        stages = self._state.playing.stages
        for name in _STAGES:
            family.add_metric([name], getattr(stages, f"{name}_s"))
        return family

    def _cache(self) -> CounterMetricFamily:
        text = "Parents whose weights were kept (hit) or had to be made (miss)."
        family = CounterMetricFamily("germline_worker_parent_cache", text, labels=["result"])
        stages = self._state.playing.stages
        family.add_metric(["hit"], stages.cache_hits)
        family.add_metric(["miss"], stages.cache_misses)
        return family

    def _build(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("germline_worker_build_info", "1.", labels=["version", "device", "torch"])
        libraries = self._identity.libraries
        family.add_metric([self._identity.version, self._identity.device, libraries["torch"]], 1)
        return family


def serve(config: WorkerConfig, state: WorkerState, identity: Identity) -> Callable[[], None]:
    """Serve the metrics if the settings say so; returns what ends that.

    Raises:
        SetupError: if the port cannot be served on.
    """
    if config.metrics_port < 0:
        return lambda: None
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(state, identity))
    is_open, own = config.metrics_are_open, config.token.encode()
    try:
        server = serve_metrics(
            registry,
            config.metrics_host,
            config.metrics_port,
            tls=None if is_open else _tls(config),
            is_known=None if is_open else lambda token: hmac.compare_digest(token.encode(), own),
        )
    except OSError as error:
        raise SetupError(
            f"metrics_port is {config.metrics_port}, which cannot be served on: {error.strerror}"
        ) from None
    logger.info("metrics on %s:%d", config.metrics_host, server.server_port)

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end


def _tls(config: WorkerConfig) -> ssl.SSLContext:
    """The worker's own certificate, which the settings hold where this is asked for."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(str(config.tls_cert), config.tls_key)
    return context


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"germline_worker_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"germline_worker_{name}", text, value=value)


def _memory_bytes() -> int:
    """Resident memory; 0 where the system does not say."""
    if not _STATM.exists():
        return 0
    return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _device_bytes() -> int:
    return int(torch.cuda.memory_allocated()) if torch.cuda.is_available() else 0
