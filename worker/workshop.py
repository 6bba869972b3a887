"""Builds the engine that a spec asks for, on this machine's device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from google.protobuf.message import Message

from germline.v1 import spec_pb2
from worker.build import EngineSettings, build_engine
from worker.plugins import values
from worker.rollout import Engine
from worker.tasks.base import SetupError

_PRECISIONS = {spec_pb2.PRECISION_FLOAT32: "float32", spec_pb2.PRECISION_BFLOAT16: "bfloat16"}


@dataclass(frozen=True, slots=True)
class Workshop:
    """What engines on this machine have in common."""

    device: torch.device
    slots: int | None = None
    """Evaluations to play at a time; None sizes them from memory and cores."""
    cache_bytes: int = 256 << 20
    """Bound on the memory for parents' weights, per experiment."""

    def build(self, spec: spec_pb2.ExperimentSpec) -> Engine:
        """Build the engine that plays an experiment.

        Raises:
            SetupError: if this worker cannot play it; the message says why.
        """
        algorithm = spec.algorithm.WhichOneof("kind")
        if algorithm != "ga":
            raise SetupError(f"algorithm is {algorithm!r}; this worker plays only 'ga'")
        settings = engine_settings(spec)
        if settings.precision == "bfloat16" and not has_bfloat16(self.device):
            raise SetupError(f"evaluation.precision is 'bfloat16', which {self.device} does not have")
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
        raise SetupError(f"evaluation.precision is {spec.evaluation.precision}; allowed: float32, bfloat16")
    task, arguments = _task(kind, spec.task)
    return EngineSettings(
        task=task,
        task_arguments=arguments,
        policy=spec.policy.name,
        hidden=tuple(spec.policy.hidden),
        policy_arguments=values(spec.policy.arguments),
        episodes=spec.evaluation.episodes,
        precision=precision,
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


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    try:
        torch.zeros(1, dtype=torch.bfloat16, device=device).add_(1)
    except (RuntimeError, TypeError):
        return False
    return True
