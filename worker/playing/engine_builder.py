"""Builds the engine that a spec asks for, on this machine's device."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
from google.protobuf.message import Message

from germline.card import read_line
from germline.policy_versions import VERSIONS
from germline.shaping import ShapingName
from germline.spec import behaviour_dimensions, low_rank, unknown_settings
from germline.spec.behaviour import bounds
from germline.spec.normalised import numbers_of
from germline.v1 import spec_pb2
from worker.allowed_code import NOTHING_MORE, AllowedCode
from worker.centres.first_centre import CentreSettings, build_evolving
from worker.playing.engine import Engine
from worker.playing.engines import build_engine
from worker.playing.lease_work import LeaseKey
from worker.playing.normaliser import NormaliserSettings, Versions
from worker.playing.patience import Patience
from worker.playing.playable import EngineSettings, code_named_by
from worker.plugins import values
from worker.tasks.base import SetupError

logger = logging.getLogger(__name__)

_OPTIMISERS: dict[int, str] = {
    spec_pb2.OPTIMISER_SGD: "sgd",
    spec_pb2.OPTIMISER_MOMENTUM: "momentum",
    spec_pb2.OPTIMISER_ADAM: "adam",
    spec_pb2.OPTIMISER_ADAMW: "adamw",
}
_SHAPINGS: dict[int, ShapingName] = {
    spec_pb2.SHAPING_CENTRED_RANK: "centred_rank",
    spec_pb2.SHAPING_Z_SCORE: "z_score",
    spec_pb2.SHAPING_PAIR_SIGN: "pair_sign",
}
_PRECISIONS = {
    spec_pb2.PRECISION_FLOAT32: "float32",
    spec_pb2.PRECISION_BFLOAT16: "bfloat16",
    spec_pb2.PRECISION_INT8: "int8",
}


@dataclass(frozen=True, slots=True)
class EngineBuilder:
    """What engines on this machine have in common."""

    device: torch.device
    slots: int | None = None
    """Evaluations to play at a time; None sizes them from memory and cores."""
    cache_bytes: int = 256 << 20
    """Bound on the memory for parents' weights, per experiment."""
    allowed_code: AllowedCode = NOTHING_MORE
    """What specs may have imported here."""

    def build(self, spec: spec_pb2.ExperimentSpec, versions: Versions | None = None) -> Engine[LeaseKey]:
        """Build the engine that plays an experiment; `versions` say by what it normalises, if it learns that.

        Raises:
            SetupError: if this worker cannot play it; the message says why.
        """
        later = [str(problem) for problem in unknown_settings(spec)]
        if later:
            raise SetupError(f"{'; '.join(later)}; this worker is too old for the experiment")
        algorithm = spec.algorithm.WhichOneof("kind")
        if algorithm not in ("ga", "map_elites", "eggroll"):
            allowed = "'ga', 'map_elites' and 'eggroll'"
            raise SetupError(f"algorithm is {algorithm!r}; this worker plays {allowed}")
        settings = _learning(engine_settings(spec), versions)
        if refused := self.allowed_code.why_not(code_named_by(settings)):
            raise SetupError(refused)
        if settings.precision == "bfloat16" and not has_bfloat16(self.device):
            raise SetupError(f"evaluation.precision is 'bfloat16', which {self.device} does not have")
        if algorithm == "eggroll":
            return build_evolving(settings, centre_settings(spec), device=self.device, slots=self.slots)
        logger.info(
            "experiment %s: up to %d MiB of parents' weights, for it alone (cache_mib)",
            spec.name,
            self.cache_bytes >> 20,
        )
        return build_engine(settings, device=self.device, slots=self.slots, cache_bytes=self.cache_bytes)


