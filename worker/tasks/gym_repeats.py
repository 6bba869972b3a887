"""Whether an environment's episodes are their seed and their actions, and nothing else: a look before play.

`reset(seed)` should forget everything. Some environments keep something (Box2D's worlds do, which turned one
and the same episode of BipedalWalker from -44 into -115), and some do not draw their luck from the seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Literal

import gymnasium
import numpy as np

from worker.tasks.base import RAISED, close_quietly

Environment = gymnasium.Env[Any, Any]
Repeats = Literal["always", "when fresh", "never"]
"""Where an episode repeats itself: in any environment, in a fresh one only, nowhere."""

_STEPS = 50  # of an episode of the look
_EPISODES = 2  # that are looked at, in turn
_LOOKS = 16
_ENOUGH_S = 2.0  # of looking


def repeats(make: Callable[[], Environment]) -> Repeats:
    """Play the same episodes again and again in one environment, and hold them against fresh ones'.

    An environment that raises an exception is not judged by it: whoever plays it will tell.
    """
    try:
        environment = make()
        try:
            return _looked_at(environment, make)
        finally:
            close_quietly(environment)
    except RAISED:
        return "always"


def _looked_at(environment: Environment, make: Callable[[], Environment]) -> Repeats:
    until_s = time.monotonic() + _ENOUGH_S
    fresh: dict[int, list[bytes]] = {}
    for look in range(_LOOKS):
        seed = look % _EPISODES
        if seed not in fresh:
            fresh[seed] = _fresh_episode(make, seed)
        if _episode(environment, seed) != fresh[seed]:
            return "when fresh" if look and _fresh_episode(make, seed) == fresh[seed] else "never"
        if time.monotonic() > until_s:
            break
    return "always"


def _fresh_episode(make: Callable[[], Environment], seed: int) -> list[bytes]:
    environment = make()
    try:
        return _episode(environment, seed)
    finally:
        environment.close()


def _episode(environment: Environment, seed: int) -> list[bytes]:
    """All that an episode under actions of a seed of their own shows and pays."""
    actions = deepcopy(environment.action_space)
    actions.seed(seed)
    shown, _ = environment.reset(seed=seed)
    seen = [np.asarray(shown).tobytes()]
    for _ in range(_STEPS):
        shown, reward, terminated, truncated, _ = environment.step(actions.sample())
        seen.append(np.asarray(shown).tobytes() + np.float64(reward).tobytes())
        if terminated or truncated:
            break
    return seen
