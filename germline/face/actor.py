"""One network that answers one observation after the other, and the network itself as a torch module."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from germline.cli.errors import CommandError, as_usage, needs_extra
from germline.genome import Genome
from germline.v1 import spec_pb2

with needs_extra("worker"):
    import torch
    from torch import nn

    from germline import weights
    from germline.weights import Layout
    from worker.machine import prepare
    from worker.networks.fixed_weights import centre_weights
    from worker.playing.engine_builder import engine_settings
    from worker.playing.playable import playable
    from worker.plugins import described
    from worker.serving.policy import player_maker
    from worker.tasks.base import ContinuousActions, EpisodicTask
    from worker.tasks.gym import GymTask

Action: TypeAlias = "int | npt.NDArray[np.generic]"
"""What the environment's `step` takes."""

_THREADS = 1


class Actor:
    """Plays as the experiment does: in its precision, with the same arithmetic."""

    def __init__(self, spec: spec_pb2.ExperimentSpec, policy: Genome | bytes, device: str) -> None:
        """Build the network, and the task for what it shows and takes. Raises CommandError."""
        with as_usage():
            settings = engine_settings(spec)
            built = playable(settings)
            task = built.task
            if not isinstance(task, EpisodicTask):
                raise CommandError("the task is a function of the weights: there is nothing to act on")
            self._player = player_maker(settings, built, policy, prepare(device, _THREADS))()
        self._task, self._spaces = task, task.spaces
        self.reset()

    def reset(self) -> None:
        """An episode begins."""
        self._player.begin(0)

    def act(self, observation: object) -> Action:
        """The action after one more observation. Raises ValueError for what is none."""
        row = self._player.act(self._seen(observation)[None])[0]
        if isinstance(self._task, GymTask):
            action: Action = self._task.to_action(row)
            return action
        return np.array(row) if isinstance(self._spaces.actions, ContinuousActions) else int(row)

    def _seen(self, observation: object) -> npt.NDArray[np.float64]:
        shape = self._spaces.observation_shape
        try:
            if isinstance(self._task, GymTask):
                observation = self._task.to_observation(observation)
            seen = np.asarray(observation, np.float64)
        except (TypeError, ValueError, LookupError) as error:
            raise ValueError(f"the observation is none of the task's: {described(error)}") from None
        if seen.shape != shape:
            raise ValueError(f"the observation has shape {seen.shape}; allowed: {shape}, what the task shows")
        return seen


def network(spec: spec_pb2.ExperimentSpec, policy: Genome | bytes) -> nn.Module:
    """The policy's module with these weights, in evaluation mode. Raises CommandError."""
    with as_usage():
        module = playable(engine_settings(spec)).policy
        layout = Layout.of(module)
        if isinstance(policy, bytes):
            flat = centre_weights(module, policy)
        else:
            flat = torch.zeros(layout.size)
            weights.rebuild(policy, layout, flat)
    layout.write(flat, module)
    return module.eval()
