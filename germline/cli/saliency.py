"""Which parts of what it saw a network's choice hung on, in one step of an episode.

The map is that of Simonyan et al. 2013 (arXiv 1312.6034): the size of the gradient of the chosen action's
output with respect to the input; of a stack of pictures, at each place the largest of the stack.
"""

from __future__ import annotations

import base64
import copy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from germline.cli.errors import CommandError, as_usage, needs_extra
from germline.cli.observation_file import Observation, read_observation
from germline.cli.output import Json
from germline.cli.replay import check_allowed, grey
from germline.genome import Genome
from germline.v1 import spec_pb2

if TYPE_CHECKING:
    import torch
    from torch import nn

    from worker.playing.playable import EngineSettings, Playable

_MOST_NUMBERS = 1 << 20  # of an observation
_MOST_LISTED = 1_024


def saliency(
    spec: spec_pb2.ExperimentSpec,
    policy: Genome | bytes,
    observations: Path,
    step: int,
    action: int,
    *,
    allow_code: str | None,
) -> dict[str, Json]:
    """The map of one step, by the network in float32, whatever precision it played in.

    Args:
        spec: says task and network.
        policy: a genome, or the file of an evolution strategy's centre.
        observations: what the network saw, as :func:`germline.cli.replay.replay` keeps it.
        step: which of them, from 0.
        action: that was chosen then.
        allow_code: what the spec may have imported; None for anything.

    Returns:
        `shape` of the map, `saliency` and `input` as uint8 in base64, the map's as shares of its `largest`
        gradient; of observations that are no pictures, `gradient` and `values` instead. `outputs` of the
        network in float32.

    Raises:
        CommandError: if there is no such map; the message says why.
        ValueError: if that step's observation is not kept.
    """
    with needs_extra("worker"):
        from worker.playing.engine_builder import engine_settings
        from worker.playing.playable import playable
    with as_usage():
        settings = engine_settings(spec)
        check_allowed(settings, allow_code)
        built = playable(settings)
        _check_plain(settings, built)
        seen = read_observation(observations, step)
        if seen.size > _MOST_NUMBERS:
            raise CommandError(f"its observations have {seen.size:,} numbers; allowed: {_MOST_NUMBERS:,}")
        gradient, outputs = _gradient(_network(built, policy), seen, action)
    return _told(seen, gradient) | {"outputs": [float(f"{each:.5g}") for each in outputs]}


def _check_plain(settings: EngineSettings, built: Playable) -> None:
    """Raise CommandError unless a step's choice follows from that step's observation alone."""
    from worker.networks.policies.recurrent import Recurrent
    from worker.tasks.base import DiscreteActions, EpisodicTask

    if not isinstance(built.task, EpisodicTask) or not isinstance(built.task.spaces.actions, DiscreteActions):
        raise CommandError("there is no saliency: the network does not choose one of finitely many actions")
    if isinstance(built.policy, Recurrent):
        raise CommandError("there is no saliency of one step: the network remembers what it saw before")
    if settings.normalisation.maker(built.task.spaces) is not None:
        raise CommandError("there is no saliency: what the network sees is normalised while it plays")


def _network(built: Playable, policy: Genome | bytes) -> nn.Module:
    """The network in float32, with its own weights."""
    import torch

    from germline import weights
    from germline.weights import Layout
    from worker.networks.fixed_weights import centre_weights

    layout = Layout.of(built.policy)
    if isinstance(policy, bytes):
        flat = centre_weights(built.policy, policy)
    else:
        flat = torch.zeros(layout.size)
        weights.rebuild(policy, layout, flat)
    network = copy.deepcopy(built.policy).float().requires_grad_(False).eval()
    for name, view in layout.named_views(flat).items():
        network.get_parameter(name).data = view
    return network


def _gradient(network: nn.Module, seen: Observation, action: int) -> tuple[torch.Tensor, list[float]]:
    """Of the action's output with respect to what was seen, `[*shape]`; and all outputs."""
    import torch

    looked_at = torch.from_numpy(seen.astype(np.float32))[None].requires_grad_()
    outputs = network(looked_at)[0]
    if not 0 <= action < len(outputs):
        raise CommandError(f"action is {action}; allowed: 0 to {len(outputs) - 1}")
    (gradient,) = torch.autograd.grad(outputs[action], looked_at)
    return gradient[0], outputs.tolist()


def _told(seen: Observation, gradient: torch.Tensor) -> dict[str, Json]:
    if seen.ndim not in (2, 3):
        return {
            "gradient": [float(f"{each:.5g}") for each in gradient.flatten().tolist()[:_MOST_LISTED]],
            "values": [float(f"{float(each):.5g}") for each in seen.ravel()[:_MOST_LISTED]],
        }
    sizes = gradient.abs().numpy()
    sizes = sizes.max(axis=0) if sizes.ndim == 3 else sizes
    largest = float(sizes.max())
    shares = np.rint(sizes * (255 / (largest or 1.0))).astype(np.uint8)
    newest = grey(seen[-1] if seen.ndim == 3 else seen)
    coded = {
        name: base64.b64encode(each.tobytes()).decode()
        for name, each in (("saliency", shares), ("input", newest))
    }
    return {"shape": list(shares.shape), "largest": largest, **coded}
