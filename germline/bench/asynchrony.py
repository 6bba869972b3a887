"""Do short games breed first? An asynchronous genetic algorithm whose games take as long as they take.

Run ``python -m germline.bench.asynchrony``, or with ``--record FILE`` on what real networks did. Workers play
one game at a time and never wait. A game's length is inherited: the logarithm of a child's is its parent's
and one normal step. Mean lengths are those of Atari games (Such et al. 2018, table 3 of the supplement);
their spread is an assumption, :data:`SPREAD`.

On the *flat* landscape scores are luck alone, half of the founders live three times as long as the others,
and nothing should favour either half: counted is the short-lived half's share of the first 500 children. On
the *growing* one a score is the length played, as where points come with survival, and what counts is the
mean length of the population after so many frames, as a multiple of the founders'.

With a record (``tools/search_matrix.py``), lengths and scores are drawn from it: a founder is one of the
record's, a child its parent times what some recorded child was of its own parent, and no game is shorter than
any founder's. On *luck* scores are luck and only the lengths are the record's; on *recorded* both are, and
what counts is the mean score of the population, as a multiple of the founders'.

Four rules say who may breed:

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
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from germline.statistics import Interval, mean_interval

FRAMES = {"frostbite": 4_543, "venture": 7_616}
RULES = ("plain", "barrier", "running", "both")
CAP = 20_000  # frames, after which a game is over
SPREAD = 0.5  # standard deviation of the logarithm of a founder's length, and of luck
STEP = 0.1  # standard deviation of the logarithm of a child's length around its parent's
WINDOW, PARENTS, FOUNDERS = 128, 10, 128
FIRST = 500  # children; later on one line has won, by luck if by nothing else
GENTLE = (
    0.0006  # the largest power of recorded children that is looked at: those keep what their parents can do
)


class Record(NamedTuple):
    """What real networks did from one start.

    Attributes:
        founders: frames and return of each, `[F, 2]`.
        steps: of children, their frames and return as shares of their parents', `[C, 2]`.
    """

    founders: npt.NDArray[np.float64]
    steps: npt.NDArray[np.float64]

    @classmethod
    def of(cls, file: Path) -> Record:
        """Read what ``tools/search_matrix.py`` wrote; the first start counts."""
        with np.load(file) as found:
            parent = found["parent"]
            played = np.stack([found["frames"][:, 0], found["returns"][:, 0]], axis=1).astype(np.float64)
            gentle = (parent >= 0) & (found["power"] <= GENTLE)
        scored = gentle & (played[parent, 1] > 0)
        return cls(played[parent < 0], played[scored] / played[parent[scored]])

    def is_short(self, frames: float) -> bool:
        """Whether a founder is of the shorter half."""
        return frames <= float(np.median(self.founders[:, 0]))

    @property
    def short_share(self) -> float:
        """Which share of the founders that is: games that end together are all short."""
        return float(np.mean([self.is_short(frames) for frames in self.founders[:, 0]]))


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
    record: Record | None = None
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
        """How many times as long as a founder the members of the population live, or score."""
        if self.record is not None:
            return float(np.mean([game.score for game in self.arrived]) / self.record.founders[:, 1].mean())
        return float(np.mean([math.exp(game.trait) for game in self.arrived])) / math.exp(SPREAD**2 / 2)

    def _begin(self, now: float, ends: list[tuple[float, int]]) -> None:
        parent = self._parent(now)
        drawn = self._assumed if self.record is None else partial(self._recorded, self.record)
        is_short, trait, length, score = drawn(parent)
        if parent is not None:
            self.short_children += is_short and self.children < FIRST
            self.children += 1
        if self.landscape in ("flat", "luck"):
            score = float(self.random.random())
        game = Game(self.asked, trait, is_short, now, min(CAP, length), score)
        self.asked += 1
        self.playing[game.number] = game
        heapq.heappush(ends, (now + game.length, game.number))

    def _assumed(self, parent: Game | None) -> tuple[bool, float, float, float]:
        """Of whom it comes, its trait, its length and its score, by the assumed spread."""
        is_short = parent.is_short if parent is not None else bool(self.asked % 2)
        if parent is not None:
            trait = parent.trait + self._step()
        elif self.landscape == "flat":
            trait = math.log(0.5 if is_short else 1.5)
        else:
            trait = float(self.random.normal(0, SPREAD))
        luck = math.exp(float(self.random.normal(0, SPREAD)) - SPREAD**2 / 2)
        length = min(CAP, self.mean_length * math.exp(trait) * luck)
        return is_short, trait, length, length

    def _recorded(self, record: Record, parent: Game | None) -> tuple[bool, float, float, float]:
        """The same as the record has it; its trait is the length that its line began with, or has by now."""
        if parent is None:
            frames, score = map(float, record.founders[self.random.integers(len(record.founders))])
            return record.is_short(frames), math.log(frames), frames, score
        longer, better = map(float, record.steps[self.random.integers(len(record.steps))])
        length = min(CAP, max(math.exp(parent.trait) * longer, float(record.founders[:, 0].min())))
        inherited = parent.trait if self.landscape == "luck" else math.log(length)
        return parent.is_short, inherited, length, parent.score * better

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


def measure(
    rule: str, landscape: str, game: str, workers: int, frames: float, seed: int, record: Record | None = None
) -> float:
    """The short-lived half's share of the children, or by how much longer the population lives, or scores."""
    search = Search(rule, landscape, FRAMES.get(game, math.nan), np.random.default_rng(seed), record)
    search.run(workers, frames)
    if landscape in ("growing", "recorded"):
        return search.gain()
    return search.short_children / min(FIRST, search.children) if search.children else math.nan


def row(
    landscape: str, game: str, workers: int, frames: float, runs: int, record: Record | None = None
) -> str:
    """A line of the table: every rule over the same seeds."""
    cells = []
    for rule in RULES:
        values = [measure(rule, landscape, game, workers, frames, seed, record) for seed in range(runs)]
        cells.append(_text(mean_interval([value for value in values if not math.isnan(value)])))
    return f"| {landscape} | {game} | {workers:,} | {frames / 1e6:g} M | {' | '.join(cells)} |"


def _text(interval: Interval) -> str:
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all of it and print the table."""
    parser = argparse.ArgumentParser(prog="germline.bench.asynchrony", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="seeds (default 20)")
    parser.add_argument("--record", type=Path, help="an .npz file of tools/search_matrix.py")
    chosen = parser.parse_args(arguments)
    write = sys.stdout.write
    write(f"| landscape | lengths of | workers | frames | {' | '.join(RULES)} |\n{'|---' * 8}|\n")
    record = Record.of(chosen.record) if chosen.record else None
    for landscape, game in product(("flat", "growing"), FRAMES) if record is None else ():
        for workers, frames in ((2, 10e6), (64, 10e6), (1_000, 30e6)):
            write(row(landscape, game, workers, frames, chosen.runs) + "\n")
    for landscape in ("luck", "recorded") if record is not None else ():
        for workers, frames in ((64, 2e6), (1_000, 8e6)):
            write(row(landscape, chosen.record.stem, workers, frames, chosen.runs, record) + "\n")
    if record is not None:
        write(f"{record.short_share:.2f} of the founders are of the shorter half\n")


if __name__ == "__main__":
    main()
