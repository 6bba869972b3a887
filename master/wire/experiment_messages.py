"""Between experiments as the master knows them and the messages that people get."""

from __future__ import annotations

import math
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from germline.algorithms.base import Champion
from germline.algorithms.centres import MeasuredCentre
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.map_elites import MapElites
from germline.algorithms.window import Member
from germline.genome import Genome
from germline.spec.normalised import write_versions
from germline.statistics import half_width
from germline.v1 import experiment_pb2, spec_pb2
from master.centres.centre import Centre
from master.experiments.eggroll_search import EggrollSearch
from master.experiments.events import Quarantined
from master.experiments.experiment import Experiment
from master.experiments.happenings import Happenings
from master.experiments.own import OwnWork
from master.experiments.progress import QUANTILES, Point
from master.experiments.registry import Damaged
from master.experiments.workers import kernel_families
from master.work.checks import Checks
from master.work.fleet import Session
from master.work.statements import Outcome

_MAX_UINT64 = 2**64 - 1


def write_experiment(experiment: Experiment) -> experiment_pb2.Experiment:
    """An experiment as it stands, without what only the fleet knows."""
    progress = experiment.progress
    evaluations_per_second, frames_per_second = experiment.rates.per_second(
        progress.evaluations, progress.frames
    )
    leases = experiment.pending_work.leases
    message = experiment_pb2.Experiment(
        number=experiment.number,
        spec=experiment.settings.spec,
        state=experiment_pb2.ExperimentState.ValueType(int(experiment.standing.known)),
        created=_timestamp(experiment.created.time),
        evaluations=progress.evaluations,
        episodes=progress.episodes,
        frames=min(progress.frames, _MAX_UINT64),
        steps=min(progress.steps, _MAX_UINT64),
        running_s=progress.running_s,
        frames_per_second=frames_per_second,
        evaluations_per_second=evaluations_per_second,
        fitness_quantiles=experiment.search.fitness_quantiles(QUANTILES),
        best_fitness=progress.best_fitness,
        best_cap_frames=progress.best_cap,
        leased=len(leases),
        workers=len(leases.holders()),
        leases_lost=leases.expired + leases.returned,
        failed=progress.failed,
        kernels=kernel_families(experiment.workers.values(), experiment.settings.spec),
        set_aside=[experiment_pb2.Unscored(**each._asdict()) for each in progress.set_aside],
        normalisations=write_versions(experiment.normalisations),
    )
    if experiment.own is not None:
        _write_own(message, experiment.own)
    elif experiment.centre is None:
        _write_individuals(message, experiment.algorithm)
    else:
        _write_centre(message, experiment, experiment.centre)
    return message


def write_verification(checks: Checks, note: str) -> experiment_pb2.Verification:
    """What came of results that were played again."""
    return experiment_pb2.Verification(
        **{outcome.value: checks.outcomes[outcome] for outcome in Outcome},
        pending=len(checks),
        frames=min(checks.frames, _MAX_UINT64),
        note=note,
    )


def write_quarantined(quarantined: Quarantined) -> experiment_pb2.QuarantinedWorker:
    """A worker that was proven wrong."""
    return experiment_pb2.QuarantinedWorker(
        worker_id=quarantined.worker_id, reason=quarantined.reason, since=_timestamp(quarantined.time)
    )


def write_happened(happened: Happenings, after: int, limit: int) -> experiment_pb2.ListEventsResponse:
    """A page of what happened, behind the one of this number."""
    page = [each for each in happened if each.number > after][: limit + 1]
    message = experiment_pb2.ListEventsResponse(happened=happened.count)
    for number, kind, text, time, evaluations, frames, running_s in page[:limit]:
        event = message.events.add(
            number=number, kind=experiment_pb2.EventKind.ValueType(kind), text=text,
            evaluations=evaluations, frames=min(frames, _MAX_UINT64), running_s=running_s,
        )  # fmt: skip
        if time:
            event.time.CopyFrom(_timestamp(time))
    if len(page) > limit:
        message.next = page[limit - 1].number
    return message


