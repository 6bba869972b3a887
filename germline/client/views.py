"""What the master tells, as frozen values: ids as numbers, states as words, genomes as genomes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Literal, cast

from germline.genome import Genome
from germline.normalisation import Version, of_epoch, of_genome
from germline.spec.normalised import played_under, read_versions
from germline.v1 import experiment_pb2, spec_pb2

State = Literal["running", "paused", "stopped", "complete", "damaged"]


@dataclass(frozen=True, slots=True)
class Individual:
    """A genome and what is known of it.

    Attributes:
        id: the digest of its genome.
        fitness: mean return of its own evaluation, the one that selection uses.
        mutations: the length of its line.
        validated_mean: mean return over fresh episodes that decided nothing; None if there are none.
        validation_episodes: how many of these there are.
        validated_half_width: half of the 95 % confidence interval of that mean; None below two episodes.
        genome: None unless asked for.
        start_returns: its return from each start, where the protocol has finitely many and all were played.
        title_episodes: of a champion, fresh episodes that decided its title; none of them is in that mean.
        cap_frames: after so many frames the episodes of its fitness were cut; 0: they were whole games.
        behaviour: what it did, packed (:mod:`germline.behaviour`); empty where the search does not ask.
        cell: of MAP-Elites, the cell that it is the elite of; None elsewhere.
        fitness_episodes: how many episodes `fitness` is the mean of; 0 where a master does not say.
    """

    id: int
    fitness: float
    mutations: int
    validated_mean: float | None
    validation_episodes: int
    validated_half_width: float | None
    genome: Genome | None
    start_returns: tuple[float, ...] = ()
    title_episodes: int = 0
    cap_frames: int = 0
    behaviour: bytes = b""
    cell: int | None = None
    fitness_episodes: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether its validated mean is over all the episodes that it has."""
        return bool(self.start_returns)

    @classmethod
    def of(cls, message: experiment_pb2.Individual) -> Individual:
        """Read the message."""
        return cls(
            id=message.id,
            fitness=message.fitness,
            mutations=message.mutations,
            validated_mean=message.validated_mean if message.HasField("validated_mean") else None,
            validation_episodes=message.validation_episodes,
            validated_half_width=(
                message.validated_half_width if message.HasField("validated_half_width") else None
            ),
            genome=Genome.decode(message.genome) if message.genome else None,
            start_returns=tuple(message.start_returns),
            title_episodes=message.title_episodes,
            cap_frames=message.cap_frames,
            behaviour=message.behaviour,
            cell=message.cell if message.HasField("cell") else None,
            fitness_episodes=message.fitness_episodes,
        )


@dataclass(frozen=True, slots=True)
class KnownReturns:
    """Episodes of an individual, and what it got in them.

    Attributes:
        genome: who it is.
        seeds: of the episodes; where the protocol has finitely many starts, those that stand for the starts.
        returns: one for each seed, in their order; or a single one for several seeds, which is their mean.
    """

    genome: Genome
    seeds: tuple[int, ...]
    returns: tuple[float, ...]

    @classmethod
    def of(cls, message: experiment_pb2.KnownReturns) -> KnownReturns:
        """Read the message."""
        return cls(Genome.decode(message.genome), tuple(message.seeds), tuple(message.returns))


@dataclass(frozen=True, slots=True)
class Unscored:
    """Work that could not be scored; the attributes are those of the message of this name."""

    name: str
    reason: str
    attempts: int
    worker: str

    @classmethod
    def of(cls, message: experiment_pb2.Unscored) -> Unscored:
        """Read the message."""
        return cls(message.name, message.reason, message.attempts, message.worker)


EventKind = Literal["state", "stop", "master", "quarantine", "set aside", "champion", "cap", "other"]


