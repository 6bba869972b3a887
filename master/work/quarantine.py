"""What follows from checks: disagreements are counted, and workers that are proven wrong get no more work."""

from __future__ import annotations

import logging

from germline.genome import format_id
from master.centres.consequences import discredit
from master.errors import UnknownNameError
from master.experiments.distrust import distrust, trust_again
from master.experiments.experiment import Experiment
from master.experiments.registry import Registry
from master.metrics import Metrics
from master.work.checks import Verdict
from master.work.fleet import Fleet, Suspend
from master.work.statements import Outcome, Statement

logger = logging.getLogger(__name__)

_NAMED = 4  # returns of one worker in a sentence


class Quarantine:
    """Keeps work of every experiment from workers that were proven wrong, until they are released."""

    def __init__(self, registry: Registry, fleet: Fleet, metrics: Metrics) -> None:
        self._registry = registry
        self._fleet = fleet
        self._metrics = metrics
        for outcome in Outcome:  # what never happened is shown as 0
            metrics.count_verified(outcome.value, 0)

    def follow(self, experiment: Experiment) -> bool:
        """Do what follows from the checks that are over; whether a worker was proven wrong."""
        verdicts, experiment.checks.verdicts = experiment.checks.verdicts, []
        for verdict in verdicts:
            self._metrics.count_verified(verdict.judgement.outcome.value)
            self._confirm(experiment, verdict)
            if verdict.judgement.outcome is Outcome.DIFFERED:
                self._condemn(experiment, verdict)
        return any(verdict.judgement.wrong for verdict in verdicts)

    def release(self, worker_id: str) -> None:
        """Take a worker back. Raises UnknownNameError if it is not in quarantine."""
        if self._registry.quarantined.pop(worker_id, None) is None:
            names = ", ".join(self._registry.quarantined) or "none"
            raise UnknownNameError(f"worker_id is {worker_id!r}; workers in quarantine: {names}")
        for experiment in self._registry:
            trust_again(experiment, worker_id)
        logger.warning("worker %s is released and gets work again", worker_id)
        session = self._fleet.find(worker_id)
        if session is not None:
            session.orders.put_nowait(Suspend(""))

    def _confirm(self, experiment: Experiment, verdict: Verdict) -> None:
        """What a second worker played alike is beyond doubt."""
        teller, judgement = verdict.told[0], verdict.judgement
        seen = experiment.workers.get(teller.worker)
        if seen is not None and (
            judgement.outcome in (Outcome.AGREED, Outcome.CLOSE)
            or (judgement.wrong and teller.worker not in judgement.wrong)
        ):
            experiment.tally.tellers.confirm(verdict.ask.genome.id, seen.number)

    def _condemn(self, experiment: Experiment, verdict: Verdict) -> None:
        if not verdict.judgement.wrong:
            count = experiment.checks.outcomes[Outcome.DIFFERED]
            if count.bit_count() == 1:  # the 1st, 2nd, 4th, 8th ... of them
                sentence = _sentence(experiment, verdict)
                logger.warning("%s; outside int8 that proves nothing (number %d)", sentence, count)
            return
        sentence = _sentence(experiment, verdict)
        for worker_id in verdict.judgement.wrong:
            if worker_id not in self._registry.quarantined:
                self._impose(worker_id, f"worker {worker_id} is wrong: {sentence}")

    def _impose(self, worker_id: str, reason: str) -> None:
        logger.error("%s; it gets no more work until `germline workers --release %s`", reason, worker_id)
        for experiment in self._registry:
            discredit(experiment, worker_id)
            distrust(experiment, worker_id, reason)
            self._registry.quarantined[worker_id] = experiment.quarantined[worker_id]
        session = self._fleet.find(worker_id)
        if session is not None:
            session.orders.put_nowait(Suspend(reason))


def _sentence(experiment: Experiment, verdict: Verdict) -> str:
    """Who played what."""
    said = ", ".join(map(_said, verdict.told))
    name = format_id(verdict.ask.genome.id)
    return f"of individual {name} of experiment {experiment.settings.name}, in the same episodes, {said}"


def _said(told: Statement) -> str:
    returns = ", ".join(f"{value:.10g}" for value in told.returns[:_NAMED])
    more = ", ..." if len(told.returns) > _NAMED else ""
    return f"{told.worker} got {returns}{more}"
