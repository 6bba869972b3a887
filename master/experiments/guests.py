"""Scores of individuals that nobody was lent: clients of other projects play whom they like, as often."""

from __future__ import annotations

import math

from germline.algorithms.base import Ask, Result
from germline.genome import Genome
from master.errors import ConflictError
from master.experiments.ending import is_over
from master.experiments.events import SetAside, Told
from master.experiments.experiment import Experiment
from master.experiments.guest_search import GuestSearch
from master.experiments.workers import WorkerIdentity, number_of


def guest_search(experiment: Experiment) -> GuestSearch:
    """The search of an experiment that such clients play. Raises ConflictError if it is another kind."""
    if not isinstance(experiment.search, GuestSearch):
        raise ConflictError(
            f"experiment {experiment.settings.name} is not played by clients of another project; that wants "
            '[task.own], policy.name "own" and [algorithm.ga]'
        )
    return experiment.search


def take_score(experiment: Experiment, identity: WorkerIdentity, genome: Genome, score: float) -> None:
    """Count a score, and let it decide who breeds; told again, it counts again, in the mean.

    As with every result, the algorithm is told and the journal written in one breath: it is durable after
    the next commit. A score that is not finite is set aside, in sight, and the algorithm never sees it.

    Args:
        experiment: see :func:`guest_search`; one that is over counts nothing any more.
        identity: who tells it.
        genome: of whom.
        score: whatever was sent.
    """
    if experiment.state.is_final:
        return
    ask = _invite(experiment, genome)
    if math.isfinite(score):
        number = number_of(identity, experiment.workers, experiment.settings, experiment.write)
        told = Told(Result(ask.ticket, (score,), 0, 0), number, experiment.progress.running_s)
        experiment.tally.take_in(told)
        experiment.write(told)
    else:
        _set_aside(experiment, identity, ask, f"its score is {score}")
    _end_if_over(experiment, ask)


def take_nobodys(experiment: Experiment, identity: WorkerIdentity, reason: str) -> None:
    """Count an evaluation of which nobody can say whose it is."""
    if not experiment.state.is_final:
        ask = _invite(experiment, Genome.founder(0))
        _set_aside(experiment, identity, ask, reason)
        _end_if_over(experiment, ask)


def _invite(experiment: Experiment, genome: Genome) -> Ask:
    ask = guest_search(experiment).invite(genome)
    experiment.pending_work.expect(ask)
    experiment.write(ask)
    experiment.hear_guests()
    return ask


def _set_aside(experiment: Experiment, identity: WorkerIdentity, ask: Ask, reason: str) -> None:
    event = SetAside(ask.ticket, (), 1, identity.worker_id, reason, experiment.progress.running_s)
    experiment.tally.take_aside(event)
    experiment.write(event)


def _end_if_over(experiment: Experiment, ask: Ask) -> None:
    if is_over(experiment.settings.stop, ask, experiment.progress, experiment.search, None):
        experiment.complete()