@dataclass(frozen=True, slots=True)
class ExperimentEvent:
    """Something that happened to an experiment; the attributes are those of the message of this name.

    Attributes:
        kind: "other" for one that only a newer build knows.
        time: None where the journal does not say.
    """

    number: int
    kind: EventKind
    text: str
    time: datetime | None
    evaluations: int
    frames: int
    running_s: float

    @classmethod
    def of(cls, message: experiment_pb2.ExperimentEvent) -> ExperimentEvent:
        """Read the message."""
        return cls(
            number=message.number,
            kind=_EVENT_KINDS.get(message.kind, "other"),
            text=message.text,
            time=message.time.ToDatetime(tzinfo=UTC) if message.HasField("time") else None,
            evaluations=message.evaluations,
            frames=message.frames,
            running_s=message.running_s,
        )


_EVENT_KINDS: dict[int, EventKind] = {
    experiment_pb2.EVENT_KIND_STATE: "state",
    experiment_pb2.EVENT_KIND_STOP: "stop",
    experiment_pb2.EVENT_KIND_MASTER: "master",
    experiment_pb2.EVENT_KIND_QUARANTINE: "quarantine",
    experiment_pb2.EVENT_KIND_SET_ASIDE: "set aside",
    experiment_pb2.EVENT_KIND_CHAMPION: "champion",
    experiment_pb2.EVENT_KIND_CAP: "cap",
}


