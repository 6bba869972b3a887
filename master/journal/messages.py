"""One event of the journal as a message, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from germline.algorithms.base import Result
from germline.algorithms.slices import EpochClosed, SliceAsk
from germline.v1 import journal_pb2, spec_pb2
from master.errors import JournalFormatError
from master.experiments.events import (
    CheckpointStored,
    Created,
    Discarded,
    MasterStarted,
    MembersTold,
    Quarantined,
    Rare,
    Released,
    SetAside,
    State,
    StateChanged,
    StopChanged,
    Told,
    WorkerSeen,
)


def write_told(message: journal_pb2.Told, told: Told) -> None:
    """Fill in that an evaluation was accepted."""
    ticket, returns, frames, steps, _, cut, behaviour, observed = told.result
    message.ticket = ticket
    message.returns.extend(returns)
    message.frames = frames
    message.steps = steps
    if cut is not None:
        message.cut = cut
    message.behaviour = behaviour
    message.observed = observed
    message.worker = told.worker
    message.running_s = told.running_s


def read_told(message: journal_pb2.Told) -> Told:
    """What :func:`write_told` wrote."""
    cut = message.cut if message.HasField("cut") else None
    result = Result(
        message.ticket,
        tuple(message.returns),
        message.frames,
        message.steps,
        cut=cut,
        behaviour=message.behaviour,
        observed=message.observed,
    )
    return Told(result, message.worker, message.running_s)


def write_slice(message: journal_pb2.Asked, ask: SliceAsk) -> None:
    """Fill in that a slice of an epoch was asked."""
    message.ticket = ask.ticket
    message.episode_seeds.extend(ask.episode_seeds)
    part = message.slice
    part.epoch, part.first_pair, part.pairs = ask.epoch, ask.first_pair, ask.pairs


def write_rare(message: journal_pb2.Event, event: Rare) -> None:
    """Fill in what happens now and then."""
    if isinstance(event, Created):
        message.created.CopyFrom(created_message(event))
    elif isinstance(event, StateChanged):
        changed = message.state_changed
        changed.state, changed.time, changed.running_s = int(event.state), event.time, event.running_s
        changed.trouble = event.trouble
    elif isinstance(event, StopChanged):
        message.stop_changed.stop.ParseFromString(event.stop)
        message.stop_changed.SetInParent()
    elif isinstance(event, WorkerSeen):
        message.worker_seen.CopyFrom(worker_message(event))
    elif isinstance(event, EpochClosed):
        message.epoch_closed.epoch = event.epoch
        message.epoch_closed.fitness.extend(event.fitness)
        message.epoch_closed.next_centre = event.next_centre
    elif isinstance(event, CheckpointStored):
        message.checkpoint_stored.CopyFrom(checkpoint_message(event))
    elif isinstance(event, Discarded):
        message.discarded.worker = event.worker
        message.discarded.tickets.extend(event.tickets)
    elif isinstance(event, SetAside | MembersTold):
        _write_told_otherwise(message, event)
    elif isinstance(event, Quarantined | Released | MasterStarted):
        _write_of_fleet(message, event)
    else:
        assert_never(event)


def read_rare(event: journal_pb2.Event, kind: str | None) -> Rare:
    """What :func:`write_rare` wrote. Raises JournalFormatError for a kind that this build does not know."""
    read = _READERS.get(kind or "")
    if read is None:
        raise JournalFormatError(f"journal holds an event of kind {kind}; this build knows none such")
    return read(event)


_READERS: dict[str, Callable[[journal_pb2.Event], Rare]] = {
    "created": lambda event: read_created(event.created),
    "state_changed": lambda event: _read_state(event.state_changed),
    "stop_changed": lambda event: StopChanged(event.stop_changed.stop.SerializeToString(deterministic=True)),
    "worker_seen": lambda event: read_worker(event.worker_seen),
    "epoch_closed": lambda event: _read_closed(event.epoch_closed),
    "checkpoint_stored": lambda event: read_checkpoint(event.checkpoint_stored),
    "discarded": lambda event: Discarded(event.discarded.worker, tuple(event.discarded.tickets)),
    "set_aside": lambda event: _read_set_aside(event.set_aside),
    "quarantined": lambda event: read_quarantined(event.quarantined),
    "released": lambda event: Released(event.released.worker_id),
    "members_told": lambda event: _read_members(event.members_told),
    "master_started": lambda event: MasterStarted(event.master_started.time, event.master_started.took_over),
}


def _read_closed(message: journal_pb2.EpochClosed) -> EpochClosed:
    return EpochClosed(message.epoch, tuple(message.fitness), message.next_centre)


def _read_members(message: journal_pb2.MembersTold) -> MembersTold:
    return MembersTold(message.epoch, message.first, tuple(message.returns), message.running_s)


def _read_state(message: journal_pb2.StateChanged) -> StateChanged:
    return StateChanged(State(message.state), message.time, message.running_s, message.trouble)


def _write_told_otherwise(message: journal_pb2.Event, event: SetAside | MembersTold) -> None:
    """Fill in what came of work that no lease was told of: it could not be scored, or is its workers' own."""
    if isinstance(event, SetAside):
        message.set_aside.CopyFrom(_set_aside_message(event))
    else:
        told = message.members_told
        told.epoch, told.first, told.running_s = event.epoch, event.first, event.running_s
        told.returns.extend(event.returns)