def write_damaged(damaged: Damaged) -> experiment_pb2.Experiment:
    """What is left of an experiment that cannot be read."""
    return experiment_pb2.Experiment(
        number=damaged.number,
        spec=spec_pb2.ExperimentSpec(name=damaged.name),
        state=experiment_pb2.EXPERIMENT_STATE_DAMAGED,
        trouble=damaged.reason,
    )


def _write_individuals(message: experiment_pb2.Experiment, algorithm: GeneticAlgorithm) -> None:
    """What a genetic algorithm shows: its population and its champion."""
    message.population = algorithm.population_size
    message.lineage_depth = algorithm.lineage_depth
    message.cap_frames = algorithm.cap_frames
    message.compared_children = algorithm.likeness.compared
    message.different_children = algorithm.likeness.different
    message.compared_cap_frames = algorithm.compared_cap_frames
    if algorithm.champion is not None:
        message.champion.CopyFrom(write_champion(algorithm.champion, algorithm))


def _write_own(message: experiment_pb2.Experiment, own: OwnWork) -> None:
    """What a run shows whose workers bring the arithmetic."""
    message.population = own.run.population
    message.epochs = max(own.run.updates, 0)
    message.centre_digest = own.kept.digest if own.kept is not None else ""
    message.leased = sum(own.lent.values())
    message.workers = len(own.workers)


def _write_centre(message: experiment_pb2.Experiment, experiment: Experiment, centre: Centre) -> None:
    """What an evolution strategy shows: its epochs, and its best measured centre for a champion."""
    message.epochs = centre.closed_epochs
    message.centre_digest = centre.digest
    message.checkpoints_wanted = len(centre.wanted)
    search = experiment.search
    if isinstance(search, EggrollSearch):
        message.population = 2 * search.algorithm.settings.pairs
        if search.algorithm.best is not None:
            message.champion.CopyFrom(write_best_centre(search.algorithm.best, centre))


def write_best_centre(best: MeasuredCentre, centre: Centre) -> experiment_pb2.Individual:
    """The best measured centre. Its id is its digest, once stored; its line is as long as its epochs."""
    stored = centre.best if centre.best is not None and centre.best.epoch == best.epoch else None
    individual = experiment_pb2.Individual(
        id=int(stored.digest, 16) if stored else 0,
        fitness=best.mean,
        validated_mean=best.mean,
        validation_episodes=best.episodes,
        title_episodes=best.deciding_episodes,
        start_returns=best.returns,
        mutations=best.epoch,
    )
    if not best.returns:
        _write_half_width(individual, half_width(best.standard_error, best.episodes))
    return individual


def write_champion(champion: Champion, algorithm: GeneticAlgorithm) -> experiment_pb2.Individual:
    """The champion, without its genome."""
    member = algorithm.member(champion.genome.id)
    if member is not None:
        return _member(member, champion)
    return _individual(champion.genome, champion.known_mean, champion)


def write_population(
    experiment: Experiment, limit: int, *, with_genomes: bool
) -> list[experiment_pb2.Individual]:
    """The best members, best first; none where members live for an epoch."""
    if experiment.centre is not None or experiment.own is not None:
        return []
    algorithm = experiment.algorithm
    best = algorithm.best(limit)
    individuals = [_member(member) for member in best]
    if isinstance(algorithm, MapElites):
        for member, individual in zip(best, individuals, strict=True):
            individual.cell = algorithm.cell_of(member)
    if with_genomes:
        for member, individual in zip(best, individuals, strict=True):
            individual.genome = member.genome.encode()
    return individuals


def write_individual(experiment: Experiment, wanted: int | None) -> experiment_pb2.Individual | None:
    """One individual; without an id the leader. None if it is not known."""
    if experiment.own is not None:
        return None
    if experiment.centre is None:
        return _write_genome(experiment.algorithm, wanted)
    message = experiment_pb2.Experiment()
    _write_centre(message, experiment, experiment.centre)
    found = message.HasField("champion") and wanted in (None, message.champion.id)
    return message.champion if found else None


