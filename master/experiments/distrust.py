"""What becomes of an experiment when a worker is proven wrong, and when it is taken back."""

from __future__ import annotations

import logging
from time import time

from germline.genome import format_id
from master.experiments.events import Quarantined, Released
from master.experiments.experiment import Experiment

logger = logging.getLogger(__name__)

_NAMED = 8  # individuals in one line of the log; the journal has them all


def distrust(experiment: Experiment, worker_id: str, reason: str) -> None:
    """Let nothing count that this worker tells, nor what it told and nobody else confirmed.

    What it holds is lent to others, and the individuals that it told are asked anew. An experiment that is
    over stays as it is.
    """
    seen = experiment.workers.get(worker_id)
    doubtful: tuple[int, ...] = ()
    if seen is not None and not experiment.state.is_final:
        doubtful = experiment.tally.tellers.told_by(seen.number)
    event = Quarantined(worker_id, reason, time(), doubtful)
    _take_in(experiment, event)
    experiment.write(event)
    experiment.pending_work.void(worker_id)
    experiment.checks.void(worker_id)
    _say(experiment, worker_id, doubtful)


def trust_again(experiment: Experiment, worker_id: str) -> None:
    """An operator took the worker back."""
    if experiment.quarantined.pop(worker_id, None) is not None:
        experiment.write(Released(worker_id))


def replay_trust(experiment: Experiment, event: Quarantined | Released) -> None:
    """Let a worker be proven wrong, or taken back, again."""
    if isinstance(event, Quarantined):
        _take_in(experiment, event)
    else:
        experiment.quarantined.pop(event.worker_id, None)


def _take_in(experiment: Experiment, event: Quarantined) -> None:
    """Forget what the worker told, live and in a replay."""
    experiment.quarantined[event.worker_id] = event._replace(individuals=())
    experiment.tally.forget(event.individuals)


def _say(experiment: Experiment, worker_id: str, doubtful: tuple[int, ...]) -> None:
    name = experiment.settings.name
    if experiment.state.is_final and worker_id in experiment.workers:
        logger.warning(
            "experiment %s is over and stays as it is; worker %s told some of its scores", name, worker_id
        )
    elif doubtful:
        names = ", ".join(format_id(each) for each in doubtful[:_NAMED])
        more = f" and {len(doubtful) - _NAMED} more" if len(doubtful) > _NAMED else ""
        logger.warning(
            "experiment %s: %d individuals that worker %s told, and nobody else, are forgotten and played "
            "again: %s%s",
            name, len(doubtful), worker_id, names, more,
        )  # fmt: skip
