"""Keeps the centres of evolution strategies in step over the fleet: epochs, digests, checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from functools import partial
from itertools import islice
from typing import NamedTuple

from germline.algorithms.slices import EpochClosed
from master.centres.agreement import KEPT_EPOCHS
from master.centres.centre import Centre, Checkpoint
from master.centres.consequences import discredit, keep_checkpoint, release_checkpoints
from master.experiments.experiment import Experiment
from master.experiments.registry import Registry
from master.journal.journal import Journal
from master.work.fleet import AskCheckpoint, Fleet, Session, StartOver, Update

logger = logging.getLogger(__name__)

_LONGEST_DIGEST = 64


class Report(NamedTuple):
    """Where a worker's centre stands after so many updates; the experiment's identity is 0 if not said."""

    number: int
    epoch: int
    digest: str
    identity: int = 0


class Part(NamedTuple):
    """A part of a checkpoint, as a worker sends it; the experiment's identity is 0 if not said."""

    number: int
    epoch: int
    digest: str
    part: int
    parts: int
    data: bytes
    identity: int = 0


class CentreKeeper:
    """Tells workers of closed epochs, compares their centres, and collects checkpoints.

    Runs on the dispatcher's thread, and never waits.
    """

    def __init__(self, fleet: Fleet, registry: Registry, journal: Journal) -> None:
        self._fleet = fleet
        self._registry = registry
        self._journal = journal

    def conduct(self) -> bool:
        """Say what there is to say about every centre; whether an epoch closed since the last call."""
        any_closed = False
        for experiment in self._registry:
            centre = experiment.centre
            if centre is None:
                continue
            self._ask_checkpoints(experiment, centre)
            closed = centre.unannounced()
            any_closed = any_closed or bool(closed)
            for epoch in closed:
                announce = partial(self._announce, experiment, centre, epoch)
                self._journal.when_durable(announce, (experiment.number,))
        return any_closed

    def report(self, session: Session, report: Report) -> bool:
        """A worker says where its centre stands; those that differ from the others start over.

        Whether work came back because of it.
        """
        number, epoch, digest, identity = report
        experiment, worker_id = self._registry.find(number, identity), session.identity.worker_id
        if experiment is None or experiment.centre is None or worker_id in experiment.rejections:
            return False
        if experiment.state.is_final and not experiment.centre.wanted:
            return False  # nobody needs its centre any more
        if epoch > experiment.centre.closed_epochs + KEPT_EPOCHS or len(digest) > _LONGEST_DIGEST:
            logger.warning("worker %s reports a centre after %d epochs, which cannot be", worker_id, epoch)
            return False
        digests = experiment.centre.agreement
        wrong = digests.report(worker_id, epoch, digest, len(self._players(experiment)))
        for name in wrong:
            self._start_over(experiment, experiment.centre, name, epoch)
        self._ask_checkpoints(experiment, experiment.centre)
        return bool(wrong)

    def take_part(self, session: Session, part: Part) -> None:
        """A worker sends a part of a checkpoint; the last one stores it."""
        experiment = self._registry.find(part.number, part.identity)
        if experiment is None or experiment.centre is None:
            return
        worker_id = session.identity.worker_id
        centre = experiment.centre
        data = centre.take_part(worker_id, part.epoch, part.part, part.parts, part.data)
        if data is not None:
            self._keep(experiment, centre, worker_id, Checkpoint(part.epoch, part.digest, data))
        self._ask_checkpoints(experiment, centre)

    def lose(self, worker_id: str) -> None:
        """A worker's stream is over: others are asked for what it was asked for."""
        for experiment in self._registry:
            if experiment.centre is not None:
                experiment.centre.lose(worker_id)
                self._ask_checkpoints(experiment, experiment.centre)

    def catch_up(self, session: Session, numbers: Collection[int]) -> None:
        """A worker came back with work of these experiments, and may have missed the epochs before it.

        It would wait for a centre of which nobody told it, and everybody for its slices, if no more work of
        the experiment happened to go to it.
        """
        for number in sorted(numbers):
            experiment = self._registry.find(number)
            if experiment is not None and experiment.centre is not None:
                session.introduce(experiment)

    def _announce(self, experiment: Experiment, centre: Centre, closed: EpochClosed) -> None:
        """An epoch is durable: every worker that plays this experiment applies it."""
        centre.announce(closed)
        for session in self._fleet:
            if session.knows(experiment):
                session.orders.put_nowait(Update(experiment.number, closed))
        self._ask_checkpoints(experiment, centre)

    def _players(self, experiment: Experiment) -> dict[str, Session]:
        """The workers that play an experiment, by name."""
        sessions = {
            session.identity.worker_id: session for session in self._fleet if session.knows(experiment)
        }
        return {name: session for name, session in sessions.items() if name not in experiment.rejections}

    def _ask_checkpoints(self, experiment: Experiment, centre: Centre) -> None:
        if not centre.wanted:
            if experiment.state.is_final:
                release_checkpoints(experiment)
            return
        players = self._players(experiment)
        if experiment.state.is_final:
            self._finish_checkpoints(experiment, players)
        for epoch, worker_id in centre.to_ask(players):
            players[worker_id].orders.put_nowait(AskCheckpoint(experiment.number, epoch))
        for epoch, worker_id in centre.to_replay(players):
            self._replay(experiment, centre, players[worker_id], epoch)

    def _finish_checkpoints(self, experiment: Experiment, players: Mapping[str, Session]) -> None:
        """An experiment is over, and a centre of it is not stored: find somebody who comes to it."""
        if players:
            return
        idle = (s for s in self._fleet if s.identity.worker_id not in experiment.rejections)
        for session in islice(idle, 1):
            logger.info(
                "experiment %s is over, and its last centre is not stored: worker %s replays it",
                experiment.settings.name, session.identity.worker_id,
            )  # fmt: skip
            session.introduce(experiment)

    def _replay(self, experiment: Experiment, centre: Centre, session: Session, epoch: int) -> None:
        """Nobody has a wanted centre any more: have a worker come to it again, and hand it out on the way.

        Unlike one whose centre is wrong, it keeps its leases, and plays them when it is back.
        """
        name, worker_id = experiment.settings.name, session.identity.worker_id
        reason = f"the centre after {epoch} epochs is wanted, and no worker has it any more"
        logger.info("experiment %s: %s; worker %s replays it", name, reason, worker_id)
        centre.agreement.start_over(worker_id)
        session.orders.put_nowait(StartOver(experiment.number, reason))
        session.catch_up(experiment, epoch)

    def _keep(self, experiment: Experiment, centre: Centre, worker_id: str, checkpoint: Checkpoint) -> None:
        agreed = centre.agreement.agreed(checkpoint.epoch)
        if agreed and agreed != checkpoint.digest:
            logger.error(
                "experiment %s: worker %s sent a centre of epoch %d with digest %s, the others' is %s",
                experiment.settings.name, worker_id, checkpoint.epoch, checkpoint.digest, agreed,
            )  # fmt: skip
            centre.refuse(worker_id, checkpoint.epoch)
            return
        keep_checkpoint(experiment, checkpoint, partial(self._ask_checkpoints, experiment, centre))

    def _start_over(self, experiment: Experiment, centre: Centre, worker_id: str, epoch: int) -> None:
        """A worker's centre is not the others': it starts over, and what it played with it does not count.

        Its report of epoch e comes before its first score of epoch e, so all its scores of the open epoch are
        in doubt, and no earlier ones but those of epochs that closed while the others' reports were still
        outstanding, or in which its memory broke. Those have moved every centre alike; they stay. Leases
        that it gets after this order it plays with the new centre, so they count.
        """
        name, discarded = experiment.settings.name, discredit(experiment, worker_id)
        agreed = centre.agreement.agreed(epoch) or "nobody leads"
        reason = f"the centre of worker {worker_id} after {epoch} epochs is not the others' ({agreed})"
        logger.error("experiment %s: %s; %d results of it are discarded", name, reason, discarded)
        session = self._fleet.find(worker_id)
        if session is None or not session.knows(experiment):
            return  # it reports again when it comes back
        if not centre.may_reload(worker_id):
            experiment.rejections[worker_id] = reason + ", again and again"
            logger.error("experiment %s: worker %s gets no more work", name, worker_id)
            return
        logger.error("experiment %s: worker %s starts over", name, worker_id)
        centre.agreement.start_over(worker_id)
        session.orders.put_nowait(StartOver(experiment.number, reason))
        session.catch_up(experiment)
