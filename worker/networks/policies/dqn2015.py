"""The network of Mnih et al. 2015 (Nature 518, "Human-level control"), 1.7 million weights."""

from __future__ import annotations

from torch import nn

from worker.networks.policies.stages import Stage, StagedPolicy
from worker.tasks.base import SetupError


class Dqn2015(StagedPolicy):
    """Three convolutions without padding and two linear layers, over four 84x84 grey frames."""

    input_scale = 1 / 255

    def __init__(self, *, observation_shape: tuple[int, ...], outputs: int) -> None:
        """Build it. Raises SetupError unless the observation is 4x84x84."""
        super().__init__()
        check_frames("dqn2015", observation_shape)
        self.conv1 = nn.Conv2d(4, 32, 8, stride=4)
        self.conv2 = nn.Conv2d(32, 64, 4, stride=2)
        self.conv3 = nn.Conv2d(64, 64, 3, stride=1)
        self.hidden = nn.Linear(64 * 7 * 7, 512)
        self.head = nn.Linear(512, outputs)
        self.stages = (
            Stage("conv1", 4),
            Stage("conv2", 2),
            Stage("conv3", 1),
            Stage("hidden", 0),
            Stage("head", 0),
        )


def check_frames(policy: str, observation_shape: tuple[int, ...]) -> None:
    """Raise SetupError unless observations are four 84x84 frames."""
    if observation_shape != (4, 84, 84):
        raise SetupError(
            f"policy.name is {policy!r}, which sees observations of shape (4, 84, 84); "
            f"the task's have shape {observation_shape}"
        )
