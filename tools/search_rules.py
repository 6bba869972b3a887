"""Tries rules of a search on recorded matrices (tools/search_matrix.py), in seconds and without playing.

    python tools/search_rules.py benchmarks/frostbite-motion.npz ...

Prints, for each matrix: what founders are like, and how they are best chosen; what children of each power are
like; and whether children are better held against their parents on one start than on one each. The truth is
the mean over all recorded starts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating]
_TRIALS, _CHOSEN = 2_000, 5


class Matrix(NamedTuple):
    """Returns and frames, `[genomes, starts]`; `parent`, `power`: `[genomes]`; `actions`: digests."""

    returns: Numbers
    frames: npt.NDArray[np.integer]
    actions: npt.NDArray[np.integer]
    parent: npt.NDArray[np.integer]
    power: Numbers

    @property
    def truth(self) -> Numbers:
        """Each genome's mean."""
        return np.asarray(self.returns.mean(axis=1), np.float64)

    @property
    def founders(self) -> npt.NDArray[np.integer]:
        """Their rows."""
        return np.flatnonzero(self.parent < 0)


def load(path: Path) -> Matrix:
    """Read a file of tools/search_matrix.py."""
    arrays = np.load(path)
    return Matrix(*(arrays[name] for name in Matrix._fields))


def founder_lines(matrix: Matrix) -> Iterator[str]:
    """What founders are like."""
    rows = matrix.founders
    truth, length = matrix.truth[rows], matrix.frames[rows].mean()
    idle = float((matrix.returns[rows] == 0).all(axis=1).mean())
    best = ", ".join(f"{value:.0f}" for value in np.sort(truth)[::-1][:6])
    yield f"{len(rows)} founders: mean {truth.mean():.1f}, best {best}; {length:,.0f} frames an episode"
    yield f"{idle:.0%} never score; the best of all: {matrix.truth.max():.0f}"


def likeness_lines(matrix: Matrix) -> Iterator[str]:
    """How well one start tells who is good."""
    returns = matrix.returns[matrix.founders]
    rest = [np.delete(returns, s, axis=1).mean(axis=1) for s in range(returns.shape[1])]
    alike = np.mean([np.corrcoef(returns[:, s], others)[0, 1] for s, others in enumerate(rest)])
    yield f"founders, one start against the mean of the others: correlation {alike:.2f}"


def choice_lines(matrix: Matrix) -> Iterator[str]:
    """The five founders that each rule chooses, of as many as about the same frames buy."""
    yield "| rule | founders | mean truth of the 5 chosen | frames |"
    yield "|---|---|---|---|"
    starts, most = matrix.returns.shape[1], len(matrix.founders) // 2
    rules = (("1 start", (1,), most), ("a third goes on to 2", (1, 2), most * 3 // 4))
    for name, rungs, count in (*rules, (f"{starts} starts", (starts,), most // starts)):
        truth, frames = zip(*_choices(matrix, rungs, count), strict=True)
        yield f"| {name} | {count} | {np.mean(truth):.1f} | {np.mean(frames):,.0f} |"


def _choices(matrix: Matrix, rungs: tuple[int, ...], count: int) -> Iterator[tuple[float, float]]:
    """Of so many random founders: the truth of those that are chosen, and the frames played."""
    dice, rows = np.random.default_rng(0), matrix.founders
    for _ in range(_TRIALS):
        left = dice.choice(rows, count, replace=False)
        order, played, frames = dice.permutation(matrix.returns.shape[1]), 0, 0
        for rung in rungs:
            frames += int(matrix.frames[left][:, order[played:rung]].sum())
            means = matrix.returns[left][:, order[:rung]].mean(axis=1) + dice.random(len(left)) * 1e-3
            keep = _CHOSEN if rung == rungs[-1] else max(_CHOSEN, len(left) // 3)
            left, played = left[np.argsort(-means)[:keep]], rung
        yield float(matrix.truth[left].mean()), float(frames)


def power_lines(matrix: Matrix) -> Iterator[str]:
    """What children of each power are like, beside their parents."""
    yield "| power | children | act differently | show it | keep of the parent's score | better | frames |"
    yield "|---|---|---|---|---|---|---|"
    for power in np.unique(matrix.power[matrix.parent >= 0]):
        rows = np.flatnonzero((matrix.power == power) & (matrix.parent >= 0))
        parents = matrix.parent[rows]
        acts = (matrix.actions[rows] != matrix.actions[parents]).mean()
        other = matrix.returns[rows] != matrix.returns[parents]
        shown = (other | (matrix.frames[rows] != matrix.frames[parents])).mean()
        kept = (matrix.truth[rows] / matrix.truth[parents]).mean()
        better = int((matrix.truth[rows] > matrix.truth[parents]).sum())
        frames = matrix.frames[rows].mean()
        shares = f"{acts:.0%} | {shown:.0%} | {kept:.0%}"
        yield f"| {power:g} | {len(rows)} | {shares} | {better} | {frames:,.0f} |"


def start_lines(matrix: Matrix) -> Iterator[str]:
    """Whether a child that looks better than its parent is better: on a common start, and on one each."""
    rows = np.flatnonzero(matrix.parent >= 0)
    own, others = matrix.returns[rows], matrix.returns[matrix.parent[rows]]
    is_better = matrix.truth[rows] > matrix.truth[matrix.parent[rows]]
    starts = range(own.shape[1])
    common = np.mean([((own[:, s] > others[:, s]) != is_better).mean() for s in starts])
    pairs = [(s, t) for s in starts for t in starts if s != t]
    apart = np.mean([((own[:, s] > others[:, t]) != is_better).mean() for s, t in pairs])
    yield f"child against parent, wrong: {common:.1%} on a common start, {apart:.1%} on one each"
    varying = np.flatnonzero(own.std(axis=1) * others.std(axis=1))
    if len(varying):
        likeness = np.mean([np.corrcoef(own[row], others[row])[0, 1] for row in varying])
        yield f"their returns' correlation over starts: {likeness:.2f} ({len(varying)} pairs that vary)"


def main() -> None:
    """Print all of it for each file."""
    for name in sys.argv[1:]:
        matrix = load(Path(name))
        print(f"## {Path(name).stem}: {len(matrix.parent)} genomes, {int(matrix.frames.sum()):,} frames\n")
        of_starts = (likeness_lines, choice_lines, start_lines) if matrix.returns.shape[1] > 1 else ()
        for lines in (founder_lines, power_lines, *of_starts):
            print("\n".join(lines(matrix)) + "\n")


if __name__ == "__main__":
    main()
