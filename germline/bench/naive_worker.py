"""The reference for rollouts: one network and one environment to a process, as one writes it first in torch.

Nothing here is slower than it has to be: no autograd, one thread to a process, no seeding (which reloads the
game), no copies. It is what a population of independent workers does when each plays for itself.
"""

from __future__ import annotations

import numpy as np
import torch
from ale_py.vector_env import AtariVectorEnv
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

POWER = 0.002


def network(actions: int) -> nn.Sequential:
    """The network of Mnih et al. 2015."""
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, stride=4),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 4, stride=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 3, stride=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 512),
        nn.ReLU(inplace=True),
        nn.Linear(512, actions),
    ).eval()


class NaiveWorker:
    """Plays `episodes` with a child of one parent, then with the next child."""

    def __init__(self, game: str, episodes: int) -> None:
        """Load the game and make the parent."""
        self._environment = AtariVectorEnv(
            game,
            num_envs=1,
            num_threads=1,
            max_num_frames_per_episode=20_000,
            repeat_action_probability=0.0,
            full_action_space=False,
            frameskip=4,
            maxpool=True,
            noop_max=30,
            episodic_life=False,
            reward_clipping=False,
            use_fire_reset=False,
        )
        torch.manual_seed(0)
        self._network = network(len(self._environment.ale.get_action_set()))
        self._parent: Tensor = parameters_to_vector(self._network.parameters()).detach()
        self._episodes, self._played = episodes, 0
        self._seen, _ = self._environment.reset(seed=1)
        self._next_child()

    @torch.inference_mode()
    def play(self) -> int:
        """Take one step; the emulator frames that it took."""
        observation = torch.from_numpy(self._seen).float().mul_(1 / 255)
        action = self._network(observation).argmax(dim=1).numpy()
        self._seen, _, terminated, truncated, _ = self._environment.step(action)
        if terminated[0] or truncated[0]:
            self._next_episode()
        return 4

    def _next_episode(self) -> None:
        self._seen, *_ = self._environment.step(np.zeros(1, np.int64))  # resets, and takes no frames of play
        self._played += 1
        if self._played % self._episodes == 0:
            self._next_child()

    def _next_child(self) -> None:
        child = torch.randn_like(self._parent).mul_(POWER).add_(self._parent)
        vector_to_parameters(child, self._network.parameters())
