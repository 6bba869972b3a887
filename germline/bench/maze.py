"""The maze that misleads, over seeds: `python -m germline.bench.maze` plays experiments/image-maze-*.toml.

Beside them, the same searches without novelty: what selects by reward alone gathers under the wall. Each
plays in this process, without a master. What comes of a search and a seed is a file of its own in the folder
of results, and is not played again, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from germline.algorithms.base import Result
from germline.algorithms.eggroll import Eggroll
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.map_elites import MapElites
from germline.algorithms.slices import EpochClosed
from germline.bench.maze_table import MazeTable
from germline.pairs import Slice
from germline.spec import eggroll_settings, ga_settings, load
from germline.statistics import share_interval
from germline.v1 import spec_pb2
from worker.allowed_code import AllowedCode
from worker.centres.epoch_engine import EpochEngine
from worker.playing.engine import Evaluation
from worker.playing.engine_builder import EngineBuilder

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SEARCHES = {
    "reward-ga": "the genetic algorithm by reward",
    "novelty": "the genetic algorithm by novelty (GA-NS)",
    "map": "MAP-Elites, a cell for each pixel",
    "dominated": "Dominated Novelty Search",
    "reward-es": "EGGROLL by reward",
    "ns-es": "EGGROLL by reward and novelty (NSRA-ES)",
}
_ROOM = 32  # individuals that are asked before the first of them is told, as a worker with 32 slots does


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a search and a seed.

    Attributes:
        best: the largest return of all.
        solved_after: evaluations up to the first that came to the goal; None: none did.
    """

    best: float
    solved_after: int | None


def spec_of(name: str) -> spec_pb2.ExperimentSpec:
    """The spec of a contestant; those of reward are the others without their novelty."""
    file = {"reward-ga": "novelty", "reward-es": "ns-es"}.get(name, name)
    spec = load(EXPERIMENTS / f"image-maze-{file}.toml")
    if name == "reward-ga":
        spec.algorithm.ga.ClearField("novelty")
    elif name == "reward-es":
        spec.algorithm.eggroll.ClearField("novelty")
    return spec


def returns_of(spec: spec_pb2.ExperimentSpec, seed: int) -> Iterator[float]:
    """The return of one evaluation after the other."""
    spec.seed = seed
    if spec.algorithm.HasField("eggroll"):
        yield from _epochs(spec)
        return
    kind = MapElites if spec.algorithm.HasField("map_elites") else GeneticAlgorithm
    search, table = kind(ga_settings(spec), seed), MazeTable()
    while True:
        for ask in search.ask(_ROOM):
            value, behaviour, steps = table.play(ask.genome)
            search.tell(Result(ask.ticket, (value,), steps, steps, behaviour=behaviour))
            yield value


def _epochs(spec: spec_pb2.ExperimentSpec) -> Iterator[float]:
    """The same of an evolution strategy, whose members a worker's engine plays."""
    books, engine = Eggroll(eggroll_settings(spec), spec.seed), _expect_epochs(build(spec))
    while True:
        for ask in books.ask(1_000):
            slice_ = Slice(ask.epoch, ask.first_pair, ask.pairs)
            engine.submit(Evaluation(ask.ticket, slice_, ask.episode_seeds))
        for told in engine.tick():
            result = Result(told.key, told.returns, told.frames, told.steps, behaviour=told.behaviour)
            events = books.tell(result)
            yield from told.returns
            for closed in (event for event in events if isinstance(event, EpochClosed)):
                engine.update(closed.epoch, closed.fitness, closed.next_centre)


def build(spec: spec_pb2.ExperimentSpec) -> Any:
    """What plays a spec on a worker."""
    return EngineBuilder(torch.device("cpu"), allowed_code=AllowedCode(("experiments",))).build(spec)


def _expect_epochs(engine: object) -> EpochEngine[Any]:
    if not isinstance(engine, EpochEngine):
        raise TypeError(f"{type(engine).__name__} plays no epochs")
    return engine


def play(name: str, seed: int, evaluations: int) -> Outcome:
    """How near to the goal a search came, and after how many evaluations it was there."""
    spec, best = spec_of(name), float("-inf")
    for number, value in enumerate(returns_of(spec, seed), start=1):
        best = max(best, value)
        if best >= spec.stop.fitness:
            return Outcome(best, number)
        if number >= evaluations:
            break
    return Outcome(best, None)


def kept_or_played(folder: Path, name: str, seed: int, evaluations: int) -> Outcome:
    """What came of a search and a seed, from its file if that is of this spec and as many evaluations."""
    file, spec = folder / f"{name}-{seed}.json", _digest(spec_of(name))
    if file.exists():
        kept = json.loads(file.read_text())
        if (kept["spec"], kept["evaluations"]) == (spec, evaluations):
            return Outcome(kept["best"], kept["solved_after"])
    outcome = play(name, seed, evaluations)
    folder.mkdir(parents=True, exist_ok=True)
    written = {"spec": spec, "evaluations": evaluations, **asdict(outcome)}
    file.write_text(json.dumps(written) + "\n")
    return outcome


def _digest(spec: spec_pb2.ExperimentSpec) -> str:
    """Of what shapes the search: another name, or another limit, is the same search."""
    shape = spec.algorithm.SerializeToString(deterministic=True)
    return hashlib.blake2b(shape, digest_size=8).hexdigest()


def row(name: str, found: Sequence[Outcome]) -> str:
    """A line of the table: who came to the goal, with Wilson's interval, and after how long."""
    times = [each.solved_after for each in found if each.solved_after is not None]
    share = share_interval(len(times), len(found))
    median = f"{statistics.median(times):,.0f}" if times else ""
    best = ", ".join(f"{each.best:.3g}" for each in found)
    goal = f"{len(times)} of {len(found)} ({share.low:.0%} to {share.high:.0%})"
    return f"| {SEARCHES[name]} | {goal} | {median} | {best} |"


def main() -> None:
    """Print a line of the table for each search, as soon as its seeds are played."""
    parser = argparse.ArgumentParser(description="The maze that misleads, over seeds.")
    parser.add_argument("--evaluations", type=int, default=10_000, help="at most, of each search and seed")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=100, help="0 to 25 chose some of the settings")
    parser.add_argument("--only", nargs="*", choices=tuple(SEARCHES), default=tuple(SEARCHES))
    parser.add_argument("--results", type=Path, default=Path("runs/maze"), help="folder of what is played")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| search | came to the goal | median evaluations | best of each seed |\n|---|---|---|---|")  # noqa: T201
    for name in given.only:
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        found = [kept_or_played(given.results, name, seed, given.evaluations) for seed in seeds]
        print(row(name, found), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
