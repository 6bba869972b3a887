"""Do short games breed first? An asynchronous genetic algorithm whose games take as long as they take.

Run ``python -m germline.bench.asynchrony``. Workers play one game at a time and never wait. A game's length
is inherited: the logarithm of a child's is its parent's and one normal step. Mean lengths are those of Atari
games (Such et al. 2018, table 3 of the supplement); their spread is an assumption, :data:`SPREAD`.

On the *flat* landscape scores are luck alone, half of the founders live three times as long as the others,
and nothing should favour either half: counted is the short-lived half's share of the first 500 children. On
the *growing* one a score is the length played, as where points come with survival, and what counts is the
mean length of the population after so many frames, as a multiple of the founders'. Four rules say who may
breed:

- ``plain``: the best of the results that are in, once all founders are asked.
- ``barrier``: the same, once all founders of the opening are back; more are asked until then.
- ``running``: the best of the results and of those still playing, by what they have so far (SWEET: Expert
  Systems 40(5), e13100). Right only where a score never falls.
- ``both``.
"""

from __future__ import annotations

import argparse
import heapq
import math
import sys
from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from germline.statistics import Interval, mean_interval

FRAMES = {"frostbite": 4_543, "venture": 7_616}
RULES = ("plain", "barrier", "running", "both")
CAP = 20_000  # frames, after which a game is over
SPREAD = 0.5  # standard deviation of the logarithm of a founder's length, and of luck
STEP = 0.1  # standard deviation of the logarithm of a child's length around its parent's
WINDOW, PARENTS, FOUNDERS = 128, 10, 128
FIRST = 500  # children; later on one line has won, by luck if by nothing else


@dataclass(slots=True)
class Game:
    """One individual's game: when it began and how long it takes, in frames, and what it comes to.

    `trait` is the logarithm of the length that is inherited; `is_short` tells of which founders it comes.
    """

    number: int
    trait: float
    is_short: bool
    began: float
    length: float
    score: float

    def running(self, now: float) -> float:
        """What it has so far: points come evenly."""
        return self.score * (now - self.began) / self.length


@dataclass
class Search:
    """Workers that play, and a rule that says who breeds.

    Attributes:
        asked: games begun.
        children: that were asked.
        short_children: of the first of them, those whose line is short-lived.
        frames: played, as far as games are over.
    """

    rule: str
    landscape: str
    mean_length: float
    random: np.random.Generator
    asked: int = 0
    children: int = 0
    short_children: int = 0
    frames: float = 0.0
    founders_back: int = 0
    ranked: list[tuple[float, int, Game]] = field(default_factory=list)
    arrived: deque[Game] = field(default_factory=deque)
    playing: dict[int, Game] = field(default_factory=dict)

    def run(self, workers: int, frames: float) -> None:
        """Play until games of so many frames are over."""
        ends: list[tuple[float, int]] = []
        for _ in range(workers):
            self._begin(0.0, ends)
        while self.frames < frames:
            now, number = heapq.heappop(ends)
            self._take_in(self.playing.pop(number))
            self._begin(now, ends)

    def gain(self) -> float:
        """How many times as long as a founder the members of the population live."""
        return float(np.mean([math.exp(game.trait) for game in self.arrived])) / math.exp(SPREAD**2 / 2)

    def _begin(self, now: float, ends: list[tuple[float, int]]) -> None:
        parent = self._parent(now)
        if parent is None:
            is_short = bool(self.asked % 2)
            trait = float(self.random.normal(0, SPREAD))
            if self.landscape == "flat":
                trait = math.log(0.5 if is_short else 1.5)
        else:
            is_short, trait = parent.is_short, parent.trait + self._step()
            self.short_children += is_short and self.children < FIRST
            self.children += 1
        luck = math.exp(float(self.random.normal(0, SPREAD)) - SPREAD**2 / 2)
        length = min(CAP, self.mean_length * math.exp(trait) * luck)
        score = float(self.random.random()) if self.landscape == "flat" else length
        game = Game(self.asked, trait, is_short, now, length, score)
        self.asked += 1
        self.playing[game.number] = game
        heapq.heappush(ends, (now + length, game.number))

    def _step(self) -> float:
        return 0.0 if self.landscape == "flat" else float(self.random.normal(0, STEP))

    def _take_in(self, game: Game) -> None:
        self.frames += game.length
        self.founders_back += game.number < FOUNDERS
        self.arrived.append(game)
        insort(self.ranked, (game.score, game.number, game))
        if len(self.arrived) > WINDOW:
            oldest = self.arrived.popleft()
            self.ranked.remove((oldest.score, oldest.number, oldest))

    def _parent(self, now: float) -> Game | None:
        is_open = self.asked < FOUNDERS or not self.arrived
        if is_open or (self.rule in ("barrier", "both") and self.founders_back < FOUNDERS):
            return None
        best = [(score, number, game) for score, number, game in self.ranked[-PARENTS:]]
        if self.rule in ("running", "both"):
            worst = best[0][0]
            far = [game for game in self.playing.values() if game.running(now) > worst]
            best = sorted(best + [(game.running(now), game.number, game) for game in far])[-PARENTS:]
        return best[int(self.random.integers(len(best)))][2]


def measure(rule: str, landscape: str, game: str, workers: int, frames: float, seed: int) -> float:
    """The short-lived half's share of the children, or by how much longer the population lives."""
    search = Search(rule, landscape, FRAMES[game], np.random.default_rng(seed))
    search.run(workers, frames)
    if landscape == "growing":
        return search.gain()
    return search.short_children / min(FIRST, search.children) if search.children else math.nan


def row(landscape: str, game: str, workers: int, frames: float, runs: int) -> str:
    """A line of the table: every rule over the same seeds."""
    cells = []
    for rule in RULES:
        values = [measure(rule, landscape, game, workers, frames, seed) for seed in range(runs)]
        cells.append(_text(mean_interval([value for value in values if not math.isnan(value)])))
    return f"| {landscape} | {game} | {workers:,} | {frames / 1e6:g} M | {' | '.join(cells)} |"


def _text(interval: Interval) -> str:
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all of it and print the table."""
    parser = argparse.ArgumentParser(prog="germline.bench.asynchrony", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="seeds (default 20)")
    chosen = parser.parse_args(arguments)
    write = sys.stdout.write
    write(f"| landscape | lengths of | workers | frames | {' | '.join(RULES)} |\n{'|---' * 8}|\n")
    for landscape, game in product(("flat", "growing"), FRAMES):
        for workers, frames in ((2, 10e6), (64, 10e6), (1_000, 30e6)):
            write(row(landscape, game, workers, frames, chosen.runs) + "\n")


if __name__ == "__main__":
    main()
