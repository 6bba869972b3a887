"""Runs of contestants over tasks and seeds, each kept in a file of its own, and what they come to."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from germline.bench.learning.ours import OURS, network_of, weights_of
from germline.bench.learning.peers import PEERS
from germline.bench.learning.search import Make, Start
from germline.bench.learning.tasks import TASKS, BudgetSpentError, Player
from germline.cli.files import write_whole

CONTESTANTS: dict[str, Make] = {**OURS, **PEERS}
_FRESH = 100  # episodes that measure what a search has to show
_FRESH_SEED = 1 << 20  # of the generator that draws their starts, which no search draws from


@dataclass(frozen=True)
class Run:
    """What came of one search.

    Attributes:
        task: what was learnt.
        contestant: who learnt.
        seed: of the search.
        score: mean return of its centre or champion over fresh episodes.
        episodes: played by the search.
        steps: of the environment, played by the search.
        cpu_s: processor time of the search, environments included.
        wall_s: that it took, on a machine that may have had other work.
    """

    task: str
    contestant: str
    seed: int
    score: float
    episodes: int
    steps: int
    cpu_s: float
    wall_s: float


def learn(
    task: str, contestant: str, seed: int, make: Make | None = None, episodes: int | None = None
) -> Run:
    """One search, and the measurement of what it has to show."""
    budget = episodes or TASKS[task].episodes
    player = Player(TASKS[task], budget)
    start = Start(TASKS[task], player, seed, weights_of(network_of(player, seed)))
    search = (make or CONTESTANTS[contestant])(start)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()  # imports are nobody's learning
    try:
        while True:
            search.step()
    except BudgetSpentError:
        found = np.array(search.best(), np.float32)
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    steps, played = player.steps, budget - player.left
    player.left = _FRESH
    seeds = np.random.default_rng([_FRESH_SEED, seed]).integers(1 << 31, size=_FRESH)
    score = float(player.play(np.repeat(found[None], _FRESH, axis=0), seeds).returns.mean())
    return Run(task, contestant, seed, score, played, steps, cpu_s, wall_s)


def runs(tasks: Sequence[str], contestants: Sequence[str], seeds: int, folder: Path) -> Iterator[Run]:
    """Every search, from its file if it was made before; who is told of each may stop at any time."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):  # first, so that what was stopped early compares all the same
        for task in tasks:
            for contestant in contestants:
                file = folder / f"{task}-{re.sub('[^a-z0-9]+', '-', contestant.lower())}-{seed}.json"
                if not file.exists():
                    made = json.dumps(asdict(learn(task, contestant, seed)))
                    write_whole(file, f"{made}\n".encode())
                yield Run(**json.loads(file.read_text()))
