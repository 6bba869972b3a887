"""The client itself: one method a call, one connection for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc

from germline import stored_start
from germline.client.archive import ArchiveReader
from germline.client.errors import NotReachableError, from_rpc
from germline.client.masters import Masters
from germline.client.views import (
    Checkpoint,
    Experiment,
    ExperimentEvent,
    HistoryPoint,
    Individual,
    KnownReturns,
    QuarantinedWorker,
    Repaired,
    Worker,
)
from germline.connection import Security
from germline.spec.travelling import for_any_build
from germline.spec.typed import Spec, message_of
from germline.v1 import experiment_pb2, spec_pb2

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

DEFAULT_ADDRESS = "localhost:7700"
_PART_BYTES = 1 << 20
_TRANSFER_S = 120.0  # for what may be large


class Client(ArchiveReader):
    """Talks to one master, or of several on one store to the one that serves.

    Use it in a `with` statement, or close it.

    Every call raises NotReachableError if nobody answers within the deadline, and RefusedError, with the
    master's sentence, if it says no.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        token: str | None = None,
        tls: bool = False,
        ca: Path | None = None,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
        deadline_s: float = 10.0,
    ) -> None:
        """Prepare the connection; it is made by the first call.

        Args:
            address: "host:port"; of several masters on one store, those of all, with commas between.
            token: sent as a bearer token with every call.
            tls: encrypt, and trust the system's certificates.
            ca: encrypt, and trust this PEM file instead.
            tls_cert: encrypt, and show this certificate chain, a PEM file; needs `tls_key`.
            tls_key: private key of the certificate, a PEM file.
            deadline_s: how long one call may take, its retries included.

        Raises:
            ValueError: a file is not what it should be, or the token cannot travel.
        """
        self.address = address
        self._deadline_s = deadline_s
        security = Security(token=token or "", tls=tls, ca=ca, tls_cert=tls_cert, tls_key=tls_key)
        self._metadata = security.metadata()
        self._masters = Masters(address, security)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._masters.close()

    def wait_until_ready(self, timeout_s: float) -> None:
        """Return as soon as the master answers; raise NotReachableError if it does not in time."""
        give_up = time.monotonic() + timeout_s
        while True:
            try:
                self.experiments()
            except NotReachableError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)
            else:
                return

    def __repr__(self) -> str:
        return f"<germline client of the master at {self.address}>"

    def create(self, spec: Spec | spec_pb2.ExperimentSpec | Path | str) -> Experiment:
        """Start an experiment, or find the one of this name and spec that is there already.

        Weights that its `policy.start` names go with it, where they are at hand (germline.stored_start).

        Args:
            spec: an object or a message, the path of a spec, or its TOML text.

        Raises:
            SpecError: with everything that is wrong with a file or a text.
        """
        wanted = message_of(spec)
        start = stored_start.find(wanted.policy.start)
        if start is not None:
            return self._create_with(wanted, start)
        request = experiment_pb2.CreateExperimentRequest(spec=for_any_build(wanted))
        return Experiment.of(self._ask(lambda stub: stub.CreateExperiment, request).experiment)

    def _create_with(self, spec: spec_pb2.ExperimentSpec, start: bytes) -> Experiment:
        def parts() -> Iterator[experiment_pb2.CreateExperimentWithStartRequest]:
            yield experiment_pb2.CreateExperimentWithStartRequest(spec=for_any_build(spec))
            for at in range(0, len(start), _PART_BYTES):
                yield experiment_pb2.CreateExperimentWithStartRequest(data=start[at : at + _PART_BYTES])

        created = self._masters.call(
            lambda stub, left_s: stub.CreateExperimentWithStart(
                parts(), metadata=self._metadata, timeout=left_s
            ),
            _TRANSFER_S,
        )
        return Experiment.of(created.experiment)

    def experiment(self, name: str) -> Experiment:
        """One experiment as it stands."""
        request = experiment_pb2.GetExperimentRequest(name=name)
        return Experiment.of(self._ask(lambda stub: stub.GetExperiment, request).experiment)

    def experiments(self) -> list[Experiment]:
        """All experiments, oldest first."""
        found = self._ask(lambda stub: stub.ListExperiments, experiment_pb2.ListExperimentsRequest())
        return [Experiment.of(message) for message in found.experiments]

    def pause(self, name: str) -> Experiment:
        """Lend no more work of it until :meth:`resume`."""
        request = experiment_pb2.PauseExperimentRequest(name=name)
        return Experiment.of(self._ask(lambda stub: stub.PauseExperiment, request).experiment)

    def resume(self, name: str) -> Experiment:
        """Undo a pause."""
        request = experiment_pb2.ResumeExperimentRequest(name=name)
        return Experiment.of(self._ask(lambda stub: stub.ResumeExperiment, request).experiment)

    def stop(self, name: str) -> Experiment:
        """End it; its individuals stay."""
        request = experiment_pb2.StopExperimentRequest(name=name)
        return Experiment.of(self._ask(lambda stub: stub.StopExperiment, request).experiment)

    def extend(self, name: str, stop: spec_pb2.Stop, *, only: bool = False) -> Experiment:
        """Change when it is complete; one that is complete or stopped goes on.

        Args:
            name: of the experiment.
            stop: the conditions that change.
            only: forget the conditions that are absent from `stop`.
        """
        request = experiment_pb2.ExtendExperimentRequest(name=name, stop=stop, only=only)
        return Experiment.of(self._ask(lambda stub: stub.ExtendExperiment, request).experiment)

    def delete(self, name: str) -> None:
        """Forget an experiment that is over, with everything that was stored of it."""
        self._ask(lambda stub: stub.DeleteExperiment, experiment_pb2.DeleteExperimentRequest(name=name))

    def back_up(self, name: str) -> bytes:
        """An experiment as it stands and is durable, for :meth:`restore`."""
        request = experiment_pb2.BackUpExperimentRequest(name=name)
        parts = self._masters.call(
            lambda stub, left_s: list(
                stub.BackUpExperiment(request, metadata=self._metadata, timeout=left_s)
            ),
            _TRANSFER_S,
        )
        return b"".join(part.data for part in parts)

    def restore(
        self, data: bytes, name: str = "", archive: Callable[[], Iterable[bytes]] = tuple
    ) -> Experiment:
        """Take in what :meth:`back_up` gave, under the name that it had unless another is given.

        Args:
            data: the experiment.
            name: see above.
            archive: gives what :meth:`archive_parts` gave, from the beginning at each call.
        """

        def parts() -> Iterator[experiment_pb2.RestoreExperimentRequest]:
            yield experiment_pb2.RestoreExperimentRequest(name=name)
            for at in range(0, len(data), _PART_BYTES):
                yield experiment_pb2.RestoreExperimentRequest(data=data[at : at + _PART_BYTES])
            for part in archive():
                yield experiment_pb2.RestoreExperimentRequest(archive=part)

        restored = self._masters.call(
            lambda stub, left_s: stub.RestoreExperiment(parts(), metadata=self._metadata, timeout=left_s),
            _TRANSFER_S,
        )
        return Experiment.of(restored.experiment)

    def repair(self, name: str) -> Repaired:
        """Bring a damaged experiment back as it was before the first damage."""
        request = experiment_pb2.RepairExperimentRequest(name=name)
        return Repaired.of(self._ask(lambda stub: stub.RepairExperiment, request))

    def individuals(self, name: str, limit: int = 100, *, with_genomes: bool = False) -> list[Individual]:
        """Members of the population, best first, at most `limit` (1 to 10,000)."""
        request = experiment_pb2.ListIndividualsRequest(name=name, limit=limit, with_genomes=with_genomes)
        found = self._ask(lambda stub: stub.ListIndividuals, request)
        return [Individual.of(message) for message in found.individuals]

    def individual(self, name: str, individual_id: int | None = None) -> Individual:
        """One individual with its genome; without an id the champion, or the best while there is none."""
        request = experiment_pb2.GetIndividualRequest(name=name, id=individual_id)
        return Individual.of(self._ask(lambda stub: stub.GetIndividual, request).individual)

    def returns(self, name: str) -> Iterator[KnownReturns]:
        """What is known of individuals by their episodes, in the order of their ids; asks page by page."""
        request = experiment_pb2.ListReturnsRequest(name=name)
        while True:
            page = self._ask(lambda stub: stub.ListReturns, request)
            yield from map(KnownReturns.of, page.individuals)
            if not page.HasField("next"):
                return
            request.after = page.next

    def history(self, name: str) -> list[HistoryPoint]:
        """The curve of the run, oldest point first."""
        request = experiment_pb2.GetHistoryRequest(name=name)
        return [
            HistoryPoint.of(message) for message in self._ask(lambda stub: stub.GetHistory, request).points
        ]

    def events(self, name: str) -> list[ExperimentEvent]:
        """What happened to it, oldest first: the last 50 of each kind; asks page by page."""
        request, found = experiment_pb2.ListEventsRequest(name=name, limit=1_000), list[ExperimentEvent]()
        while True:
            page = self._ask(lambda stub: stub.ListEvents, request)
            found += map(ExperimentEvent.of, page.events)
            if not page.HasField("next"):
                return found
            request.after = page.next

    def workers(self) -> list[Worker]:
        """The workers that the master sees, longest connected first."""
        found = self._ask(lambda stub: stub.ListWorkers, experiment_pb2.ListWorkersRequest())
        return [Worker.of(message) for message in found.workers]

    def quarantined(self) -> list[QuarantinedWorker]:
        """The workers that were proven wrong and get no work, connected or not."""
        found = self._ask(lambda stub: stub.ListWorkers, experiment_pb2.ListWorkersRequest())
        return [QuarantinedWorker.of(message) for message in found.quarantined]

    def release(self, worker_id: str) -> None:
        """Take a worker back that was proven wrong."""
        self._ask(lambda stub: stub.ReleaseWorker, experiment_pb2.ReleaseWorkerRequest(worker_id=worker_id))

    def checkpoint(self, name: str) -> Checkpoint:
        """An evolution strategy's best measured centre, or its newest stored one while none is measured."""
        request = experiment_pb2.GetCheckpointRequest(name=name)
        parts = self._masters.call(
            lambda stub, left_s: list(stub.GetCheckpoint(request, metadata=self._metadata, timeout=left_s)),
            _TRANSFER_S,
        )
        data = b"".join(part.data for part in parts)
        return Checkpoint(parts[-1].epoch, parts[-1].digest, data) if parts else Checkpoint(0, "", b"")

    def watch(self, name: str, interval_s: float = 1.0, *, patience_s: float = 30.0) -> Iterator[Experiment]:
        """The experiment as it stands, again and again, until it is over.

        A master that goes away is waited for: NotReachableError comes after `patience_s` without a word.
        """
        request = experiment_pb2.WatchExperimentRequest(name=name, interval_s=interval_s)
        heard = time.monotonic()
        while True:
            try:
                for message in self._masters.stub.WatchExperiment(request, metadata=self._metadata):
                    heard = time.monotonic()
                    yield Experiment.of(message.experiment)
            except grpc.RpcError as error:
                refusal = from_rpc(error, self.address)
                if not isinstance(refusal, NotReachableError) or time.monotonic() - heard > patience_s:
                    raise refusal from None
                time.sleep(0.2)
                self._masters.go_on()
            else:
                return
