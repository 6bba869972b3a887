"""What happens to an evolution strategy's experiment because of its workers' centres."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from germline.algorithms.slices import SliceAsk
from master.centres.centre import Checkpoint
from master.experiments.events import Discarded, Piece, evaluations_of
from master.experiments.experiment import Experiment

logger = logging.getLogger(__name__)


def discredit(experiment: Experiment, worker_id: str) -> int:
    """A worker's centre is not the others': lend again what it holds, and what it told of the open epoch.

    Leases that it gets from now on count again. Returns how many results are discarded.
    """
    if experiment.centre is None or experiment.state.is_final:
        return 0
    experiment.pending_work.void(worker_id)
    seen, told = experiment.workers.get(worker_id), experiment.centre.told
    tickets = tuple(ticket for ticket, each in told.items() if seen and each.worker == seen.number)
    if seen is not None and tickets:
        event = Discarded(seen.number, tickets)
        experiment.pending_work.reopen(discard(experiment, event))
        experiment.write(event)
    return len(tickets)


def discard(experiment: Experiment, event: Discarded) -> list[Piece]:
    """Take results back, live and in a replay; return the work that is wanted again."""
    asks: list[Piece] = []
    if experiment.centre is None:
        return asks
    for ticket in event.tickets:
        result = experiment.centre.told.pop(ticket).result
        asks.append(ask := experiment.search.untell(result))
        experiment.progress.uncount(result, evaluations_of(ask))
        if isinstance(ask, SliceAsk) and not ask.pairs:
            experiment.epochs.want_best()  # the one before it is the best again
    return asks


def keep_checkpoint(
    experiment: Experiment, checkpoint: Checkpoint, then: Callable[[], None] = lambda: None
) -> None:
    """Store a centre that a worker sent; once it is stored, it counts."""
    if experiment.centre is not None:
        experiment.centre.begin_to_store(checkpoint.epoch)
        stored = partial(_count_checkpoint, experiment, checkpoint, then)
        experiment.checkpoints.put(experiment.number, checkpoint.epoch, checkpoint.data, stored)


def _count_checkpoint(experiment: Experiment, checkpoint: Checkpoint, then: Callable[[], None]) -> None:
    """A centre is stored: write that down, and forget those that nobody will ask for."""
    centre = experiment.centre
    if centre is None:
        return
    before = {checkpoint.epoch, *(kept.epoch for kept in centre.kept())}
    experiment.write(centre.store(checkpoint))
    for epoch in before - {kept.epoch for kept in centre.kept()}:
        experiment.checkpoints.forget(experiment.number, epoch)
    logger.info(
        "experiment %s: the centre after %d epochs is stored, %d bytes, digest %s",
        experiment.settings.name, checkpoint.epoch, len(checkpoint.data), checkpoint.digest,
    )  # fmt: skip
    experiment.end_if_fit()
    then()


def release_checkpoints(experiment: Experiment) -> None:
    """Nobody will start from this experiment's checkpoints any more: do not hold them in memory."""
    for kept in experiment.centre.kept() if experiment.centre is not None else ():
        experiment.checkpoints.release(experiment.number, kept.epoch)


def newest_checkpoint(experiment: Experiment) -> Checkpoint | None:
    """What a worker that joins starts from; None if that is the first centre, or nobody needs it."""
    if experiment.centre is None or experiment.centre.newest is None:
        return None
    epoch, digest, _, _ = experiment.centre.newest
    data = experiment.checkpoints.held(experiment.number, epoch)
    return None if data is None else Checkpoint(epoch, digest, data)
