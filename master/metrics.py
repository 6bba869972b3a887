"""What Prometheus may ask.

Labels never name an individual, a seed or a worker: their number is not bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from master.errors import Refusal

_LATE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_COMMIT_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)

Sample = tuple[str, str, Sequence[tuple[Sequence[str], float]]]  # name, help, (label values, value) each


class Metrics:
    """Counters that the master counts, and gauges that are read when somebody asks."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._evaluations = Counter(
            "germline_evaluations", "Accepted evaluations since the start.", registry=self.registry
        )
        self._frames = Counter(
            "germline_frames", "Emulator frames of accepted evaluations.", registry=self.registry
        )
        self._refused = Counter(
            "germline_results_refused", "Results that did not count.", ["code"], registry=self.registry
        )
        self._verifications = Counter(
            "germline_verifications",
            "Results that another worker played again, by what came of it.",
            ["outcome"],
            registry=self.registry,
        )
        self._expired = Counter(
            "germline_leases_expired", "Leases that ran out and were lent again.", registry=self.registry
        )
        self._commits = Histogram(
            "germline_journal_commit_seconds",
            "Time to make a group of events durable.",
            buckets=_COMMIT_BUCKETS,
            registry=self.registry,
        )
        self._events = Counter("germline_journal_events", "Events made durable.", registry=self.registry)
        self._late = Histogram(
            "germline_loop_late_seconds",
            "By how much the master's loop was late, fifty times a second: everybody waits as long.",
            buckets=_LATE_BUCKETS,
            registry=self.registry,
        )
        self._latest = Gauge(
            "germline_loop_late_most_seconds",
            "The longest that the master's loop was late since the start.",
            registry=self.registry,
        )
        self._most_late_s = 0.0
        for code in Refusal:
            self._refused.labels(code.name.lower())

    def count_accepted(self, evaluations: int, frames: int) -> None:
        """Count what an experiment took in."""
        self._evaluations.inc(evaluations)
        self._frames.inc(frames)

    def count_refused(self, refused: Iterable[Refusal]) -> None:
        """Count results that did not count."""
        for code in refused:
            self._refused.labels(code.name.lower()).inc()

    def count_verified(self, outcome: str, results: int = 1) -> None:
        """Count results that were played again, and what came of it."""
        self._verifications.labels(outcome).inc(results)

    def count_expired(self, leases: int) -> None:
        """Count leases that ran out."""
        self._expired.inc(leases)

    def observe_commit(self, seconds: float, events: int) -> None:
        """Count a group that became durable."""
        self._commits.observe(seconds)
        self._events.inc(events)

    def observe_late(self, seconds: float) -> None:
        """Observe by how much the loop was late."""
        self._late.observe(seconds)
        if seconds > self._most_late_s:
            self._most_late_s = seconds
            self._latest.set(seconds)

    def watch(self, read: Callable[[], Iterable[GaugeMetricFamily]]) -> None:
        """Read these gauges whenever somebody asks."""
        self.registry.register(_Gauges(read))


class _Gauges(Collector):
    """Gauges that are computed when they are asked for."""

    def __init__(self, read: Callable[[], Iterable[GaugeMetricFamily]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges as they are now."""
        yield from self._read()