def _write_genome(algorithm: GeneticAlgorithm, individual_id: int | None) -> experiment_pb2.Individual | None:
    """One individual of a genetic algorithm, with its genome."""
    champion = algorithm.champion
    leader = algorithm.leader()
    if individual_id is None and leader is None:
        return None
    wanted = leader.genome.id if individual_id is None and leader is not None else individual_id
    if champion is not None and champion.genome.id == wanted:
        individual, genome = write_champion(champion, algorithm), champion.genome
    else:
        found = algorithm.member(wanted) if wanted is not None else None
        genome_only = algorithm.find(wanted) if found is None and wanted is not None else None
        if found is not None:
            individual, genome = _member(found), found.genome
        elif leader is not None and leader.genome.id == wanted:  # on trial, and no member any more
            individual, genome = _individual(leader.genome, leader.known_mean, None), leader.genome
        elif genome_only is not None:
            individual, genome = _individual(genome_only, float("nan"), None), genome_only
        else:
            return None
    individual.genome = genome.encode()
    return individual


def write_history(points: Sequence[Point]) -> experiment_pb2.GetHistoryResponse:
    """The curve of a run."""
    return experiment_pb2.GetHistoryResponse(
        points=[
            experiment_pb2.HistoryPoint(
                evaluations=point.evaluations,
                frames=min(point.frames, _MAX_UINT64),
                running_s=point.running_s,
                fitness_quantiles=point.fitness_quantiles,
                champion_mean=point.champion_mean,
            )
            for point in points
        ]
    )


def write_worker(session: Session, leased: int, trouble: str) -> experiment_pb2.Worker:
    """A worker as the master sees it."""
    return experiment_pb2.Worker(
        worker_id=session.identity.worker_id,
        device=session.identity.device,
        slots=session.slots,
        leased=leased,
        evaluations=session.evaluations,
        busy_share=session.busy_share,
        frames_per_second=session.frames_per_second,
        connected=_timestamp(session.connected),
        trouble=trouble,
        stage_shares=session.stage_shares,
    )


def write_own_workers(own: OwnWork) -> list[experiment_pb2.Worker]:
    """The workers of a run that bring its arithmetic: their room, and the members that they hold."""
    return [
        experiment_pb2.Worker(
            worker_id=worker,
            device="own",
            slots=room,
            leased=own.lent.get(worker, 0),
            evaluations=own.told[worker],
            busy_share=float(worker in own.lent),
            connected=_timestamp(own.since[worker]),
        )
        for worker, room in own.workers.items()
    ]


def _member(member: Member, champion: Champion | None = None) -> experiment_pb2.Individual:
    """A member of the population."""
    individual = _individual(member.genome, member.fitness, champion)
    individual.cap_frames = member.cap_frames
    individual.fitness_episodes = member.episodes
    individual.behaviour = member.behaviour
    return individual


def _individual(genome: Genome, fitness: float, champion: Champion | None) -> experiment_pb2.Individual:
    individual = experiment_pb2.Individual(id=genome.id, fitness=fitness, mutations=len(genome))
    if champion is not None and champion.validated:
        individual.title_episodes = champion.title_episodes
    if champion is not None and champion.validated and champion.episodes:
        individual.validated_mean = champion.mean
        individual.validation_episodes = champion.episodes
        individual.start_returns.extend(champion.returns)
        if not champion.returns:
            _write_half_width(individual, half_width(champion.standard_error, champion.episodes))
    return individual


def _write_half_width(individual: experiment_pb2.Individual, half: float) -> None:
    """Half of the mean's 95 % confidence interval; absent where it is not known, or beyond all numbers."""
    if math.isfinite(half):
        individual.validated_half_width = half


def _timestamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(int(seconds * 1e9))
    return stamp
