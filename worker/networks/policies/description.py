"""How to build a network again, in words and numbers that need no germline, for exported files."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from germline.normalisation import CLIP, Normalisation
from worker.networks.policies.build import network_arguments
from worker.networks.policies.stages import Staged
from worker.networks.policies.vector import Vector
from worker.tasks.base import ActionSpace, ContinuousActions, EpisodicTask, StickActions, Task


def describe(
    network: nn.Module,
    task: Task,
    name: str,
    *,
    version: int | None = None,
    hidden: tuple[int, ...] = (),
    arguments: Mapping[str, object] | None = None,
    numbers: Normalisation | None = None,
) -> dict[str, object]:
    """What a network is, as plain values.

    Args:
        network: as it was built.
        task: what it plays.
        name: of the policy, in its spec.
        version: of the policy.
        hidden: widths of its hidden layers, if its spec has them.
        arguments: more arguments of its class.
        numbers: by which observations are normalised before it sees them; None: they are not.

    Returns:
        `class` and `arguments` to call it with; `layers`, each with what torch says of it and, of a plain
        line of layers, its zeros at the left, right, top and bottom; `activation` between them;
        `preprocessing` of what it sees, and `normalisation` before that, where there is one; `observation`
        and `action`.
    """
    if not isinstance(task, EpisodicTask):
        dimension = sum(parameter.numel() for parameter in network.parameters())
        return {"class": _path(Vector), "arguments": {"dimension": dimension}}
    spaces = task.spaces
    kind, keywords = network_arguments(name, version, spaces, hidden, arguments or {})
    observation = {"shape": list(spaces.observation_shape), "dtype": str(spaces.observation_dtype)}
    return {
        "class": _path(kind),
        "arguments": {key: _plain(value) for key, value in keywords.items()},
        "layers": _layers(network),
        "activation": getattr(network, "activation", "see the class"),
        "preprocessing": _preprocessing(network),
        **({"normalisation": _normalisation(numbers)} if numbers is not None else {}),
        "observation": observation,
        "action": _action(spaces.actions),
    }


def _path(kind: type[nn.Module]) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _layers(network: nn.Module) -> list[dict[str, object]]:
    """The modules with weights of their own, in the network's order."""
    padding = {s.name: list(s.padding) for s in network.stages} if isinstance(network, Staged) else {}
    return [
        {"name": name, "module": repr(module), **({"padding": padding[name]} if name in padding else {})}
        for name, module in network.named_modules()
        if not list(module.children()) and list(module.parameters(recurse=False))
    ]


def _preprocessing(network: nn.Module) -> str:
    """What the network does to an observation before its first layer."""
    if isinstance(network, Staged):
        return "none" if network.input_scale == 1 else f"multiplied by {network.input_scale!r}"
    return str(getattr(network, "preprocessing", "see the class"))


def _normalisation(numbers: Normalisation) -> dict[str, object]:
    """What becomes of an observation before the network sees it."""
    how = f"less the mean, divided by the deviation, clipped to -{CLIP:g}..{CLIP:g}, in float32"
    return {"how": how, "mean": [*numbers.mean], "deviation": [*numbers.deviation]}


def _action(actions: ActionSpace) -> dict[str, object]:
    """What becomes of the outputs."""
    if isinstance(actions, ContinuousActions):
        squashed = "tanh, stretched to the bounds; a number without bounds on both sides is only clipped"
        how = squashed if actions.squash else "clipped to the bounds"
        bounds = {"low": actions.low.ravel().tolist(), "high": actions.high.ravel().tolist()}
        return {"kind": "continuous", "how": how, **bounds}
    if isinstance(actions, StickActions):
        return {"kind": "stick", "how": "across, up, the button, and rest, which the others are held against"}
    return {"kind": "discrete", "how": "the largest output", "count": actions.count}
