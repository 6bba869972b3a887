"""How an experiment begins, how it is written down whole, and how it comes back from its journal."""

from __future__ import annotations

from functools import partial
from typing import assert_never

from germline.algorithms.base import Ask
from germline.algorithms.slices import EpochClosed, SliceAsk
from master.centres.consequences import discard
from master.experiments.distrust import replay_trust
from master.experiments.events import (
    CheckpointStored,
    Created,
    Discarded,
    Event,
    MasterStarted,
    MembersTold,
    Quarantined,
    Rare,
    Released,
    SetAside,
    StateChanged,
    StopChanged,
    Told,
    WorkerSeen,
)
from master.experiments.experiment import Experiment
from master.journal.codec import Snapshot


def begin(experiment: Experiment) -> None:
    """Write a new experiment's first event, and run."""
    experiment.attach(0, partial(take_snapshot, experiment))
    experiment.write(experiment.created)


def take_snapshot(experiment: Experiment, position: int) -> Snapshot:
    """The experiment as it stands, which is after journal entry `position`."""
    snapshot = Snapshot(
        position=position,
        created=experiment.created,
        state=experiment.state,
        algorithm={},
        frozen=experiment.search.freeze(),
        progress={
            **experiment.progress.snapshot(),
            **experiment.pending_work.snapshot(),
            **experiment.recorder.snapshot(),
        },
        workers=list(experiment.workers.values()),
        trouble=experiment.standing.trouble,
        stop=experiment.settings.encoded_stop,
        quarantined=list(experiment.quarantined.values()),
        tellers=experiment.tally.tellers.entries(),
        checkpoints=experiment.kept,
    )
    centre = experiment.centre
    if centre is None:
        return snapshot
    return snapshot._replace(
        closed_epochs=centre.closed_epochs,
        epochs=[*centre.updates, *centre.closed],
        told=list(centre.told.values()),
    )


def restore(experiment: Experiment, snapshot: Snapshot) -> None:
    """Become what a snapshot says."""
    experiment.enter(snapshot.state, snapshot.trouble)
    if snapshot.stop is not None:
        experiment.settings = experiment.settings.with_stop(snapshot.stop)
    experiment.search.restore(snapshot.algorithm)
    experiment.progress.restore(snapshot.progress)
    experiment.recorder.restore(snapshot.progress)
    pending = () if snapshot.state.is_final else experiment.search.pending()
    experiment.pending_work.restore(snapshot.progress, pending)
    experiment.workers = {worker.worker_id: worker for worker in snapshot.workers}
    experiment.quarantined = {each.worker_id: each for each in snapshot.quarantined}
    experiment.tally.tellers.restore(snapshot.tellers)
    if experiment.centre is not None:
        experiment.centre.restore(snapshot.closed_epochs, snapshot.epochs, snapshot.told)
        for stored in snapshot.checkpoints:
            experiment.centre.keep(stored)
    if experiment.own is not None:
        for stored in snapshot.checkpoints:
            experiment.own.keep(stored)
    if experiment.start.digest:
        for stored in snapshot.checkpoints:
            experiment.start.keep(stored)


def replay(experiment: Experiment, event: Event) -> None:
    """Let something happen again."""
    if isinstance(event, Told):
        experiment.tally.take_in(event)
        experiment.progress.recall_running(event.running_s)
    elif isinstance(event, Ask | SliceAsk):
        experiment.search.adopt(event)
        experiment.pending_work.expect(event)
    else:
        _replay_rare(experiment, event)
        experiment.note(event)


def _replay_rare(experiment: Experiment, event: Rare) -> None:
    if isinstance(event, SetAside):
        experiment.tally.take_aside(event)
        experiment.progress.recall_running(event.running_s)
    elif isinstance(event, EpochClosed):
        _replay_epoch(experiment, event)
    elif isinstance(event, Discarded):
        _replay_discarded(experiment, event)
    elif isinstance(event, Quarantined | Released):
        replay_trust(experiment, event)
    elif isinstance(event, StateChanged):
        _replay_state(experiment, event)
    elif isinstance(event, StopChanged):
        experiment.settings = experiment.settings.with_stop(event.stop)
    elif isinstance(event, WorkerSeen):
        experiment.workers[event.worker_id] = event
    elif isinstance(event, CheckpointStored | MembersTold):
        _replay_kept(experiment, event)
    elif not isinstance(event, Created | MasterStarted):
        assert_never(event)


def _replay_kept(experiment: Experiment, event: CheckpointStored | MembersTold) -> None:
    """A checkpoint was stored, or a founder's weights, or members of an own run were evaluated."""
    if isinstance(event, CheckpointStored) and experiment.centre is not None:
        experiment.centre.keep(event)
    if isinstance(event, CheckpointStored) and experiment.start.digest:
        experiment.start.keep(event)
    if experiment.own is not None and isinstance(event, MembersTold):
        experiment.own.recall(event)
    elif experiment.own is not None and isinstance(event, CheckpointStored):
        experiment.own.keep(event)
        experiment.own.run.advance()


def want_checkpoints(experiment: Experiment) -> None:
    """Want after a replay the checkpoints that were wanted before it and are not kept."""
    if experiment.centre is not None:
        experiment.epochs.want_best()
        experiment.centre.want_newest()
        if experiment.state.is_final:
            experiment.centre.want_last()


def revive(experiment: Experiment, head: int) -> None:
    """Go on after a replay up to journal entry `head`: what is pending is lent first."""
    if experiment.state.is_final:
        experiment.pending_work.expect_only(())
    if experiment.own is not None:
        experiment.own.run.hold(not experiment.is_running)
        experiment.own.run.is_over = experiment.state.is_final
    for worker_id in experiment.quarantined:
        experiment.pending_work.distrust(worker_id)
    experiment.pending_work.revive()
    experiment.epochs.open()
    experiment.standing.make_known(experiment.state)
    experiment.attach(head, partial(take_snapshot, experiment))


def _replay_state(experiment: Experiment, event: StateChanged) -> None:
    """The state changed; what goes on after its end wants what it had asked and not been told."""
    if experiment.state.is_final and not event.state.is_final:
        experiment.pending_work.expect_only(experiment.search.pending())
    experiment.enter(event.state, event.trouble)
    experiment.progress.recall_running(event.running_s)


def _replay_discarded(experiment: Experiment, event: Discarded) -> None:
    """Results did not count; they still do not if their worker, which may not know, tells them again."""
    for ask in discard(experiment, event):
        experiment.pending_work.expect(ask)
    for worker in experiment.workers.values():
        if worker.number == event.worker:
            experiment.pending_work.distrust(worker.worker_id)


def _replay_epoch(experiment: Experiment, closed: EpochClosed) -> None:
    """An epoch closed, perhaps early: then what is still pending of it is not wanted any more."""
    if experiment.centre is not None:
        if experiment.search.adopt_epoch(closed):
            experiment.tally.take_in_early(closed)
        experiment.pending_work.expect_only(experiment.search.pending())
        experiment.centre.close(closed)
        experiment.centre.announce(closed)
