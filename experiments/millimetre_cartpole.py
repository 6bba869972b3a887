"""CartPole as a machine's sensors would show it: the cart in millimetres, the pole in turns."""

import math

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv

UNITS = np.array([1e3, 1e3, 0.5 / math.pi, 0.5 / math.pi], np.float32)


class MillimetreCartPole(gymnasium.ObservationWrapper):
    """Shows CartPole's four numbers in units whose sizes differ by thousands."""

    def __init__(self, render_mode=None):
        super().__init__(CartPoleEnv(render_mode=render_mode))
        self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)

    def observation(self, observation):
        """The same numbers in other units."""
        return np.asarray(observation, np.float32) * UNITS


gymnasium.register("MillimetreCartPole-v0", MillimetreCartPole, max_episode_steps=500)
