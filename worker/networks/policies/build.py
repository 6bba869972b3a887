"""Builds the policy that a spec names, and refuses one that does not fit the task."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from germline.starts import watched
from germline.weights import Layout
from worker.networks.policies.vector import Vector
from worker.plugins import POLICIES, described, imported, registered
from worker.tasks.base import SetupError, Spaces, Task, WeightsTask


def make_policy(
    name: str, task: Task, *, hidden: Sequence[int] = (), arguments: Mapping[str, object] | None = None
) -> nn.Module:
    """Build a policy for a task.

    A class is called with its `arguments`, and with `observation_shape`, `outputs` and `hidden` where it
    takes them.

    Args:
        name: an entry point of ``germline.policies``, "vector", or the import path of a torch module's class.
        task: what it is to play.
        hidden: widths of hidden layers, if the policy takes them.
        arguments: more keyword arguments of the class.

    Raises:
        SetupError: if there is no such policy, it cannot be built, or does not fit the task.
    """
    if isinstance(task, WeightsTask):
        if name != "vector":
            raise SetupError(f'policy.name is {name!r}; a function task allows only "vector"')
        return Vector(dimension=task.dimension)
    kind = _policy_class(name)
    keywords = _keywords(name, kind, task.spaces, hidden, dict(arguments or {}))
    policy = _built(name, kind, keywords, task.spaces)
    _check_fit(name, policy, task.spaces)
    return policy


def _policy_class(name: str) -> type[nn.Module]:
    """The class that a name means; it is looked at, and not called yet."""
    kind = imported("policy.name", name) if ":" in name else registered(POLICIES, "policy.name", name)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise SetupError(f"policy.name is {name!r}, which names {kind!r}; allowed: a torch module's class")
    return kind


def _keywords(
    name: str, kind: type[nn.Module], spaces: Spaces, hidden: Sequence[int], arguments: dict[str, object]
) -> dict[str, object]:
    """What the class is called with."""
    offered: dict[str, object] = {
        "observation_shape": spaces.observation_shape,
        "outputs": spaces.actions.outputs,
    }
    if hidden:
        offered["hidden"] = tuple(hidden)
    taken = inspect.signature(kind).parameters
    if hidden and "hidden" not in taken:
        raise SetupError(f"policy.hidden is {list(hidden)}, but {name!r} has no such setting; leave it out")
    return {key: value for key, value in offered.items() if key in taken} | arguments


def _built(name: str, kind: type[nn.Module], keywords: dict[str, object], spaces: Spaces) -> nn.Module:
    """The policy, with how its parameters start; lazy layers take their shapes from a first look."""

    def make() -> nn.Module:
        policy = _constructed(name, kind, keywords).eval()
        if any(map(is_lazy, policy.parameters())):
            _look(name, policy, spaces)
        return policy

    try:
        with torch.random.fork_rng(devices=[]):
            policy = watched(make)
        Layout.of(policy)
    except SetupError:
        raise
    except ValueError as error:
        raise SetupError(f"policy.name is {name!r}, which cannot evolve: {error}") from error
    return policy


def _constructed(name: str, kind: type[nn.Module], keywords: dict[str, object]) -> nn.Module:
    try:
        return kind(**keywords)
    except SetupError:
        raise
    except TypeError as error:
        raise SetupError(f"policy.arguments do not fit {name!r}: {error}") from error
    except (Exception, SystemExit) as error:  # whatever somebody's constructor does
        raise SetupError(f"policy.name is {name!r}, whose constructor fails: {described(error)}") from error


def _check_fit(name: str, policy: nn.Module, spaces: Spaces) -> None:
    """Show the policy two blank observations and look at its answer."""
    rows, wanted = 2, spaces.actions.outputs
    answer = _look(name, policy, spaces, rows)
    if not isinstance(answer, Tensor) or tuple(answer.shape) != (rows, wanted):
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise SetupError(
            f"policy.name is {name!r}, which answers {rows} observations with {shape}; "
            f"the task wants ({rows}, {wanted}): one output for each action"
        )


def _look(name: str, policy: nn.Module, spaces: Spaces, rows: int = 2) -> object:
    """What a policy answers to blank observations."""
    blank = torch.from_numpy(np.zeros((rows, *spaces.observation_shape), spaces.observation_dtype))
    try:
        with torch.no_grad():
            return policy(blank)
    except Exception as error:  # whatever somebody's forward does
        raise SetupError(
            f"policy.name is {name!r}, which cannot see observations of shape {spaces.observation_shape} "
            f"({spaces.observation_dtype}): {described(error)}"
        ) from error
