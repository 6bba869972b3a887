"""`germline.here`: objects of this very process as a spec names them, for notebooks on a single machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from germline.cli.errors import CommandError, needs_extra
from germline.face.errors import in_words
from germline.spec import to_toml
from germline.v1 import spec_pb2

if TYPE_CHECKING:
    import gymnasium

HOME = "germline_here"


@in_words
def here(found: Callable[..., object], name: str | None = None) -> str:
    """Let a spec name something of this process: a function, a policy, an environment, a task.

    A run of such a spec has its workers in threads of this process, because no other one could import what is
    defined here. For many cores or machines, put it into a module, and name its import path.

    Args:
        found: a function of the weights, for `task.function.path`; a class of torch modules, for
            `policy.name`; of Gymnasium environments, for `task.gym.id`; of tasks, for `task.plugin.name`.
        name: what it is called; its own name by default. Whatever had this name before is forgotten.

    Returns:
        What a spec says for it.

    Raises:
        GermlineError: if it is none of these, or its name is no word of Python.
    """
    called = str(name or getattr(found, "__name__", ""))
    if not called.isidentifier():
        sentence = f"{found!r} has the name {called!r}; give it another one: germline.here(found, name)"
        raise CommandError(sentence)
    with needs_extra("worker"):
        import gymnasium
        from torch import nn

        from worker.objects import keep
    if not isinstance(found, type):
        if not callable(found):
            raise CommandError(f"{called} is a {type(found).__name__}; allowed: a function or a class")
        keep(called, found)
        return f"{HOME}:{called}"
    keep(called, found)
    if issubclass(found, gymnasium.Env):
        return _registered(called, found)
    if issubclass(found, nn.Module):
        return f"{HOME}:{called}"
    if hasattr(found, "make_lanes") or hasattr(found, "measure"):
        return f"{HOME}.{called}"
    allowed = "a torch module, a Gymnasium environment, a task (make_lanes, or measure)"
    raise CommandError(f"{called} is a class of {found.__mro__[1].__name__}; allowed: {allowed}")


def _registered(name: str, kind: type[gymnasium.Env[Any, Any]]) -> str:
    """The id of an environment; who registered another one under it is forgotten."""
    import gymnasium

    def make(**given: Any) -> gymnasium.Env[Any, Any]:
        return kind(**given)

    gymnasium.registry.pop(f"{name}-v0", None)
    gymnasium.register(f"{name}-v0", entry_point=make)
    return f"{HOME}:{name}-v0"


def is_here(spec: spec_pb2.ExperimentSpec) -> bool:
    """Whether a spec names something that only this process has."""
    return f'"{HOME}' in to_toml(spec)
