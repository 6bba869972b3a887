"""The workers that told an experiment something: who they are, and by which kernels they play."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from germline.spec import kernels_of
from germline.v1 import spec_pb2
from master.experiments.events import WorkerSeen
from master.experiments.settings import ExperimentSettings

logger = logging.getLogger(__name__)


class WorkerIdentity(NamedTuple):
    """A worker as an experiment knows it: by name, and on what it plays."""

    worker_id: str
    device: str
    libraries: dict[str, str]


def number_of(
    identity: WorkerIdentity,
    workers: dict[str, WorkerSeen],
    settings: ExperimentSettings,
    write: Callable[[WorkerSeen], None],
) -> int:
    """A worker's number in an experiment's journal; a new one is introduced there, and among `workers`."""
    seen = workers.get(identity.worker_id)
    if seen is None:
        _tell_other_kernels(identity, workers, settings)
        name, device, libraries = identity
        seen = WorkerSeen(len(workers) + 1, name, device, libraries, settings.precision)
        workers[name] = seen
        write(seen)
    return seen.number


def kernel_families(workers: Iterable[WorkerSeen], spec: spec_pb2.ExperimentSpec) -> list[str]:
    """Families of the kernels by which these workers play a spec."""
    found = (kernels_of(seen.libraries, spec) for seen in workers)
    return sorted({family for family in found if family is not None})


def _tell_other_kernels(
    identity: WorkerIdentity, workers: dict[str, WorkerSeen], settings: ExperimentSettings
) -> None:
    """Say it when scores come from kernels that may add in another order than those before."""
    known = kernel_families(workers.values(), settings.spec)
    family = kernels_of(identity.libraries, settings.spec)
    if known and family is not None and family not in known:
        logger.warning(
            "experiment %s: worker %s plays by kernels of family %s, those before it by %s: in floating "
            "point one genome may play two games there; int8 is the same everywhere",
            settings.name,
            identity.worker_id,
            family,
            ", ".join(known),
        )
