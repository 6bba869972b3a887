"""What a contestant is: it plays on until its budget is spent, and then says whom it would send."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from germline.bench.learning.tasks import Numbers, Player, Task, Weights

Play = Callable[[Weights], Numbers]


class Search(Protocol):
    """A search under way."""

    def step(self) -> None:
        """Play what comes next. Raises BudgetSpentError once that is too much."""
        ...

    def best(self) -> Weights:
        """The weights that it has to show for it, `[dimension]`: of its centre, or of its champion."""
        ...


class Start(NamedTuple):
    """What a search begins with.

    Attributes:
        task: what is learnt.
        player: who plays.
        seed: of the search.
        network: `[dimension]`, weights as torch would draw them, for searches that begin with a network.
    """

    task: Task
    player: Player
    seed: int
    network: Weights

    def play(self) -> Play:
        """Plays each network once, each on a fresh start: returns of `[n, dimension]`, `[n]`."""
        starts = np.random.default_rng([self.seed, 1])

        def play(weights: Weights) -> Numbers:
            return self.player.play(weights, starts.integers(1 << 31, size=len(weights))).returns

        return play


Make = Callable[[Start], Search]
