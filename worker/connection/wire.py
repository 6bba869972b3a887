"""Between messages and plain values; only `stream` and `master_messages` know the messages too."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

from germline.genome import MAX_RANK, Genome, Mutation, format_id
from germline.limits import MAX_FAILURE, PART_BYTES
from germline.observed import is_observed
from germline.pairs import Slice
from germline.v1 import genome_pb2, worker_pb2
from worker.connection.leases import Batch
from worker.playing.lease_work import (
    Assignment,
    CentreReport,
    Checkpoint,
    ExperimentKey,
    Failure,
    LeaseKey,
    Notice,
    Pulse,
    Score,
)


class ProtocolError(Exception):
    """The master said something that the contract does not allow; only a new stream can help."""


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Who this worker is; the same for its whole life."""

    worker_id: str
    version: str
    noise_version: int
    noise_digest: str
    device: str
    libraries: dict[str, str]
    process: str = ""
    """Drawn at the start of this process."""


def hello(identity: Identity, slots: int, held: Iterable[LeaseKey]) -> worker_pb2.WorkerMessage:
    """The first message of a stream."""
    greeting = worker_pb2.Hello(
        worker_id=identity.worker_id,
        version=identity.version,
        noise_version=identity.noise_version,
        noise_digest=identity.noise_digest,
        device=identity.device,
        slots=slots,
        libraries=identity.libraries,
        process=identity.process,
        held=map(_key_message, held),
    )
    return worker_pb2.WorkerMessage(hello=greeting)


def credit(evaluations: int) -> worker_pb2.WorkerMessage:
    """Room for so many more evaluations."""
    return worker_pb2.WorkerMessage(credit=worker_pb2.Credit(evaluations=evaluations))


def results(batch: Batch) -> worker_pb2.WorkerMessage:
    """The scores of a batch, under its number."""
    told = worker_pb2.Results(sequence=batch.sequence, results=map(_result, batch.scores))
    return worker_pb2.WorkerMessage(results=told)


def heartbeat(pulse: Pulse, slots: int) -> worker_pb2.WorkerMessage:
    """Still alive, and playing so many evaluations at a time by now."""
    spent = worker_pb2.Stages(
        fill_s=pulse.stages.fill_s,
        infer_s=pulse.stages.infer_s,
        emulate_s=pulse.stages.emulate_s,
        report_s=pulse.stages.report_s,
        update_s=pulse.stages.update_s,
    )
    beat = worker_pb2.Heartbeat(busy_share=pulse.busy_share, frames=pulse.frames, slots=slots, stages=spent)
    return worker_pb2.WorkerMessage(heartbeat=beat)


def notice(told: Notice) -> Iterator[worker_pb2.WorkerMessage]:
    """Say something about an evolution strategy's centre, in as many messages as it takes."""
    if isinstance(told, CentreReport):
        number, identity = told.experiment
        report = worker_pb2.EpochReport(
            experiment=number, identity=identity, epoch=told.epoch, digest=told.digest
        )
        yield worker_pb2.WorkerMessage(epoch_report=report)
    else:
        for part in _parts(told):
            yield worker_pb2.WorkerMessage(checkpoint=part)


