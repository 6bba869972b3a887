"""Ours, with what `germline init` writes for an environment, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from germline import eggroll
from germline.algorithms.base import Ask, Result
from germline.algorithms.cells import MapSettings
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.map_elites import MapElites
from germline.behaviour import Measure, Range, pack
from germline.bench.learning.search import Make, Start
from germline.bench.learning.tasks import HIDDEN, Player, Weights
from germline.cli.starters import Algorithm, Shown, gym_starter
from germline.genome import Genome
from germline.spec import ga_settings, loads
from germline.v1 import spec_pb2
from germline.weights import Layout, initialise, mutate
from worker.networks.policies.mlp import Mlp
from worker.playing.engine_builder import centre_settings

_AT_A_TIME = 16  # individuals asked before the first of them is told, as by a few workers
_CELLS = (10, 10)


def network_of(player: Player, seed: int) -> Mlp:
    """The policy "mlp", as a founder of this seed has it."""
    network = Mlp(observation_shape=(player.observation,), outputs=player.outputs, hidden=[HIDDEN])
    layout = Layout.of(network)
    flat = torch.empty(layout.size)
    initialise(seed, layout, flat)
    layout.write(flat, network)
    return network


def weights_of(network: Mlp) -> Weights:
    """Its weights, `[dimension]`."""
    flat: Weights = torch.cat([p.detach().reshape(-1) for p in network.parameters()]).numpy()
    return flat


class _Lines:
    """Weights of lines of seeds, each kept, so that a child costs one pass of noise."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._kept: dict[int, torch.Tensor] = {}

    def __call__(self, genome: Genome) -> torch.Tensor:
        if genome.id not in self._kept:
            parent, last, made = genome.parent(), genome.last, torch.empty(self._layout.size)
            if parent is None or last is None:
                initialise(genome.init_seed, self._layout, made)
            else:
                mutate(made, self(parent), last, self._layout)
            self._kept[genome.id] = made
        return self._kept[genome.id]


class Ga:
    """The genetic algorithm, steady-state."""

    def __init__(self, start: Start) -> None:
        """Begin."""
        task = start.task
        self._player = start.player
        bounds = enumerate(zip(task.low, task.high, strict=True))
        self._behaviour = Range([Measure(str(place), low, high) for place, (low, high) in bounds])
        self._lines = _Lines(Layout.of(network_of(start.player, 0)))
        self._search = self._make(start)

    def _make(self, start: Start) -> GeneticAlgorithm:
        return GeneticAlgorithm(GA, start.seed)

    def step(self) -> None:
        """Ask, play all episodes side by side, tell."""
        asks = self._search.ask(_AT_A_TIME)
        rows = [ask for ask in asks for _ in ask.episode_seeds]
        seeds = np.array([seed % (1 << 31) for ask in asks for seed in ask.episode_seeds])
        played = self._player.play(torch.stack([self._lines(ask.genome) for ask in rows]).numpy(), seeds)
        at = 0
        for ask in asks:
            end = at + len(ask.episode_seeds)
            self._tell(ask, played.returns[at:end].tolist(), played.last[at:end].mean(axis=0))
            at = end

    def _tell(self, ask: Ask, returns: list[float], last: npt.NDArray[np.float64]) -> None:
        behaviour = pack(self._behaviour.quantise(last)) if self._search.settings.cells else b""
        self._search.tell(Result(ask.ticket, tuple(returns), 1, 1, behaviour=behaviour))

    def best(self) -> Weights:
        """The champion's."""
        leader = self._search.leader()
        if leader is None:
            raise RuntimeError("the budget is too small for a first result")
        found: Weights = self._lines(leader.genome).numpy()
        return found


class Elites(Ga):
    """MAP-Elites over how an episode ends."""

    def _make(self, start: Start) -> GeneticAlgorithm:
        return MapElites(MAP, start.seed)


class Eggroll:
    """EGGROLL, by its library."""

    def __init__(self, start: Start) -> None:
        """Begin with a founder's network."""
        self._player = start.player
        self._starts = np.random.default_rng([start.seed, 1])
        network = network_of(start.player, start.seed)
        settings = eggroll.Settings(
            pairs=CENTRE.pairs, seed=start.seed, sigma=CENTRE.sigma, learning_rate=CENTRE.learning_rate
        )
        self._evolution = eggroll.Evolution(network, settings, optimiser=CENTRE.optimiser)

    def step(self) -> None:
        """One epoch; both members of a pair meet the same start."""
        members = self._evolution.ask()
        weights = torch.stack([self._evolution.weights(member) for member in members]).numpy()
        starts = np.repeat(self._starts.integers(1 << 31, size=len(members) // 2), 2)
        self._evolution.tell(self._player.play(weights, starts).returns)

    def best(self) -> Weights:
        """The centre's."""
        centre: Weights = self._evolution.centre.numpy()
        return centre


def _spec(algorithm: Algorithm) -> spec_pb2.ExperimentSpec:
    """What `germline init` writes for any environment that shows a row of numbers."""
    shown = Shown(is_image=False, has_parts=False, is_continuous=False)
    return loads(gym_starter("CartPole-v1", "learning", 20_000, shown, algorithm), "the starter")


GA = ga_settings(_spec("ga"))
MAP = replace(GA, cells=MapSettings(2, _CELLS), window=math.prod(_CELLS), parents=math.prod(_CELLS))
CENTRE = centre_settings(_spec("eggroll"))

OURS: dict[str, Make] = {"GA": Ga, "MAP-Elites": Elites, "EGGROLL": Eggroll}
