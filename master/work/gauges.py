"""Gauges with labels: of each running experiment, of the stages of the fleet's steps, of this build.

Labels are bounded: an experiment that runs, a quantile, a stage. Series end with their experiment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from itertools import islice
from time import time

from prometheus_client.core import GaugeMetricFamily

from germline.bottleneck import STAGES, weighted
from master.experiments.experiment import Experiment
from master.experiments.progress import QUANTILES
from master.work.fleet import Fleet

MOST_EXPERIMENTS = 64
"""Running experiments that have series, the newest: each costs its reader a dozen."""

_STARTED_S = time()


def of_experiments(running: Sequence[Experiment]) -> Iterator[GaugeMetricFamily]:
    """What Prometheus may know of each running experiment."""
    shown = list(islice(reversed(running), MOST_EXPERIMENTS))
    yield _fitness(shown)
    means = ((e, leader.mean) for e in shown if (leader := e.search.leader()) is not None)
    text = "What is reported of the champion, or of the best measured centre."
    yield _each("champion_mean", text, ((e, mean) for e, mean in means if mean is not None))
    text = "Accepted evaluations, over all restarts."
    yield _each("evaluations", text, ((e, e.progress.evaluations) for e in shown))
    text = "Closed epochs that the slowest worker that has caught up once is behind."
    yield _each("epoch_lag", text, ((e, _lag(e)) for e in shown if e.centre is not None))


def _fitness(shown: Iterable[Experiment]) -> GaugeMetricFamily:
    text = "Quantiles of the population's fitness."
    family = GaugeMetricFamily("germline_experiment_fitness", text, labels=["experiment", "quantile"])
    for experiment in shown:
        found = experiment.search.fitness_quantiles(QUANTILES)
        for quantile, value in zip(QUANTILES, found, strict=False):
            family.add_metric([experiment.settings.name, f"{quantile:g}"], value)
    return family


def _each(name: str, text: str, values: Iterable[tuple[Experiment, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"germline_experiment_{name}", text, labels=["experiment"])
    for experiment, value in values:
        family.add_metric([experiment.settings.name], value)
    return family


def _lag(experiment: Experiment) -> int:
    centre = experiment.centre
    return 0 if centre is None else centre.agreement.lag(centre.closed_epochs)


def of_stages(fleet: Fleet) -> GaugeMetricFamily:
    """Where the workers' time goes."""
    text = "Share of the time in which workers play that a stage of a step takes, weighted by slots."
    family = GaugeMetricFamily("germline_fleet_stage_share", text, labels=["stage"])
    shares = weighted((session.stage_shares, session.busy_share * session.slots) for session in fleet)
    for name, share in zip(STAGES, shares, strict=False):
        family.add_metric([name], share)
    return family


def of_build() -> Iterator[GaugeMetricFamily]:
    """Which build this is, and since when it runs."""
    info = GaugeMetricFamily("germline_build_info", "1.", labels=["version"])
    info.add_metric([metadata.version("germline")], 1)
    yield info
    text = "When this process began, in seconds since 1970."
    yield GaugeMetricFamily("germline_start_time_seconds", text, value=_STARTED_S)
