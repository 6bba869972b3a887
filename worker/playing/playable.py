"""What an experiment's spec says about playing, and the task and the policy that come of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import nn

from germline import stored_start, weights
from worker.networks.forward.integer_plan import integer_plan
from worker.networks.policies.build import make_policy
from worker.playing.normaliser import AS_SHOWN, NormaliserSettings
from worker.plugins import make_task
from worker.tasks.base import ContinuousActions, EpisodicTask, SetupError, Task, WeightsTask

PRECISIONS = ("float32", "bfloat16", "int8")
MOST_ROWS = 32


@dataclass(frozen=True)
class EngineSettings:
    """What an experiment's spec says about playing, as plain values.

    Attributes:
        task: "atari", "gym", "function" or a plug-in's name.
        task_arguments: the task's fields, by name.
        policy: the policy's name or import path.
        hidden: widths of hidden layers.
        policy_arguments: more arguments of the policy.
        policy_version: of a policy that has several; None: the newest.
        episodes: episodes of one evaluation.
        precision: "float32", "bfloat16" or "int8".
        rank: of low-rank mutations, whose children share their parents' arithmetic; 0: dense ones.
        max_episode_s: how long one episode may take; what takes longer cannot be scored.
        dimensions: numbers of an evaluation's behaviour; 0: nothing is said of it.
        bounds: the lowest and highest value of each of them; empty: as the task says.
        normalisation: whether networks see normalised observations.
        start: digest of the weights that every line starts from; empty: founders are drawn from seeds.
    """

    task: str
    policy: str
    task_arguments: Mapping[str, object] = field(default_factory=dict)
    hidden: tuple[int, ...] = ()
    policy_arguments: Mapping[str, object] = field(default_factory=dict)
    episodes: int = 1
    precision: str = "float32"
    rank: int = 0
    max_episode_s: float = math.inf
    policy_version: int | None = None
    dimensions: int = 0
    bounds: tuple[tuple[float, float], ...] = ()
    normalisation: NormaliserSettings = AS_SHOWN
    start: str = ""

    @property
    def rows(self) -> int:
        """Episodes that one network plays at a time."""
        return min(max(self.episodes, 1), MOST_ROWS)


class Playable(NamedTuple):
    """A task, and a policy that fits it."""

    task: Task
    policy: nn.Module


def playable(settings: EngineSettings, task: Task | None = None) -> Playable:
    """Build what an experiment plays: its task, unless the caller made one, and its policy.

    Raises:
        SetupError: if something in the settings is unknown or does not fit; the message names the field.
    """
    if settings.precision not in PRECISIONS:
        raise SetupError(f"evaluation.precision is {settings.precision!r}; allowed: {', '.join(PRECISIONS)}")
    task = task or make_task(settings.task, settings.task_arguments)
    if isinstance(task, EpisodicTask):
        settings.normalisation.check(task.spaces)
    policy = make_policy(
        settings.policy,
        task,
        hidden=settings.hidden,
        arguments=settings.policy_arguments,
        precision=settings.precision,
        version=settings.policy_version,
    )
    if settings.precision == "int8":
        _check_integers(settings.policy, task, policy)
    if settings.start:
        _start_from(policy, settings.start)
    return Playable(task, policy)


def _start_from(policy: nn.Module, digest: str) -> None:
    """Let every line start from stored weights."""
    try:
        tensors = load_tensors(stored_start.get(digest))
        weights.start_from(policy, stored_start.founder_seed(digest), tensors)
    except (ValueError, SafetensorError) as error:
        raise SetupError(f"policy.start is {digest!r}: {error}") from error


def _check_integers(name: str, task: Task, policy: nn.Module) -> None:
    """Refuse what no contract of whole numbers covers."""
    if isinstance(task, WeightsTask) or isinstance(task.spaces.actions, ContinuousActions):
        raise SetupError("evaluation.precision is 'int8', which chooses between actions; the task has none")
    if integer_plan(policy) is None:
        raise SetupError(
            f"evaluation.precision is 'int8', which plays plain lines of layers (dqn2015, uber2018, "
            f"motion, mlp, linear); policy.name is {name!r}"
        )


def code_named_by(settings: EngineSettings) -> Iterator[tuple[str, str]]:
    """Every import path in a spec: the field where it stands, and what it says.

    These are a policy's, a function's, and the module before the colon of an environment's id.
    """
    if ":" in settings.policy:
        yield "policy.name", settings.policy
    if settings.task == "function":
        yield "task.function.path", str(settings.task_arguments.get("path", ""))
    if settings.task == "gym":
        yield from _environments(settings.task_arguments)


def _environments(arguments: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The id, and the id of another environment that Gymnasium's compatibility environments take."""
    inner = arguments.get("arguments")
    other = inner.get("env_id") if isinstance(inner, Mapping) else None
    for where, found in (("task.gym.id", arguments.get("id")), ("task.gym.arguments.env_id", other)):
        if ":" in str(found):
            yield where, str(found)
