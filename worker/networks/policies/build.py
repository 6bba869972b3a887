"""Builds the policy that a spec names, and refuses one that does not fit the task."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from germline.initial import watched
from germline.policy_versions import VERSIONS
from germline.weights import Layout
from worker.networks.policies.trial import MisfitError, look, try_out
from worker.networks.policies.uber2018 import Uber2018Glorot
from worker.networks.policies.vector import Vector
from worker.plugins import POLICIES, described, imported, registered
from worker.tasks.base import SetupError, Spaces, Task, WeightsTask

_EARLIER: dict[tuple[str, int], type[nn.Module]] = {("uber2018", 1): Uber2018Glorot}


def make_policy(
    name: str,
    task: Task,
    *,
    hidden: Sequence[int] = (),
    arguments: Mapping[str, object] | None = None,
    precision: str = "float32",
    version: int | None = None,
) -> nn.Module:
    """Build a policy for a task.

    A class is called with its `arguments`, and with `observation_shape`, `observation_dtype`, `outputs` and
    `hidden` where it takes them.

    Args:
        name: an entry point of ``germline.policies``, "vector", or the import path of a torch module's class.
        task: what it is to play.
        hidden: widths of hidden layers, if the policy takes them.
        arguments: more keyword arguments of the class.
        precision: "float32" or "bfloat16", in which it is to play.
        version: of a policy that has several; the newest by default.

    Raises:
        SetupError: if there is no such policy, it cannot be built, or does not fit the task.
    """
    if isinstance(task, WeightsTask):
        if name != "vector":
            raise SetupError(f'policy.name is {name!r}; a function task allows only "vector"')
        return Vector(dimension=task.dimension)
    kind, keywords = network_arguments(name, version, task.spaces, hidden, arguments or {})
    try:
        with torch.random.fork_rng(devices=[]):
            policy, another = (_built(name, kind, keywords, task.spaces) for _ in range(2))
            _expect_alike(policy, another)
            try_out(policy, another, task.spaces, precision)
    except MisfitError as error:
        raise SetupError(f"policy.name is {name!r}, which {error}") from error
    return policy


def network_arguments(
    name: str, version: int | None, spaces: Spaces, hidden: Sequence[int], arguments: Mapping[str, object]
) -> tuple[type[nn.Module], dict[str, object]]:
    """The class that a policy's name means, and what it is called with; see :func:`make_policy`."""
    kind = _policy_class(name, version)
    return kind, _keywords(name, kind, spaces, hidden, dict(arguments))


def _policy_class(name: str, version: int | None) -> type[nn.Module]:
    """The class that a name means; it is looked at, and not called yet."""
    if version is not None and version != VERSIONS.get(name):
        return _earlier_class(name, version)
    kind = imported("policy.name", name) if ":" in name else registered(POLICIES, "policy.name", name)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise SetupError(f"policy.name is {name!r}, which names {kind!r}; allowed: a torch module's class")
    return kind


def _earlier_class(name: str, version: int) -> type[nn.Module]:
    """The class of a version that is not the newest."""
    kind = _EARLIER.get((name, version))
    if kind is None:
        known = f"1 to {VERSIONS[name]}" if name in VERSIONS else "none, since it has no versions"
        raise SetupError(f"policy.version is {version}; allowed for {name!r}: {known}")
    return kind


def _keywords(
    name: str, kind: type[nn.Module], spaces: Spaces, hidden: Sequence[int], arguments: dict[str, object]
) -> dict[str, object]:
    """What the class is called with."""
    offered: dict[str, object] = {
        "observation_shape": spaces.observation_shape,
        "outputs": spaces.actions.outputs,
        "observation_dtype": str(spaces.observation_dtype),
    }
    if hidden:
        offered["hidden"] = tuple(hidden)
    signature = inspect.signature(kind)
    if hidden and "hidden" not in signature.parameters:
        raise SetupError(f"policy.hidden is {list(hidden)}, but {name!r} has no such setting; leave it out")
    keywords = {key: value for key, value in offered.items() if key in signature.parameters} | arguments
    try:
        signature.bind(**keywords)
    except TypeError as error:
        raise SetupError(
            f"policy.arguments do not fit {name!r}: {error}; a policy is made with {', '.join(offered)}, as "
            "far as its constructor takes them, and with policy.arguments"
        ) from error
    return keywords


def _built(name: str, kind: type[nn.Module], keywords: dict[str, object], spaces: Spaces) -> nn.Module:
    """The policy, with how its parameters start; lazy layers take their shapes from a first look."""

    def make() -> nn.Module:
        policy = _constructed(name, kind, keywords).eval()
        if any(map(is_lazy, policy.parameters())):
            look(policy, spaces)
        return policy

    try:
        policy = watched(make)
        Layout.of(policy)
    except (SetupError, MisfitError):
        raise
    except ValueError as error:
        raise MisfitError(f"cannot evolve: {error}") from error
    return policy


def _expect_alike(policy: nn.Module, another: nn.Module) -> None:
    """What a constructor sets, chance of torch aside, is the same each time."""
    parameters, others = Layout.of(policy).parameters, Layout.of(another).parameters
    if parameters != others:
        raise MisfitError("has other parameters each time it is constructed")
    for parameter, other in zip(parameters, others, strict=True):
        if not parameter.start.is_like(other.start):
            raise MisfitError(
                f"starts differently each time it is constructed, by a chance that is not torch's: parameter "
                f"{parameter.name}; let torch draw it, or the module state how it starts: "
                f"germline_init(name) -> (mean, standard deviation)"
            )


def _constructed(name: str, kind: type[nn.Module], keywords: dict[str, object]) -> nn.Module:
    try:
        return kind(**keywords)
    except SetupError:
        raise
    except (Exception, SystemExit) as error:  # whatever somebody's constructor does
        raise SetupError(f"policy.name is {name!r}, whose constructor fails: {described(error)}") from error
