"""An experiment as bytes that another store can take in, and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from germline.archive.part import PartError
from germline.destinations import DestinationError
from germline.v1 import spec_pb2
from master.archive.writer import ArchiveWriter
from master.errors import (
    ConflictError,
    InvalidFieldError,
    JournalFormatError,
    JournalLostError,
    StoreFailingError,
)
from master.experiments import recovery
from master.experiments.events import Created
from master.experiments.experiment import Experiment
from master.journal.codec import Snapshot, read_backup, write_backup
from master.journal.journal import Journal

_TRIES = 5  # a checkpoint may be replaced by a newer one just now


async def back_up(experiment: Experiment, journal: Journal) -> bytes:
    """An experiment as it stands, once that is durable. Raises StoreFailingError."""
    for _ in range(_TRIES):
        snapshot = recovery.take_snapshot(experiment, 0)
        epochs = [kept.epoch for kept in snapshot.checkpoints]
        try:
            kept = {epoch: await journal.checkpoints.get(experiment.number, epoch) for epoch in epochs}
        except JournalLostError:
            continue
        await journal.durable((experiment.number,))
        return await asyncio.to_thread(write_backup, snapshot, kept)
    raise StoreFailingError(f"experiment {experiment.settings.name} has other checkpoints all the time")


async def read(encoded: bytes) -> tuple[Snapshot, dict[int, bytes]]:
    """A backup: the snapshot, and the checkpoints by their epochs. Raises InvalidFieldError."""
    try:
        return await asyncio.to_thread(read_backup, encoded)
    except JournalFormatError as error:
        raise InvalidFieldError(f"data is no backup that this build can read: {error}") from None


def renamed(snapshot: Snapshot, number: int, name: str) -> Snapshot:
    """The same experiment under another number, and under another name unless that is empty.

    Nothing that was lent before is known to it: it has another identity.
    """
    spec = spec_pb2.ExperimentSpec.FromString(snapshot.created.spec)
    spec.name = name or spec.name
    created = Created(number, spec.SerializeToString(deterministic=True), snapshot.created.time)
    return snapshot._replace(created=created, progress={**snapshot.progress, "starts": []})


async def store_checkpoints(number: int, checkpoints: dict[int, bytes], journal: Journal) -> None:
    """Have checkpoints stored before anything is that relies on them."""
    done = {epoch: asyncio.get_running_loop().create_future() for epoch in checkpoints}
    for epoch, data in checkpoints.items():
        journal.checkpoints.put(number, epoch, data, partial(_finish, done[epoch]))
    await asyncio.gather(*done.values())


async def take_archive(
    experiment: Experiment, parts: AsyncIterator[bytes], archive: ArchiveWriter | None
) -> None:
    """Keep the archive of an experiment that is about to come.

    Raises ConflictError where none is kept, InvalidFieldError, StoreFailingError.
    """
    if archive is None:
        async for _ in parts:
            raise ConflictError(
                "this master keeps no archive (its setting archive): restore without it (--no-archive)"
            )
        return
    try:
        await archive.take_in(experiment, parts)
    except PartError as error:
        raise InvalidFieldError(f"archive holds no part that this build can read: {error}") from None
    except DestinationError as error:
        raise StoreFailingError(f"the archive cannot be written: {error}") from None


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
