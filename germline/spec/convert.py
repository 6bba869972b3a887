"""From a complete spec to the plain settings of its algorithm, which knows no messages."""

from __future__ import annotations

from collections.abc import Mapping

from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.ga_settings import CapSchedule, GaSettings, PowerSchedule, Replacement, Selection
from germline.genome import float32
from germline.protocol_starts import STARTS
from germline.spec.fields import word_of
from germline.v1 import spec_pb2

_SELECTIONS: dict[int, Selection] = {
    spec_pb2.SELECTION_TRUNCATION: "truncation",
    spec_pb2.SELECTION_TOURNAMENT: "tournament",
}
_REPLACEMENTS: dict[int, Replacement] = {
    spec_pb2.REPLACEMENT_OLDEST: "oldest",
    spec_pb2.REPLACEMENT_WORST: "worst",
}
_POWER_SCHEDULES: dict[int, PowerSchedule] = {
    spec_pb2.POWER_SCHEDULE_CONSTANT: "constant",
    spec_pb2.POWER_SCHEDULE_LINEAR: "linear",
    spec_pb2.POWER_SCHEDULE_EXPONENTIAL: "exponential",
    spec_pb2.POWER_SCHEDULE_SELF_ADAPTED: "self_adapted",
}

_CAP_SCHEDULES: dict[int, CapSchedule] = {
    spec_pb2.CAP_SCHEDULE_CONSTANT: "constant",
    spec_pb2.CAP_SCHEDULE_PROGRESSIVE: "progressive",
}


def ga_settings(spec: spec_pb2.ExperimentSpec) -> GaSettings:
    """Settings of the genetic algorithm of a complete spec.

    Raises:
        ValueError: if they do not fit each other.
    """
    ga = spec.algorithm.ga
    return GaSettings(
        window=ga.window,
        parents=ga.parents,
        selection=_SELECTIONS[ga.selection],
        tournament_size=ga.tournament_size,
        replacement=_REPLACEMENTS[ga.replacement],
        founders=ga.founders if ga.HasField("founders") else None,
        power=float32(ga.power),
        power_schedule=_POWER_SCHEDULES[ga.power_schedule],
        final_power=float32(ga.final_power) if ga.HasField("final_power") else None,
        power_evaluations=ga.power_evaluations if ga.HasField("power_evaluations") else None,
        power_learning_rate=ga.power_learning_rate,
        rank=low_rank(spec),
        litter=ga.litter,
        episodes=spec.evaluation.episodes,
        candidates=ga.candidates,
        validation_episodes=ga.validation_episodes,
        validation_share=ga.validation_share,
        starts=starts_of(spec) if ga.candidates else (),
        common_starts=spec.evaluation.starts == spec_pb2.STARTS_COMMON,
        cap_frames=spec.evaluation.cap_frames,
        cap_schedule=_CAP_SCHEDULES[spec.evaluation.cap_schedule],
        frame_bonus=spec.evaluation.frame_bonus,
    )


def starts_of(spec: spec_pb2.ExperimentSpec) -> tuple[int, ...]:
    """An episode seed for each start that the spec's protocol has; none where episodes are without end."""
    finite = spec.evaluation.starts in (spec_pb2.STARTS_AUTO, spec_pb2.STARTS_COMMON)
    if not finite or not spec.task.HasField("atari"):
        return ()
    return STARTS.get(spec.task.atari.protocol, ())


def low_rank(spec: spec_pb2.ExperimentSpec) -> int:
    """The rank of a genetic algorithm's low-rank mutations; 0 where they are dense."""
    ga = spec.algorithm.ga
    return ga.rank if ga.mutation == spec_pb2.MUTATION_KIND_LOW_RANK else 0


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
    )
