"""From a complete spec to the plain settings of its algorithm, which knows no messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from germline.algorithms.cells import MapSettings, Ties
from germline.algorithms.centre_novelty import CentreNoveltySettings, Measured
from germline.algorithms.centre_novelty import Objective as CentreObjective
from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.ga_settings import CapSchedule, GaSettings, PowerSchedule, Replacement, Selection
from germline.algorithms.novelty_settings import NoveltySettings, Objective
from germline.genome import float32
from germline.protocol_starts import STARTS
from germline.spec.behaviour import behaviour_dimensions
from germline.spec.fields import word_of
from germline.stored_start import founder_seed
from germline.v1 import spec_pb2

_SELECTIONS: dict[int, Selection] = {
    spec_pb2.SELECTION_TRUNCATION: "truncation",
    spec_pb2.SELECTION_TOURNAMENT: "tournament",
}
_REPLACEMENTS: dict[int, Replacement] = {
    spec_pb2.REPLACEMENT_OLDEST: "oldest",
    spec_pb2.REPLACEMENT_WORST: "worst",
    spec_pb2.REPLACEMENT_DOMINATED: "dominated",
}
_POWER_SCHEDULES: dict[int, PowerSchedule] = {
    spec_pb2.POWER_SCHEDULE_CONSTANT: "constant",
    spec_pb2.POWER_SCHEDULE_LINEAR: "linear",
    spec_pb2.POWER_SCHEDULE_EXPONENTIAL: "exponential",
    spec_pb2.POWER_SCHEDULE_SELF_ADAPTED: "self_adapted",
}

_OBJECTIVES: dict[int, Objective] = {
    spec_pb2.NOVELTY_OBJECTIVE_NOVELTY: "novelty",
    spec_pb2.NOVELTY_OBJECTIVE_MIXED: "mixed",
    spec_pb2.NOVELTY_OBJECTIVE_ADAPTIVE: "adaptive",
    spec_pb2.NOVELTY_OBJECTIVE_DOMINATED: "dominated",
    spec_pb2.NOVELTY_OBJECTIVE_TIE_BREAK: "tie_break",
}

_CENTRE_OBJECTIVES: dict[int, CentreObjective] = {
    spec_pb2.CENTRE_OBJECTIVE_NOVELTY: "novelty",
    spec_pb2.CENTRE_OBJECTIVE_MIXED: "mixed",
    spec_pb2.CENTRE_OBJECTIVE_ADAPTIVE: "adaptive",
}

_TIES: dict[int, Ties] = {spec_pb2.TIES_NEWEST: "newest", spec_pb2.TIES_FIRST: "first"}

_CENTRE_MEASURED: dict[int, Measured] = {
    spec_pb2.CENTRE_MEASURED_AFTER_UPDATE: "after_update",
    spec_pb2.CENTRE_MEASURED_OWN_EPOCH: "own_epoch",
}

_CAP_SCHEDULES: dict[int, CapSchedule] = {
    spec_pb2.CAP_SCHEDULE_CONSTANT: "constant",
    spec_pb2.CAP_SCHEDULE_PROGRESSIVE: "progressive",
}


class _Common(TypedDict):
    """What the genetic algorithm and MAP-Elites say alike."""

    power: float
    power_schedule: PowerSchedule
    final_power: float | None
    power_evaluations: int | None
    power_learning_rate: float
    rank: int
    litter: int
    episodes: int
    candidates: int
    validation_episodes: int
    validation_share: float
    starts: tuple[int, ...]
    common_starts: bool
    cap_frames: int
    cap_schedule: CapSchedule
    frame_bonus: float
    normalise_observations: bool
    founder: int | None


def ga_settings(spec: spec_pb2.ExperimentSpec) -> GaSettings:
    """Settings of the genetic algorithm of a complete spec.

    Raises:
        ValueError: if they do not fit each other.
    """
    if spec.algorithm.HasField("map_elites"):
        return _map_elites_settings(spec)
    ga = spec.algorithm.ga
    return GaSettings(
        window=ga.window,
        parents=ga.parents,
        selection=_SELECTIONS[ga.selection],
        tournament_size=ga.tournament_size,
        replacement=_REPLACEMENTS[ga.replacement],
        founders=ga.founders if ga.HasField("founders") else None,
        novelty=_novelty_settings(spec) if ga.HasField("novelty") else None,
        **_common_settings(spec, ga),
    )


def _map_elites_settings(spec: spec_pb2.ExperimentSpec) -> GaSettings:
    """Those of MAP-Elites: everything but the population is the genetic algorithm's."""
    elites = spec.algorithm.map_elites
    cells = MapSettings(
        behaviour_dimensions(spec), tuple(elites.grid), elites.points, ties=_TIES[elites.ties]
    )
    return GaSettings(
        window=cells.count,
        parents=cells.count,
        founders=elites.founders,
        cells=cells,
        **_common_settings(spec, elites),
    )


