"""What is learnt, the same for everybody: one small network, Gymnasium's environments, whole episodes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Discrete

HIDDEN = 16

Weights = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]


class Task(NamedTuple):
    """An environment, and how long it is learnt.

    Attributes:
        id: Gymnasium's.
        episodes: budget of a search; whoever plays an individual several times pays for each.
        low: of two numbers of the last observation, which are MAP-Elites' behaviour, the lowest values.
        high: their highest.
    """

    id: str
    episodes: int
    low: tuple[float, float]
    high: tuple[float, float]


TASKS = {
    "cartpole": Task("CartPole-v1", 1_000, (-2.4, -2.0), (2.4, 2.0)),
    "acrobot": Task("Acrobot-v1", 500, (-1.0, -1.0), (1.0, 1.0)),
    "mountaincar": Task("MountainCarContinuous-v0", 500, (-1.2, -0.07), (0.6, 0.07)),
    "pendulum": Task("Pendulum-v1", 1_000, (-1.0, -1.0), (1.0, 1.0)),
    "lunarlander": Task("LunarLander-v3", 2_000, (-1.0, -0.5), (1.0, 1.5)),
    "bipedalwalker": Task("BipedalWalker-v3", 2_000, (-1.0, -1.0), (1.0, 1.0)),
}


class Played(NamedTuple):
    """What came of some episodes.

    Attributes:
        returns: `[n]`, the sum of rewards of each.
        last: `[n, 2]`, the first two numbers of each one's last observation.
    """

    returns: Numbers
    last: Numbers


class BudgetSpentError(Exception):
    """More episodes were asked for than are left; nothing was played."""


class Player:
    """Plays networks side by side in this process, and counts.

    A network is a flat vector: hidden weights `[HIDDEN, observation]`, biases, output weights
    `[outputs, HIDDEN]`, biases, with tanh between them, as the policy "mlp" lays them out. Of discrete
    actions the largest output is taken; continuous ones are tanh, stretched to their bounds. Observations
    are taken as they are, by everybody.

    Attributes:
        observation: how many numbers an observation has.
        outputs: of the network.
        dimension: weights of the network.
        left: episodes that may still be played.
        steps: steps played.
    """

    def __init__(self, task: Task, episodes: int) -> None:
        """Take the task, and a budget."""
        self._task = task
        self._environments: list[gymnasium.Env[Any, Any]] = []
        environment = self._environment(0)
        space = environment.action_space
        self._bounds = None if isinstance(space, Discrete) else (space.low, space.high)  # type: ignore[attr-defined]
        self.outputs = int(space.n) if isinstance(space, Discrete) else math.prod(space.shape or ())
        (self.observation,) = environment.observation_space.shape or (0,)
        self.dimension = (self.observation + 1) * HIDDEN + (HIDDEN + 1) * self.outputs
        self._longest = gymnasium.spec(task.id).max_episode_steps or 1_000
        self.left = episodes
        self.steps = 0

    def play(self, weights: npt.ArrayLike, seeds: npt.NDArray[np.integer[Any]]) -> Played:
        """One episode of each network.

        Args:
            weights: `[n, dimension]`.
            seeds: `[n]`, of the episodes.

        Raises:
            BudgetSpentError: if so many are not left.
        """
        flat = np.ascontiguousarray(weights, np.float32)
        if len(flat) > self.left:
            raise BudgetSpentError
        self.left -= len(flat)
        return self._play(flat, [int(seed) % (1 << 31) for seed in seeds])

    def _play(self, flat: Weights, seeds: list[int]) -> Played:
        lanes = [self._environment(number) for number in range(len(flat))]
        seen = [lane.reset(seed=seed)[0] for lane, seed in zip(lanes, seeds, strict=True)]
        totals, last = [0.0] * len(flat), np.zeros((len(flat), 2))
        alive, act = list(range(len(flat))), self._network(flat)
        for step in range(1, self._longest + 1):
            ended = set()
            for row, (lane, action) in enumerate(zip(alive, act(np.array(seen, np.float32)), strict=True)):
                seen[row], reward, is_over, _, _ = lanes[lane].step(action)
                totals[lane] += float(reward)
                if is_over or step == self._longest:
                    ended.add(row)
                    last[lane] = seen[row][:2]
            self.steps += len(alive)
            if ended:
                alive = [lane for row, lane in enumerate(alive) if row not in ended]
                seen = [shown for row, shown in enumerate(seen) if row not in ended]
                if not alive:
                    break
                act = self._network(flat[alive])
        return Played(np.array(totals, np.float64), last)

    def _network(self, flat: Weights) -> Callable[[Weights], Any]:
        """The networks' answers to a row of observations each, as the environment wants its actions."""
        first, ahead = self.observation * HIDDEN, (self.observation + 1) * HIDDEN
        into = flat[:, :first].reshape(-1, HIDDEN, self.observation)
        into_bias = flat[:, first:ahead]
        second = ahead + HIDDEN * self.outputs
        out = flat[:, ahead:second].reshape(-1, self.outputs, HIDDEN)
        out_bias = flat[:, second:]

        def act(seen: Weights) -> Any:
            hidden = np.tanh((into @ seen[:, :, None])[:, :, 0] + into_bias)
            answers = (out @ hidden[:, :, None])[:, :, 0] + out_bias
            if self._bounds is None:
                return answers.argmax(axis=1).tolist()
            low, high = self._bounds
            return low + (np.tanh(answers) + 1) / 2 * (high - low)

        return act

    def _environment(self, number: int) -> gymnasium.Env[Any, Any]:
        """An environment without its wrappers, which cost more than most steps do; kept."""
        while len(self._environments) <= number:
            made = gymnasium.make(self._task.id, disable_env_checker=True)
            self._environments.append(made.unwrapped)
        return self._environments[number]