def _set_aside_message(event: SetAside) -> journal_pb2.SetAside:
    return journal_pb2.SetAside(
        ticket=event.ticket,
        returns=event.returns,
        attempts=event.attempts,
        worker_id=event.worker_id,
        reason=event.reason,
        running_s=event.running_s,
    )


def _read_set_aside(message: journal_pb2.SetAside) -> SetAside:
    return SetAside(
        message.ticket,
        tuple(message.returns),
        message.attempts,
        message.worker_id,
        message.reason,
        message.running_s,
    )


def _write_of_fleet(message: journal_pb2.Event, event: Quarantined | Released | MasterStarted) -> None:
    """Fill in that a worker was proven wrong, or taken back; or that a master went on."""
    if isinstance(event, Quarantined):
        message.quarantined.CopyFrom(quarantined_message(event))
    elif isinstance(event, Released):
        message.released.worker_id = event.worker_id
    else:
        message.master_started.time, message.master_started.took_over = event.time, event.took_over


def quarantined_message(event: Quarantined) -> journal_pb2.Quarantined:
    """That a worker was proven wrong."""
    return journal_pb2.Quarantined(
        worker_id=event.worker_id, reason=event.reason, time=event.time, individuals=event.individuals
    )


def read_quarantined(message: journal_pb2.Quarantined) -> Quarantined:
    """What :func:`quarantined_message` wrote."""
    return Quarantined(message.worker_id, message.reason, message.time, tuple(message.individuals))


def checkpoint_message(stored: CheckpointStored) -> journal_pb2.CheckpointStored:
    """That a checkpoint was stored."""
    return journal_pb2.CheckpointStored(
        epoch=stored.epoch, digest=stored.digest, bytes=stored.size, is_best=stored.is_best
    )


def read_checkpoint(message: journal_pb2.CheckpointStored) -> CheckpointStored:
    """What :func:`checkpoint_message` wrote."""
    return CheckpointStored(message.epoch, message.digest, message.bytes, message.is_best)


def created_message(created: Created) -> journal_pb2.Created:
    """That the experiment began."""
    spec = spec_pb2.ExperimentSpec.FromString(created.spec)
    return journal_pb2.Created(number=created.number, spec=spec, time=created.time)


def read_created(message: journal_pb2.Created) -> Created:
    """What :func:`created_message` wrote."""
    return Created(message.number, message.spec.SerializeToString(deterministic=True), message.time)


def worker_message(worker: WorkerSeen) -> journal_pb2.WorkerSeen:
    """Who a worker is whose scores follow."""
    return journal_pb2.WorkerSeen(
        number=worker.number,
        worker_id=worker.worker_id,
        device=worker.device,
        libraries=worker.libraries,
        precision=worker.precision,  # type: ignore[arg-type]  # an open enum: a newer number is kept
    )


def read_worker(message: journal_pb2.WorkerSeen) -> WorkerSeen:
    """What :func:`worker_message` wrote."""
    libraries = dict(message.libraries)
    return WorkerSeen(message.number, message.worker_id, message.device, libraries, message.precision)
