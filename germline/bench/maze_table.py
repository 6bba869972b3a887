"""The maze as a table, so that a linear policy is played in a fraction of a millisecond.

What a policy does depends on where it stands alone, and there are fewer places than steps: one product says
what it does everywhere, and an episode is a walk through two tables. Its return and its behaviour are those
of the engine, to the bit.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from germline import weights
from germline.behaviour import quantise
from germline.genome import Genome
from germline.weights import Layout
from worker.networks.policies.linear import Linear

_KEPT = 20_000  # individuals whose weights are kept, 2 kB each


class Played(NamedTuple):
    """One episode: its return, the place where it ended as a result has it, and its steps."""

    value: float
    behaviour: bytes
    steps: int


class MazeTable:
    """Plays linear policies in experiments/image_maze.py."""

    def __init__(self) -> None:
        """Step the maze's own environment from each place."""
        maze: Any = import_module("experiments.image_maze")
        places, moves, environment = maze.PLACES, range(len(maze.MOVES)), maze.ImageMaze()
        numbers = {place: number for number, place in enumerate(places)}
        steps = [[_stepped(environment, place, move) for move in moves] for place in places]
        self._next = [[numbers[place] for place, _ in row] for row in steps]
        self._rewards = [[reward for _, reward in row] for row in steps]
        self._start, self._goal, self._limit = numbers[maze.START], numbers[maze.GOAL], maze.STEPS
        pictures = np.stack([maze.PICTURES[place].ravel() for place in places])
        self._pictures = torch.from_numpy(pictures.astype(np.float32)).T
        self._behaviours = [quantise(place, 0, len(maze.WALLS)) for place in places]
        self._layout = Layout.of(Linear(observation_shape=maze.WALLS.shape, outputs=len(moves)))
        self._kept: OrderedDict[int, Tensor] = OrderedDict()

    def play(self, genome: Genome) -> Played:
        """One episode of an individual."""
        views = self._layout.named_views(self._weights(genome))
        answers = views["layer.weight"] @ self._pictures + views["layer.bias"].unsqueeze(1)
        chosen = answers.argmax(0).tolist()
        place, value, steps = self._start, 0.0, 0
        while steps < self._limit and place != self._goal:
            move = chosen[place]
            place, value, steps = self._next[place][move], value + self._rewards[place][move], steps + 1
        return Played(value, self._behaviours[place], steps)

    def _weights(self, genome: Genome) -> Tensor:
        """An individual's weights, `[580]` float32: its parent's, which are kept, and one mutation."""
        found = self._kept.get(genome.id)
        if found is not None:
            return found
        made, parent, last = torch.empty(self._layout.size), genome.parent(), genome.last
        if parent is None or last is None:
            weights.initialise(genome.init_seed, self._layout, made)
        else:
            weights.mutate(made, self._weights(parent), last, self._layout)
        self._kept[genome.id] = made
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return made


def _stepped(environment: Any, place: tuple[int, int], move: int) -> tuple[tuple[int, int], float]:
    """Where a move leads to from a place, and its reward."""
    environment.place = place
    _, reward, *_ = environment.step(move)
    return environment.place, reward