def engine_settings(spec: spec_pb2.ExperimentSpec) -> EngineSettings:
    """The part of a spec that says what playing means, as plain values.

    Raises:
        SetupError: if the spec is of a later version and says what this one does not know.
    """
    kind = spec.task.WhichOneof("kind")
    if kind is None:
        raise SetupError("task is of a kind that this worker does not know; it may be too old")
    precision = _PRECISIONS.get(spec.evaluation.precision)
    if precision is None:
        allowed = ", ".join(_PRECISIONS.values())
        raise SetupError(f"evaluation.precision is {spec.evaluation.precision}; allowed: {allowed}")
    task, arguments = _task(kind, spec.task)
    if spec.HasField("behaviour") and kind != "plugin":  # which has measures of its own
        arguments["behaviour"] = _behaviour(spec)
    return EngineSettings(
        task=task,
        task_arguments=arguments,
        policy=spec.policy.name,
        hidden=tuple(spec.policy.hidden),
        policy_arguments=values(spec.policy.arguments),
        episodes=spec.evaluation.episodes,
        precision=precision,
        rank=low_rank(spec),
        max_episode_s=max_episode_s(spec),
        policy_version=spec.policy.version or (1 if spec.policy.name in VERSIONS else None),
        dimensions=behaviour_dimensions(spec),
        bounds=tuple(bounds(spec)),
        normalisation=NormaliserSettings(numbers_of(spec), spec.policy.normalise_observations),
        start=spec.policy.start,
    )


def _learning(settings: EngineSettings, versions: Versions | None) -> EngineSettings:
    return replace(settings, normalisation=settings.normalisation._replace(versions=versions))


def patience_with(spec: spec_pb2.ExperimentSpec) -> Patience:
    """How long a step of an experiment may take."""
    return Patience(max_episode_s(spec), alike=spec.task.WhichOneof("kind") in ("atari", "gym"))


def max_episode_s(spec: spec_pb2.ExperimentSpec) -> float:
    """How long one episode may take; specs of earlier builds say nothing, and set no limit."""
    return spec.evaluation.max_episode_s or math.inf


def centre_settings(spec: spec_pb2.ExperimentSpec) -> CentreSettings:
    """The part of an evolution strategy's spec that shapes its centre, as plain values.

    Raises:
        SetupError: if the spec is of a later version and says what this one does not know.
    """
    eggroll = spec.algorithm.eggroll
    if eggroll.optimiser not in _OPTIMISERS or eggroll.shaping not in _SHAPINGS:
        raise SetupError("algorithm.eggroll has an optimiser or a shaping that this worker is too old for")
    return CentreSettings(
        seed=spec.seed,
        pairs=eggroll.pairs,
        rank=eggroll.rank,
        sigma=eggroll.sigma,
        sigma_decay=eggroll.sigma_decay,
        optimiser=_OPTIMISERS[eggroll.optimiser],
        learning_rate=eggroll.learning_rate,
        learning_rate_decay=eggroll.learning_rate_decay,
        momentum=eggroll.momentum,
        weight_decay=eggroll.weight_decay,
        shaping="weighted_ranks" if eggroll.HasField("novelty") else _SHAPINGS[eggroll.shaping],
        centres=eggroll.novelty.centres if eggroll.HasField("novelty") else 1,
        noise_reuse=eggroll.noise_reuse,
        measured_every=eggroll.validation_epochs,
        checkpoint_every=eggroll.checkpoint_epochs,
        start=read_line(eggroll.start) if eggroll.HasField("start") else None,
    )


def _task(kind: str, task: spec_pb2.Task) -> tuple[str, dict[str, object]]:
    """The task's registered name and its arguments: the fields of its message that are set."""
    if kind == "plugin":
        return task.plugin.name, values(task.plugin.arguments)
    return kind, dict(_fields(cast(Message, getattr(task, kind))))


def _fields(message: Message) -> Iterator[tuple[str, object]]:
    for field, value in message.ListFields():
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        yield field.name, values(value) if is_map else value


def _behaviour(spec: spec_pb2.ExperimentSpec) -> dict[str, object]:
    """What a task of this package is told of the behaviour that is asked for, in plain values."""
    said = spec.behaviour
    found: dict[str, object] = {"descriptor": said.descriptor}
    if said.indices:
        found["indices"] = list(said.indices)
    if said.HasField("every_steps"):
        found["every_steps"] = said.every_steps
    if pairs := bounds(spec):
        found |= {"low": [low for low, _ in pairs], "high": [high for _, high in pairs]}
    return found


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    try:
        torch.zeros(1, dtype=torch.bfloat16, device=device).add_(1)
    except (RuntimeError, TypeError):
        return False
    return True
