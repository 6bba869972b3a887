"""What is played: a walk by a search, a slope by an evolution strategy, in whole numbers; made-up scores."""

from __future__ import annotations

MODULE = "corridor"
PAIRS = 8
DIMENSION = 20
MADE_UP, SEARCHED, CLIMBED, AGAIN = "made-up", "searched", "climbed", "climbed-in-peace"

CORRIDOR = '''
"""Walk towards a light that wanders: whole numbers only, so that every machine plays the same."""

import os
import time

import gymnasium
import numpy as np

PAUSE_S = float(os.environ.get("CORRIDOR_PAUSE_S", "0"))


class Corridor(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (8,), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.light, self.turn = (int(self.np_random.integers(256)) for _ in range(3))
        self.left = 10
        return self._seen(), {}

    def step(self, action):
        time.sleep(PAUSE_S)
        self.place = (self.place + 9 * (int(action) - 1)) % 256
        self.light = (5 * self.light + 17 * self.turn) % 256
        self.turn += 1
        self.left -= 1
        return self._seen(), 128.0 - abs(self.place - self.light), self.left == 0, False, {}

    def _seen(self):
        place, light = self.place, self.light
        apart = (place - light) % 256
        seen = [place, light, 255 - place, 255 - light, apart, 255 - apart, 20 * self.left, 255]
        return np.array(seen, np.uint8)


def slope(weights, seed):
    """Minus the distance from a point that the seed moves a little, in 1024ths."""
    time.sleep(PAUSE_S)
    point = 1024 + np.random.default_rng(seed).integers(-100, 100, weights.size)
    return -float(np.abs(np.rint(1024.0 * weights).astype(np.int64) - point).sum())


gymnasium.register("Corridor-v0", "corridor:Corridor", disable_env_checker=True)
'''

CLOCK = '''
"""A machine whose clock is off by hours: whatever asks Python for the time of day gets another one."""

import os
import time

_OFF_S = float(os.environ.get("CLOCK_OFF_BY_S", "0"))
if _OFF_S:
    _time, _time_ns = time.time, time.time_ns
    time.time = lambda: _time() + _OFF_S
    time.time_ns = lambda: _time_ns() + int(_OFF_S * 1e9)
'''

SEARCH = f"""
name = "{SEARCHED}"
[task.gym]
id = "corridor:Corridor-v0"
[policy]
name = "mlp"
hidden = [8]
[evaluation]
precision = "int8"
max_attempts = 100
[algorithm.ga]
window = 200
parents = 20
"""

MAKE_UP = f"""
name = "{MADE_UP}"
[task.function]
path = "nowhere:nothing"
[policy]
name = "vector"
[algorithm.ga]
window = 200
parents = 20
[evaluation]
verify_share = 0.0
"""


def climb(name: str) -> str:
    """The evolution strategy's spec, under a name: the same run, whatever the name."""
    return f"""
name = "{name}"
seed = 7
[task.function]
path = "{MODULE}:slope"
dimension = {DIMENSION}
[policy]
name = "vector"
[evaluation]
max_attempts = 100
[algorithm.eggroll]
pairs = {PAIRS}
slice_pairs = 2
sigma = 0.1
optimiser = "adam"
learning_rate = 0.05
validation_epochs = 0
"""