def _common_settings(
    spec: spec_pb2.ExperimentSpec, breeding: spec_pb2.GeneticAlgorithm | spec_pb2.MapElites
) -> _Common:
    return _Common(
        power=float32(breeding.power),
        power_schedule=_POWER_SCHEDULES[breeding.power_schedule],
        final_power=float32(breeding.final_power) if breeding.HasField("final_power") else None,
        power_evaluations=breeding.power_evaluations if breeding.HasField("power_evaluations") else None,
        power_learning_rate=breeding.power_learning_rate,
        rank=low_rank(spec),
        litter=breeding.litter,
        episodes=spec.evaluation.episodes,
        candidates=breeding.candidates,
        validation_episodes=breeding.validation_episodes,
        validation_share=breeding.validation_share,
        starts=starts_of(spec) if breeding.candidates else (),
        common_starts=spec.evaluation.starts == spec_pb2.STARTS_COMMON,
        cap_frames=spec.evaluation.cap_frames,
        cap_schedule=_CAP_SCHEDULES[spec.evaluation.cap_schedule],
        frame_bonus=spec.evaluation.frame_bonus,
        normalise_observations=spec.policy.normalise_observations,
        founder=founder_seed(spec.policy.start) if spec.policy.HasField("start") else None,
    )


def _novelty_settings(spec: spec_pb2.ExperimentSpec) -> NoveltySettings:
    novelty = spec.algorithm.ga.novelty
    return NoveltySettings(
        dimensions=behaviour_dimensions(spec),
        objective=_OBJECTIVES[novelty.objective],
        neighbours=novelty.neighbours,
        archive_share=novelty.archive_share,
        archive_size=novelty.archive_size,
        weight=novelty.weight,
        weight_step=novelty.weight_step,
        patience=novelty.patience,
    )


def breeding_of(
    spec: spec_pb2.ExperimentSpec,
) -> spec_pb2.GeneticAlgorithm | spec_pb2.MapElites | None:
    """What says how children are made, where individuals are lines of seeds; None where they are not."""
    kind = spec.algorithm.WhichOneof("kind")
    if kind == "map_elites":
        return spec.algorithm.map_elites
    return spec.algorithm.ga if kind == "ga" else None


def starts_of(spec: spec_pb2.ExperimentSpec) -> tuple[int, ...]:
    """An episode seed for each start that the spec's protocol has; none where episodes are without end."""
    finite = spec.evaluation.starts in (spec_pb2.STARTS_AUTO, spec_pb2.STARTS_COMMON)
    if not finite or not spec.task.HasField("atari"):
        return ()
    return STARTS.get(spec.task.atari.protocol, ())


def low_rank(spec: spec_pb2.ExperimentSpec) -> int:
    """The rank of a genetic algorithm's low-rank mutations; 0 where they are dense."""
    breeding = breeding_of(spec)
    if breeding is None or breeding.mutation != spec_pb2.MUTATION_KIND_LOW_RANK:
        return 0
    return breeding.rank


def precision_of(spec: spec_pb2.ExperimentSpec) -> str:
    """The word for the precision that a complete spec is played in."""
    return word_of(spec_pb2.Precision.DESCRIPTOR, spec.evaluation.precision)


def kernels_of(libraries: Mapping[str, str], spec: spec_pb2.ExperimentSpec) -> str | None:
    """Which family of kernels plays an experiment where these libraries are; None where all play alike."""
    precision = spec.evaluation.precision
    if precision == spec_pb2.PRECISION_INT8 or spec.task.HasField("function"):
        return None
    return libraries.get(f"kernels {precision_of(spec)}")


def eggroll_settings(spec: spec_pb2.ExperimentSpec) -> EggrollSettings:
    """Settings of the bookkeeping of a complete spec's evolution strategy; workers move the centre.

    Raises:
        ValueError: if they do not fit each other.
    """
    eggroll = spec.algorithm.eggroll
    return EggrollSettings(
        pairs=eggroll.pairs,
        slice_pairs=eggroll.slice_pairs,
        episodes=spec.evaluation.episodes,
        close_share=eggroll.close_share,
        validation_epochs=eggroll.validation_epochs,
        validation_episodes=eggroll.validation_episodes,
        reported_episodes=eggroll.reported_episodes,
        starts=starts_of(spec) if eggroll.reported_episodes else (),
        novelty=_centre_novelty(spec) if eggroll.HasField("novelty") else None,
        normalise_observations=spec.policy.normalise_observations,
    )


def _centre_novelty(spec: spec_pb2.ExperimentSpec) -> CentreNoveltySettings:
    novelty = spec.algorithm.eggroll.novelty
    return CentreNoveltySettings(
        dimensions=behaviour_dimensions(spec),
        objective=_CENTRE_OBJECTIVES[novelty.objective],
        centres=novelty.centres,
        neighbours=novelty.neighbours,
        archive_size=novelty.archive_size,
        weight=novelty.weight,
        weight_step=novelty.weight_step,
        patience=novelty.patience,
        measured=_CENTRE_MEASURED[novelty.measured],
    )