@dataclass(frozen=True, slots=True)
class Verification:
    """Results that another worker played again; the attributes are those of the message of this name."""

    agreed: int = 0
    close: int = 0
    differed: int = 0
    unfinished: int = 0
    pending: int = 0
    frames: int = 0
    note: str = ""

    @classmethod
    def of(cls, message: experiment_pb2.Verification) -> Verification:
        """Read the message."""
        return cls(**{field.name: getattr(message, field.name) for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment as it stands; the attributes are those of the message of this name."""

    number: int
    name: str
    spec: spec_pb2.ExperimentSpec = field(repr=False)  # a page of text by itself
    state: State
    created: datetime
    evaluations: int
    episodes: int
    frames: int
    steps: int
    running_s: float
    frames_per_second: float
    evaluations_per_second: float
    fitness_quantiles: tuple[float, ...]
    best_fitness: float | None
    champion: Individual | None
    population: int
    lineage_depth: int
    leased: int
    workers: int
    leases_lost: int
    epochs: int
    centre_digest: str
    checkpoints_wanted: int = 0  # looks that were written down by earlier builds have none, nor what follows
    trouble: str = ""
    failed: int = 0
    set_aside: tuple[Unscored, ...] = ()
    unable: int = 0
    kernels: tuple[str, ...] = ()
    cap_frames: int = 0
    compared_cap_frames: int = 0
    best_cap_frames: int = 0
    workers_wanted: int = 0
    compared_children: int = 0
    different_children: int = 0
    verification: Verification = Verification()
    normalisations: tuple[Version, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether it does not go on by itself: it is stopped, complete or damaged."""
        return self.state in ("stopped", "complete", "damaged")

    def spec_for(self, genome: Genome) -> spec_pb2.ExperimentSpec:
        """The spec under which one individual plays: where the run normalises observations, with its numbers.

        Raises:
            ValueError: if the genome names a version of them that the master did not tell.
        """
        return played_under(self.spec, of_genome(genome, self.normalisations))

    def spec_at(self, epoch: int) -> spec_pb2.ExperimentSpec:
        """The same for the centre of an evolution strategy after so many updates."""
        return played_under(self.spec, of_epoch(epoch, self.normalisations))

    @property
    def differing_share(self) -> float | None:
        """Share of the children that act differently from their parents; None before any was compared."""
        return self.different_children / self.compared_children if self.compared_children else None

    @classmethod
    def of(cls, message: experiment_pb2.Experiment) -> Experiment:
        """Read the message."""
        return cls(
            number=message.number,
            name=message.spec.name,
            spec=message.spec,
            state=_state(message.state),
            created=message.created.ToDatetime(tzinfo=UTC),
            evaluations=message.evaluations,
            episodes=message.episodes,
            frames=message.frames,
            steps=message.steps,
            running_s=message.running_s,
            frames_per_second=message.frames_per_second,
            evaluations_per_second=message.evaluations_per_second,
            fitness_quantiles=tuple(message.fitness_quantiles),
            best_fitness=message.best_fitness if message.HasField("best_fitness") else None,
            champion=Individual.of(message.champion) if message.HasField("champion") else None,
            population=message.population,
            lineage_depth=message.lineage_depth,
            leased=message.leased,
            workers=message.workers,
            leases_lost=message.leases_lost,
            epochs=message.epochs,
            centre_digest=message.centre_digest,
            checkpoints_wanted=message.checkpoints_wanted,
            trouble=message.trouble,
            failed=message.failed,
            set_aside=tuple(map(Unscored.of, message.set_aside)),
            unable=message.unable,
            kernels=tuple(message.kernels),
            cap_frames=message.cap_frames,
            compared_cap_frames=message.compared_cap_frames,
            best_cap_frames=message.best_cap_frames,
            workers_wanted=message.workers_wanted,
            compared_children=message.compared_children,
            different_children=message.different_children,
            verification=Verification.of(message.verification),
            normalisations=read_versions(message.normalisations),
        )


def _state(value: experiment_pb2.ExperimentState.ValueType) -> State:
    """Raises ValueError for a state that this build does not know."""
    return cast("State", experiment_pb2.ExperimentState.Name(value).removeprefix("EXPERIMENT_STATE_").lower())


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """A point of a run's curve; quantiles are 0, 10, 50, 90 and 100 per cent of the population's fitness."""

    evaluations: int
    frames: int
    running_s: float
    fitness_quantiles: tuple[float, ...]
    champion_mean: float | None

    @classmethod
    def of(cls, message: experiment_pb2.HistoryPoint) -> HistoryPoint:
        """Read the message."""
        return cls(
            evaluations=message.evaluations,
            frames=message.frames,
            running_s=message.running_s,
            fitness_quantiles=tuple(message.fitness_quantiles),
            champion_mean=message.champion_mean if message.HasField("champion_mean") else None,
        )


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as the master sees it; the attributes are those of the message of this name."""

    worker_id: str
    device: str
    slots: int
    leased: int
    evaluations: int
    busy_share: float
    frames_per_second: float
    connected: datetime
    trouble: str = ""
    stage_shares: tuple[float, ...] = ()

    @classmethod
    def of(cls, message: experiment_pb2.Worker) -> Worker:
        """Read the message."""
        return cls(
            worker_id=message.worker_id,
            device=message.device,
            slots=message.slots,
            leased=message.leased,
            evaluations=message.evaluations,
            busy_share=message.busy_share,
            frames_per_second=message.frames_per_second,
            connected=message.connected.ToDatetime(tzinfo=UTC),
            trouble=message.trouble,
            stage_shares=tuple(message.stage_shares),
        )


@dataclass(frozen=True, slots=True)
class QuarantinedWorker:
    """A worker that was proven wrong, by name: what proves it, and since when it gets no work."""

    worker_id: str
    reason: str
    since: datetime

    @classmethod
    def of(cls, message: experiment_pb2.QuarantinedWorker) -> QuarantinedWorker:
        """Read the message."""
        return cls(message.worker_id, message.reason, message.since.ToDatetime(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An evolution strategy's stored centre.

    Attributes:
        epoch: updates applied.
        digest: of the weights.
        data: a safetensors file.
    """

    epoch: int
    digest: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a damaged experiment.

    Attributes:
        experiment: as it stands now.
        kept_entries: entries of its journal that could be read, and
        lost_entries: those behind them, which are forgotten.
    """

    experiment: Experiment
    kept_entries: int
    lost_entries: int

    @classmethod
    def of(cls, message: experiment_pb2.RepairExperimentResponse) -> Repaired:
        """Read the message."""
        return cls(Experiment.of(message.experiment), message.kept_entries, message.lost_entries)
