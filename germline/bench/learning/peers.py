"""The peers, each set up as its own documentation does for a small network.

- PGPE: EvoTorch, "Solving reinforcement learning tasks using functional evolutionary algorithms" (CartPole),
  and for Box2D the Gym notebook (LunarLander); both in https://docs.evotorch.ai/latest/examples/.
- SNES: EvoTorch's user guide, "Supervised Neuroevolution", its one page with SNES and a network.
- OpenES: evosax, examples/04_restart_es.ipynb (CartPole), without the restarts.
- CMA-ES: evosax's README, "Basic evosax API Usage".
- pycma: the example of `cma.fmin2`, which begins at zeros with a sigma of 0.5, by ask and tell.

None is imported before it plays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from germline.bench.learning.search import Make, Play, Start
from germline.bench.learning.tasks import Numbers, Weights


class _EvoTorch:
    """One of EvoTorch's searchers, which is shown its centre."""

    def __init__(self, start: Start) -> None:
        self._played = start.play()
        self.searcher = self._make(start, self._problem(start))

    def _problem(self, start: Start) -> Any:
        import torch
        from evotorch import Problem

        def returns(solutions: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(self._played(solutions.numpy())).float()

        return Problem(
            "max",
            returns,
            initial_bounds=(-0.00001, 0.00001),  # as GymNE's
            solution_length=start.player.dimension,
            vectorized=True,
            seed=start.seed,
        )

    def _make(self, start: Start, problem: Any) -> Any:
        raise NotImplementedError

    def step(self) -> None:
        self.searcher.step()

    def best(self) -> Weights:
        if "center" not in self.searcher.status:
            return np.zeros(self.searcher.problem.solution_length, np.float32)
        centre: Weights = self.searcher.status["center"].numpy()
        return centre


class Pgpe(_EvoTorch):
    """PGPE with ClipUp (Toklu et al. 2020)."""

    def _make(self, start: Start, problem: Any) -> Any:
        from evotorch.algorithms import PGPE

        is_box2d = start.task.id.startswith(("Lunar", "Bipedal"))
        max_speed, rate, population = (0.3, 0.15, 200) if is_box2d else (0.15, 0.1125, 100)
        return PGPE(
            problem,
            popsize=population,
            radius_init=15 * max_speed,
            center_learning_rate=rate,
            stdev_learning_rate=0.1,
            optimizer="clipup",
            optimizer_config={"max_speed": max_speed},
        )


class Snes(_EvoTorch):
    """Separable natural evolution strategies (Schaul et al. 2011)."""

    def _make(self, start: Start, problem: Any) -> Any:
        from evotorch.algorithms import SNES

        return SNES(problem, popsize=50, radius_init=2.25)


class _Evosax:
    """One of evosax's strategies, which minimise."""

    def __init__(self, start: Start) -> None:
        import jax

        self._play = start.play()
        self._strategy = self._make(jax.numpy.asarray(start.network))
        self._settings = self._strategy.default_params
        self._key, key = jax.random.split(jax.random.key(start.seed))
        self._state = self._strategy.init(key, jax.numpy.asarray(start.network), self._settings)

    def _make(self, network: Any) -> Any:
        raise NotImplementedError

    def step(self) -> None:
        import jax

        self._key, asking, telling = jax.random.split(self._key, 3)
        population, state = self._strategy.ask(asking, self._state, self._settings)
        returns = self._play(np.asarray(population))
        costs = jax.numpy.asarray(-returns, jax.numpy.float32)
        self._state, _ = self._strategy.tell(telling, population, costs, state, self._settings)

    def best(self) -> Weights:
        return np.asarray(self._strategy.get_mean(self._state))


class OpenEs(_Evosax):
    """OpenAI's evolution strategy (Salimans et al. 2017)."""

    def _make(self, network: Any) -> Any:
        import optax
        from evosax.algorithms import Open_ES

        return Open_ES(
            population_size=16,
            solution=network,
            optimizer=optax.adam(learning_rate=0.01),
            std_schedule=optax.constant_schedule(0.1),
        )


class CmaEs(_Evosax):
    """CMA-ES (Hansen 2016), evosax's."""

    def _make(self, network: Any) -> Any:
        from evosax.algorithms import CMA_ES

        return CMA_ES(population_size=32, solution=network)


class Pycma:
    """CMA-ES, its author's."""

    def __init__(self, start: Start) -> None:
        import cma

        self._play: Play = start.play()
        options = {"seed": start.seed + 1, "verbose": -9}  # 0 is the clock
        self._strategy = cma.CMAEvolutionStrategy(start.player.dimension * [0], 0.5, options)

    def step(self) -> None:
        """One population."""
        asked = self._strategy.ask()
        returns: Numbers = self._play(np.asarray(asked, np.float32))
        self._strategy.tell(asked, (-returns).tolist())

    def best(self) -> Weights:
        """The mean of its distribution, which its documentation calls the favourite."""
        return np.asarray(self._strategy.result.xfavorite, np.float32)


PEERS: dict[str, Make] = {
    "evotorch PGPE": Pgpe,
    "evotorch SNES": Snes,
    "evosax OpenES": OpenEs,
    "evosax CMA-ES": CmaEs,
    "pycma": Pycma,
}
