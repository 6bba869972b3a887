"""germline.v1.ExperimentService: for people and their programs.

Decode, call, encode; in the proto's order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeAlias

import grpc.aio

from germline.genome import format_id
from germline.stored_start import MOST_BYTES as MOST_START_BYTES
from germline.v1 import experiment_pb2 as pb
from germline.v1 import experiment_pb2_grpc, spec_pb2
from master.centres.centre import Checkpoint
from master.errors import ConflictError, InvalidFieldError, UnknownNameError
from master.experiments.backup import back_up
from master.experiments.experiment import Experiment
from master.experiments.registry import Registry
from master.journal.journal import Journal
from master.wire.archive_service import ArchiveCalls
from master.wire.experiment_messages import (
    write_damaged,
    write_experiment,
    write_happened,
    write_history,
    write_individual,
    write_own_workers,
    write_population,
    write_quarantined,
    write_verification,
    write_worker,
)
from master.wire.known_returns import write_returns
from master.work.dispatcher import Dispatcher

MAX_BACKUP_BYTES = 2**31 - 1  # what a message of protobuf holds
_PART_BYTES = 1 << 20

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


class ExperimentService(ArchiveCalls, experiment_pb2_grpc.ExperimentServiceServicer):
    """Creates, shows and steers experiments. What it answers about a change is durable."""

    def __init__(self, registry: Registry, dispatcher: Dispatcher, journal: Journal) -> None:
        self._registry = registry
        self._dispatcher = dispatcher
        self._journal = journal

    async def CreateExperiment(
        self, request: pb.CreateExperimentRequest, context: Context
    ) -> pb.CreateExperimentResponse:
        experiment = self._registry.create(request.spec)
        return pb.CreateExperimentResponse(experiment=await self._changed(experiment))

    async def CreateExperimentWithStart(
        self, request_iterator: AsyncIterator[pb.CreateExperimentWithStartRequest], context: Context
    ) -> pb.CreateExperimentResponse:
        spec, data = spec_pb2.ExperimentSpec(), bytearray()
        async for part in request_iterator:
            if part.HasField("spec"):
                spec = part.spec
            data += part.data
            if len(data) > MOST_START_BYTES:
                raise InvalidFieldError(f"data has more than {MOST_START_BYTES:,} bytes; allowed: so many")
        experiment = await self._registry.create_with_start(spec, bytes(data))
        return pb.CreateExperimentResponse(experiment=await self._changed(experiment))

    async def GetExperiment(
        self, request: pb.GetExperimentRequest, context: Context
    ) -> pb.GetExperimentResponse:
        damaged = self._registry.damaged.get(request.name)
        if damaged is not None:
            return pb.GetExperimentResponse(experiment=write_damaged(damaged))
        return pb.GetExperimentResponse(experiment=self._shown(self._registry.named(request.name)))

    async def ListExperiments(
        self, request: pb.ListExperimentsRequest, context: Context
    ) -> pb.ListExperimentsResponse:
        shown = [self._shown(experiment) for experiment in self._registry]
        shown += map(write_damaged, self._registry.damaged.values())
        return pb.ListExperimentsResponse(experiments=sorted(shown, key=lambda each: each.number))

    async def PauseExperiment(
        self, request: pb.PauseExperimentRequest, context: Context
    ) -> pb.PauseExperimentResponse:
        experiment = self._registry.named(request.name)
        experiment.pause()
        return pb.PauseExperimentResponse(experiment=await self._changed(experiment))

    async def ResumeExperiment(
        self, request: pb.ResumeExperimentRequest, context: Context
    ) -> pb.ResumeExperimentResponse:
        experiment = self._registry.named(request.name)
        experiment.resume()
        return pb.ResumeExperimentResponse(experiment=await self._changed(experiment))

    async def StopExperiment(
        self, request: pb.StopExperimentRequest, context: Context
    ) -> pb.StopExperimentResponse:
        experiment = self._registry.named(request.name)
        experiment.stop()
        return pb.StopExperimentResponse(experiment=await self._changed(experiment))

    async def ExtendExperiment(
        self, request: pb.ExtendExperimentRequest, context: Context
    ) -> pb.ExtendExperimentResponse:
        experiment = await self._registry.extend(request.name, request.stop, only=request.only)
        return pb.ExtendExperimentResponse(experiment=await self._changed(experiment))

    async def DeleteExperiment(
        self, request: pb.DeleteExperimentRequest, context: Context
    ) -> pb.DeleteExperimentResponse:
        self._registry.delete(request.name)
        await self._journal.durable()
        return pb.DeleteExperimentResponse()

    async def WatchExperiment(
        self, request: pb.WatchExperimentRequest, context: Context
    ) -> AsyncIterator[pb.WatchExperimentResponse]:
        interval_s = request.interval_s if request.HasField("interval_s") else 1.0
        if not 0.1 <= interval_s <= 3_600:
            raise InvalidFieldError(f"interval_s is {interval_s:g}; allowed: 0.1 to 3600")
        experiment = self._registry.named(request.name)
        while True:
            is_final = experiment.standing.known.is_final
            yield pb.WatchExperimentResponse(experiment=self._shown(experiment))
            if is_final:
                return
            await experiment.standing.wait_for_change(interval_s)

    async def ListIndividuals(
        self, request: pb.ListIndividualsRequest, context: Context
    ) -> pb.ListIndividualsResponse:
        limit = request.limit if request.HasField("limit") else 100
        if not 1 <= limit <= 10_000:
            raise InvalidFieldError(f"limit is {limit}; allowed: 1 to 10000")
        experiment = self._registry.named(request.name)
        individuals = write_population(experiment, limit, with_genomes=request.with_genomes)
        return pb.ListIndividualsResponse(individuals=individuals)

    async def GetIndividual(
        self, request: pb.GetIndividualRequest, context: Context
    ) -> pb.GetIndividualResponse:
        wanted = request.id if request.HasField("id") else None
        individual = write_individual(self._registry.named(request.name), wanted)
        if individual is None and wanted is None:
            raise ConflictError(f"experiment {request.name} has no individual with a score yet")
        if individual is None:
            raise UnknownNameError(
                f"id is {format_id(request.id)}; known are the population, the candidates and the champion"
            )
        return pb.GetIndividualResponse(individual=individual)

    async def ListReturns(self, request: pb.ListReturnsRequest, context: Context) -> pb.ListReturnsResponse:
        limit = request.limit if request.HasField("limit") else 100
        if not 1 <= limit <= 1_000:
            raise InvalidFieldError(f"limit is {limit}; allowed: 1 to 1000")
        after = request.after if request.HasField("after") else -1
        return write_returns(self._registry.named(request.name), after, limit)

    async def GetHistory(self, request: pb.GetHistoryRequest, context: Context) -> pb.GetHistoryResponse:
        return write_history(self._registry.named(request.name).progress.history.points)

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        limit = request.limit if request.HasField("limit") else 100
        if not 1 <= limit <= 1_000:
            raise InvalidFieldError(f"limit is {limit}; allowed: 1 to 1000")
        happened = self._registry.named(request.name).progress.happened
        return write_happened(happened, request.after, limit)

    async def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: Context
    ) -> AsyncIterator[pb.GetCheckpointResponse]:
        experiment = self._registry.named(request.name)
        if experiment.centre is not None:
            kept = experiment.centre.best or experiment.centre.newest
        elif experiment.own is not None:
            kept = experiment.own.kept
        elif experiment.start.digest:
            kept = experiment.start.kept
        else:
            raise ConflictError(
                f"experiment {experiment.settings.name} is no evolution strategy, and its founders are drawn "
                "from seeds; it has no checkpoint"
            )
        if kept is None:
            raise ConflictError(f"experiment {experiment.settings.name} has no stored weights yet")
        data = await self._journal.checkpoints.get(experiment.number, kept.epoch)
        checkpoint = Checkpoint(kept.epoch, kept.digest, data)
        for part in range(checkpoint.parts):
            yield pb.GetCheckpointResponse(
                epoch=checkpoint.epoch, digest=checkpoint.digest, data=checkpoint.part(part)
            )

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        leased: dict[str, int] = {}
        for experiment in self._registry:
            for book in experiment.lent:
                for worker_id, count in book.leases.holders().items():
                    leased[worker_id] = leased.get(worker_id, 0) + count
        names = ((session, session.identity.worker_id) for session in self._dispatcher.fleet)
        workers = [
            write_worker(session, leased.get(name, 0), self._dispatcher.overview.worker_trouble(name))
            for session, name in names
        ]
        owns = [experiment.own for experiment in self._registry if experiment.own is not None]
        workers += [worker for own in owns for worker in write_own_workers(own)]
        quarantined = map(write_quarantined, self._registry.quarantined.values())
        return pb.ListWorkersResponse(workers=workers, quarantined=quarantined)

    async def ReleaseWorker(
        self, request: pb.ReleaseWorkerRequest, context: Context
    ) -> pb.ReleaseWorkerResponse:
        self._dispatcher.quarantine.release(request.worker_id)
        self._dispatcher.lender.lend_all()
        await self._journal.durable()
        return pb.ReleaseWorkerResponse()

    async def BackUpExperiment(
        self, request: pb.BackUpExperimentRequest, context: Context
    ) -> AsyncIterator[pb.BackUpExperimentResponse]:
        data = await back_up(self._registry.named(request.name), self._journal)
        for at in range(0, len(data), _PART_BYTES):
            yield pb.BackUpExperimentResponse(data=data[at : at + _PART_BYTES])

    async def RestoreExperiment(
        self, request_iterator: AsyncIterator[pb.RestoreExperimentRequest], context: Context
    ) -> pb.RestoreExperimentResponse:
        name, data, archive = "", bytearray(), b""
        async for part in request_iterator:
            name = name or part.name
            data += part.data
            if len(data) > MAX_BACKUP_BYTES:
                raise InvalidFieldError(f"data has more than {MAX_BACKUP_BYTES:,} bytes; allowed: so many")
            if archive := part.archive:
                break
        parts = _archive_of(archive, request_iterator) if archive else None
        experiment = await self._registry.restore(bytes(data), name, parts)
        return pb.RestoreExperimentResponse(experiment=await self._changed(experiment))

    async def RepairExperiment(
        self, request: pb.RepairExperimentRequest, context: Context
    ) -> pb.RepairExperimentResponse:
        experiment, kept, lost = await self._registry.repair(request.name)
        return pb.RepairExperimentResponse(
            experiment=await self._changed(experiment), kept_entries=kept, lost_entries=lost
        )

    def _shown(self, experiment: Experiment) -> pb.Experiment:
        overview = self._dispatcher.overview
        message = write_experiment(experiment)
        message.trouble = overview.trouble(experiment)
        message.unable = len(overview.rejections(experiment))
        message.workers_wanted = overview.workers_wanted([experiment])
        message.verification.CopyFrom(
            write_verification(experiment.checks, overview.verification_note(experiment))
        )
        return message

    async def _changed(self, experiment: Experiment) -> pb.Experiment:
        """Let everybody know of a change, and answer when it is durable."""
        self._dispatcher.lender.send_revocations()
        self._dispatcher.lender.lend_all()
        await self._journal.durable((experiment.number,))
        return self._shown(experiment)


async def _archive_of(
    first: bytes, others: AsyncIterator[pb.RestoreExperimentRequest]
) -> AsyncIterator[bytes]:
    """The parts of an archive that comes with a backup."""
    yield first
    async for part in others:
        yield part.archive
