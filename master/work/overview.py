"""What people are shown of the fleet and its work, and of what keeps an experiment from going on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily

from master.experiments.experiment import Experiment
from master.experiments.registry import Registry
from master.journal.journal import Journal
from master.work import gauges
from master.work.fleet import Fleet
from master.work.workers_wanted import WorkersWanted

_TO_DECIDE = 3  # workers: two that differ, and one more


class Overview:
    """Looks at experiments, workers and the journal together; changes nothing."""

    def __init__(self, registry: Registry, fleet: Fleet, journal: Journal, worker_slots: int) -> None:
        self._registry = registry
        self._wanted = WorkersWanted(worker_slots)
        self._fleet = fleet
        self._journal = journal

    @property
    def leased(self) -> int:
        """Work that is lent now."""
        return sum(len(experiment.pending_work.leases) for experiment in self._registry)

    def workers_wanted(self, experiments: Iterable[Experiment]) -> int:
        """How many workers these experiments can use together, of the size that workers here have."""
        self._wanted.learn(self._fleet)
        return self._wanted.by(experiments)

    def gauges(self) -> Iterator[GaugeMetricFamily]:
        """What the metrics show of this moment."""
        running = self._registry.running()
        sessions = list(self._fleet)
        busy = sum(s.busy_share * s.slots for s in sessions) / max(sum(s.slots for s in sessions), 1)
        for name, text, value in (
            ("germline_workers", "Workers that are connected.", len(sessions)),
            ("germline_worker_slots", "Evaluations that they play at a time.", self._fleet.slots),
            ("germline_worker_busy_ratio", "Share of time in which they play, weighted by slots.", busy),
            (
                "germline_workers_wanted",
                "Workers that the running experiments can use.",
                self.workers_wanted(running),
            ),
            ("germline_leases_active", "Work that is lent.", self.leased),
            (
                "germline_queue_depth",
                "Work that waits for a worker.",
                sum(e.pending_work.waiting for e in running),
            ),
            (
                "germline_credit",
                "Room for work that workers have and do not get.",
                sum(s.credit for s in sessions),
            ),
            (
                "germline_own_workers",
                "Workers that bring the arithmetic of their experiments.",
                sum(len(e.own.workers) for e in running if e.own is not None),
            ),
            ("germline_experiments_running", "Experiments that want work done.", len(running)),
            (
                "germline_set_aside",
                "Individuals that could not be scored, of all experiments.",
                sum(e.progress.failed for e in self._registry),
            ),
            (
                "germline_store_failing",
                "1 while the store does not take the journal.",
                bool(self._journal.trouble),
            ),
            (
                "germline_snapshot_age_seconds",
                "Time since the oldest snapshot that lacks events, which a restart would replay.",
                self._journal.snapshot_age_s,
            ),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))
        yield gauges.of_stages(self._fleet)
        yield from gauges.of_experiments(running)
        yield from gauges.of_build()

    def trouble(self, experiment: Experiment) -> str:
        """What keeps an experiment from going on, or made it pause, for people; empty if nothing does."""
        if experiment.standing.trouble:
            return experiment.standing.trouble
        if not experiment.is_running:
            return ""
        reasons, workers = self.rejections(experiment), len(self._fleet)
        if workers and all(s.identity.worker_id in self._registry.quarantined for s in self._fleet):
            return f"all {workers} workers are in quarantine; `germline workers` says why"
        if workers and len(reasons) == workers:
            return f"none of {workers} workers can play it; the last says: {reasons[-1]}"
        return self._journal.trouble_of(experiment.number)

    def rejections(self, experiment: Experiment) -> list[str]:
        """Why workers that are connected cannot play an experiment, one sentence from each."""
        rejections = experiment.rejections
        return [rejections[s.identity.worker_id] for s in self._fleet if s.identity.worker_id in rejections]

    def worker_trouble(self, worker_id: str) -> str:
        """That a worker is in quarantine, what it cannot play, and why; empty if neither is so."""
        refused = [(e.settings.name, e.rejections.get(worker_id)) for e in self._registry.running()]
        troubles = [f"cannot play {name}: {reason}" for name, reason in refused if reason]
        quarantined = self._registry.quarantined.get(worker_id)
        if quarantined is not None:
            troubles.insert(0, f"in quarantine: {quarantined.reason}")
        return "; ".join(troubles)

    def verification_note(self, experiment: Experiment) -> str:
        """Why nothing of an experiment is checked, or what waits to be decided; empty if all is well."""
        if experiment.own is not None:
            return "nothing is checked: its workers evaluate what only they know"
        if experiment.settings.spec.algorithm.HasField("eggroll"):
            return "nothing is checked: slices of an epoch are not played again"
        if not experiment.checks.share:
            return "nothing is checked: evaluation.verify_share is 0"
        out = experiment.rejections.keys() | self._registry.quarantined.keys()
        able = sum(session.identity.worker_id not in out for session in self._fleet)
        if experiment.is_running and able == 1:
            return "nothing is checked while only one worker plays it"
        disputed = experiment.checks.disputed
        if disputed and able < _TO_DECIDE:
            return f"{disputed} results are in dispute between two workers, and a third one must decide"
        return ""