def _parts(checkpoint: Checkpoint) -> Iterator[worker_pb2.CheckpointPart]:
    """A checkpoint in parts; one that is not at hand is one message that says so: no parts."""
    parts = -(-len(checkpoint.data) // PART_BYTES)
    for part in range(max(parts, 1)):
        yield worker_pb2.CheckpointPart(
            experiment=checkpoint.experiment.number,
            identity=checkpoint.experiment.identity,
            epoch=checkpoint.epoch,
            part=part,
            parts=parts,
            data=checkpoint.data[part * PART_BYTES : (part + 1) * PART_BYTES],
            digest=checkpoint.digest,
        )


class Assembly:
    """Puts the parts of checkpoints together, one experiment's at a time."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._parts: dict[int, list[bytes]] = {}

    def add(self, message: worker_pb2.CheckpointPart) -> bytes | None:
        """Take a part; the whole file once it is complete.

        Raises:
            ProtocolError: if a part is missing.
        """
        parts = [] if message.part == 0 else self._parts.get(message.experiment, [])
        if message.part != len(parts):
            raise ProtocolError(f"part {message.part} of a checkpoint came; expected {len(parts)}")
        parts.append(message.data)
        self._parts[message.experiment] = parts
        return b"".join(self._parts.pop(message.experiment)) if len(parts) == message.parts else None


def rejection(failure: Failure) -> worker_pb2.WorkerMessage:
    """An experiment that this worker cannot play."""
    number, identity = failure.experiment
    refused = worker_pb2.Rejection(experiment=number, identity=identity, reason=failure.reason)
    return worker_pb2.WorkerMessage(rejection=refused)


def goodbye(
    reason: str, returned: Iterable[LeaseKey], suspected: Iterable[LeaseKey] = ()
) -> worker_pb2.WorkerMessage:
    """The last message of a worker that leaves; what is suspected may be why it has to."""
    keys = map(_key_message, suspected)
    last = worker_pb2.Goodbye(reason=reason, returned=map(_key_message, returned), suspected=keys)
    return worker_pb2.WorkerMessage(goodbye=last)


def lease_key(message: worker_pb2.LeaseKey) -> LeaseKey:
    """The name of a lease."""
    experiment = ExperimentKey(message.experiment, message.identity)
    return LeaseKey(experiment, message.ticket, message.attempt)


def by_reason(
    refusals: Iterable[worker_pb2.Refusal],
) -> dict[tuple[int, worker_pb2.RefusalCode.ValueType], list[worker_pb2.Refusal]]:
    """Refusals by experiment and code."""
    groups = defaultdict(list)
    for refusal in refusals:
        groups[refusal.lease.experiment, refusal.code].append(refusal)
    return groups


def refusals(refused: Iterable[worker_pb2.Refusal]) -> dict[LeaseKey, str]:
    """The code of each refusal, in small letters, by its lease."""
    return {lease_key(each.lease): _code(each.code) for each in refused}


def _code(code: worker_pb2.RefusalCode.ValueType) -> str:
    try:
        return worker_pb2.RefusalCode.Name(code).removeprefix("REFUSAL_CODE_").lower()
    except ValueError:  # of a later build
        return f"refused_{code}"


def _key_message(key: LeaseKey) -> worker_pb2.LeaseKey:
    (number, identity), ticket, attempt = key
    return worker_pb2.LeaseKey(experiment=number, ticket=ticket, attempt=attempt, identity=identity)


def _result(score: Score) -> worker_pb2.Result:
    return worker_pb2.Result(
        cut=score.cut,
        lease=_key_message(score.key),
        returns=score.returns,
        frames=score.frames,
        steps=score.steps,
        play_s=score.play_s,
        failure=score.failure[:MAX_FAILURE],
        behaviour=score.behaviour,
        observed=score.observed,
    )


class KnownGenomes:
    """The genomes that one stream's leases may refer to. The master says what to learn and what to forget."""

    def __init__(self) -> None:
        """Know nothing; every stream starts so."""
        self._genomes: dict[int, Genome] = {}

    def __len__(self) -> int:
        """How many genomes are known."""
        return len(self._genomes)

    def read(self, leases: worker_pb2.Leases) -> list[Assignment]:
        """Learn and forget as the message says, then resolve its leases.

        Raises:
            ProtocolError: for a genome that is not known, or whose bytes do not have the id they came under.
        """
        for known in leases.known:
            self._learn(known.id, known.encoded)
        assignments = [self._assignment(lease) for lease in leases.leases]
        for genome_id in set(leases.forget).difference(known.id for known in leases.known):
            self._genomes.pop(genome_id, None)
        return assignments

    def _learn(self, genome_id: int, encoded: bytes) -> None:
        try:
            genome = Genome.decode(encoded)
        except ValueError as error:
            raise ProtocolError(f"genome {format_id(genome_id)} cannot be read: {error}") from error
        if genome.id != genome_id:
            raise ProtocolError(f"genome {format_id(genome.id)} came under the id {format_id(genome_id)}")
        relative = next(reversed(self._genomes.values()), None)
        self._genomes[genome_id] = genome.beside(relative) if relative else genome

    def _assignment(self, lease: worker_pb2.Lease) -> Assignment:
        key = lease_key(lease.key)
        if lease.HasField("slice"):
            part = lease.slice
            slice_ = Slice(part.epoch, part.first_pair, part.pairs)
            return Assignment(key, slice_, tuple(lease.episode_seeds), is_observed=is_observed(key.ticket))
        genome = self._genomes.get(lease.genome)
        if genome is None:
            raise ProtocolError(
                f"lease {key} refers to genome {format_id(lease.genome)}, not known on this stream"
            )
        seeds = tuple(lease.episode_seeds)
        if not lease.HasField("mutation"):
            return Assignment(key, genome, seeds, None, lease.cap_frames, is_observed(key.ticket))
        child = genome.child(_mutation(key, lease.mutation))
        return Assignment(key, child, seeds, genome, lease.cap_frames, is_observed(key.ticket))


def _mutation(key: LeaseKey, step: genome_pb2.Mutation) -> Mutation:
    if not math.isfinite(step.power) or step.rank > MAX_RANK:
        raise ProtocolError(
            f"lease {key} has a mutation of power {step.power} and rank {step.rank}; "
            f"allowed: a finite power, a rank of at most {MAX_RANK}"
        )
    return Mutation(step.seed, step.power, step.rank)
