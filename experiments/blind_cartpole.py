"""CartPole that hides its speeds: only who remembers the last moment knows where the pole is going."""

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv

SHOWN = [0, 2]  # where the cart is, and how far the pole leans


class BlindCartPole(gymnasium.ObservationWrapper):
    """Shows two of CartPole's four numbers."""

    def __init__(self, render_mode=None):
        super().__init__(CartPoleEnv(render_mode=render_mode))
        bounds = self.env.observation_space.high[SHOWN]
        self.observation_space = spaces.Box(-bounds, bounds)

    def observation(self, observation):
        """Leave the speeds out."""
        return np.asarray(observation, np.float32)[SHOWN]


gymnasium.register("BlindCartPole-v0", BlindCartPole, max_episode_steps=500)
