"""Records a matrix of genomes x starts, on which rules of a search can be tried without playing.

    python tools/search_matrix.py frostbite uber2018 matrix.npz --founders 150 --frames 12000000

Founders play all starts of the protocol, in integers; so do children of the best of them at several powers,
and children of the best of all that were seen so far. A file holds arrays, one row to a genome:

    returns, frames, actions   `[genomes, starts]`: the return, the emulator frames, a CRC of all actions
    parent                     `[genomes]`: the row of its parent; -1 for a founder
    power, seed                `[genomes]`: of its last mutation; of a founder 0, and its initialisation's

`tools/search_rules.py` reads it.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from germline.genome import Genome, Mutation, float32
from germline.protocol_starts import STARTS
from worker.networks.policies.build import make_policy
from worker.networks.population import DensePopulation
from worker.plugins import make_task
from worker.tasks.base import Lanes

PROTOCOL = "uber2018"
_CHILD_SEEDS = 1_000_000  # apart from those of founders


class Episodes(NamedTuple):
    """What a genome did from each start."""

    returns: list[float]
    frames: list[int]
    actions: list[int]


@dataclass
class Matrix:
    """The rows so far."""

    genomes: list[Genome] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    played: list[Episodes] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """Emulator frames that it has cost."""
        return sum(sum(each.frames) for each in self.played)

    def best(self, count: int) -> list[int]:
        """The rows with the best means, best first."""
        means = [sum(each.returns) for each in self.played]
        return sorted(range(len(means)), key=lambda row: -means[row])[:count]

    @classmethod
    def load(cls, path: Path) -> Matrix:
        """Read what :meth:`save` wrote."""
        arrays, matrix = np.load(path), cls()
        matrix.parents = arrays["parent"].tolist()
        columns = (arrays[name].tolist() for name in ("returns", "frames", "actions"))
        matrix.played = [Episodes(*each) for each in zip(*columns, strict=True)]
        for parent, seed, power in zip(matrix.parents, arrays["seed"].tolist(), arrays["power"], strict=True):
            founder = Genome.founder(seed)
            child = Mutation(seed, float(power)) if parent >= 0 else None
            matrix.genomes.append(matrix.genomes[parent].child(child) if child else founder)
        return matrix

    def save(self, path: Path) -> None:
        """Write all rows."""
        last = [genome.last for genome in self.genomes]
        seeds = [m.seed if m else genome.init_seed for m, genome in zip(last, self.genomes, strict=True)]
        np.savez_compressed(
            path,
            returns=np.array([each.returns for each in self.played], np.float32),
            frames=np.array([each.frames for each in self.played], np.int32),
            actions=np.array([each.actions for each in self.played], np.uint32),
            parent=np.array(self.parents, np.int32),
            power=np.array([m.power if m else 0.0 for m in last], np.float32),
            seed=np.array(seeds, np.uint64),
        )


class Player:
    """Plays one network from all starts side by side."""

    def __init__(
        self, game: str, policy: str, every: int, max_frames: int | None, idle: int = 1 << 31
    ) -> None:
        """Load the game for every so-manieth start; give up episodes without a point after `idle` frames."""
        self._idle = idle
        self._starts = STARTS[PROTOCOL][::every]
        arguments: dict[str, object] = {"game": game, "protocol": PROTOCOL}
        task = make_task("atari", arguments | ({"max_frames": max_frames} if max_frames else {}))
        network, rows = make_policy(policy, task, precision="int8"), len(self._starts)
        self._lanes: Lanes = task.make_lanes(rows)  # type: ignore[union-attr]  # a game is played in lanes
        self._population = DensePopulation(network, task.spaces, 1, rows, precision="int8")  # type: ignore[union-attr]

    def play(self, genome: Genome) -> Episodes:
        """All episodes of a genome, each with a row of its own."""
        count = len(self._starts)
        self._population.fill(0, genome)
        self._lanes.begin(np.arange(count), list(self._starts))
        active = np.ones((1, count), np.bool_)
        played = Episodes([0.0] * count, [0] * count, [0] * count)
        while active.any():
            actions = self._population.act(self._lanes.observations[None], active)[0]
            lanes = np.flatnonzero(active[0])
            self._lanes.send(lanes, actions[lanes])
            stepped = self._lanes.receive()
            columns = (stepped.rewards.tolist(), stepped.ended.tolist(), stepped.frames.tolist())
            for lane, reward, ended, frames in zip(lanes.tolist(), *columns, strict=True):
                played.returns[lane] += reward
                played.frames[lane] += frames
                played.actions[lane] = zlib.crc32(bytes([actions[lane]]), played.actions[lane])
                idle = not played.returns[lane] and played.frames[lane] >= self._idle
                active[0, lane] = not (ended or idle)
        return played


def founders(there: int, count: int) -> Iterator[tuple[int, Genome]]:
    """The first genomes, without parents, that are not there yet."""
    return ((-1, Genome.founder(seed)) for seed in range(there, count))


def children(matrix: Matrix, parents: int, powers: list[float], litter: int) -> Iterator[tuple[int, Genome]]:
    """Children of the best so far, in litters of one power."""
    for row in matrix.best(parents):
        for power in powers:
            for _ in range(litter):
                seed = _CHILD_SEEDS + len(matrix.genomes)
                yield row, matrix.genomes[row].child(Mutation(seed, float32(power)))


def record(player: Player, matrix: Matrix, path: Path, plan: Iterator[tuple[int, Genome]], most: int) -> None:
    """Play a plan's genomes until so many frames are spent; what is there is saved now and then."""
    for parent, genome in plan:
        if matrix.frames >= most:
            break
        matrix.played.append(player.play(genome))
        matrix.genomes.append(genome)
        matrix.parents.append(parent)
        if len(matrix.genomes) % 10 == 0 or len(matrix.genomes) < 10:
            matrix.save(path)
            best = matrix.best(1)[0]
            mean = sum(matrix.played[best].returns) / len(matrix.played[best].returns)
            print(f"{len(matrix.genomes)} genomes, {matrix.frames:,} frames, best {mean:.1f} (row {best})")
            sys.stdout.flush()
    matrix.save(path)


def main() -> None:
    """Record what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("game")
    parser.add_argument("policy")
    parser.add_argument("output", type=Path)
    parser.add_argument("--founders", type=int, default=100)
    parser.add_argument("--parents", type=int, default=3, help="in each of the generations of children")
    parser.add_argument("--powers", type=float, nargs="+", default=[0.001, 0.002, 0.005, 0.01, 0.02])
    parser.add_argument("--litter", type=int, default=8, help="children of one parent at one power")
    parser.add_argument("--generations", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="of the starts; 3 plays every third")
    parser.add_argument("--frames", type=int, default=10_000_000, help="emulator frames after which it ends")
    parser.add_argument("--max-frames", type=int, help="of one episode; the protocol's own by default")
    parser.add_argument(
        "--idle", type=int, default=1 << 31, help="frames without a point that end an episode"
    )
    given = parser.parse_args()
    player = Player(given.game, given.policy, given.every, given.max_frames, given.idle)
    matrix = Matrix.load(given.output) if given.output.exists() else Matrix()
    record(player, matrix, given.output, founders(len(matrix.genomes), given.founders), given.frames)
    for _ in range(given.generations):
        plan = children(matrix, given.parents, given.powers, given.litter)
        record(player, matrix, given.output, plan, given.frames)


if __name__ == "__main__":
    main()
