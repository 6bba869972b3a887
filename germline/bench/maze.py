"""The maze that misleads, over seeds: `python -m germline.bench.maze` plays experiments/image-maze-*.toml.

Beside them, the same searches without novelty: what selects by reward alone gathers under the wall. Each
plays in this process, without a master: the algorithm asks, one engine plays, and as many are asked as it
plays at a time.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from germline.algorithms.base import Result
from germline.algorithms.eggroll import Eggroll
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.map_elites import MapElites
from germline.algorithms.slices import EpochClosed
from germline.pairs import Slice
from germline.spec import eggroll_settings, ga_settings, load
from germline.v1 import spec_pb2
from worker.allowed_code import AllowedCode
from worker.centres.epoch_engine import EpochEngine
from worker.playing.engine import Evaluation
from worker.playing.engine_builder import EngineBuilder

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NAMES = ("novelty", "dominated", "map", "ns-es", "reward-ga", "reward-es")


def spec_of(name: str) -> spec_pb2.ExperimentSpec:
    """The spec of a contestant; those of reward are the others without their novelty."""
    file = {"dominated": "novelty", "reward-ga": "novelty", "reward-es": "ns-es"}.get(name, name)
    spec = load(EXPERIMENTS / f"image-maze-{file}.toml")
    if name == "dominated":
        spec.algorithm.ga.novelty.objective = spec_pb2.NOVELTY_OBJECTIVE_DOMINATED
    elif name == "reward-ga":
        spec.algorithm.ga.ClearField("novelty")
    elif name == "reward-es":
        spec.algorithm.eggroll.ClearField("novelty")
    return spec


def returns_of(spec: spec_pb2.ExperimentSpec, seed: int) -> Iterator[float]:
    """The return of one evaluation after the other."""
    spec.seed = seed
    builder = EngineBuilder(torch.device("cpu"), allowed_code=AllowedCode(("experiments",)))
    engine: Any = builder.build(spec)
    if isinstance(engine, EpochEngine):
        yield from _epochs(Eggroll(eggroll_settings(spec), seed), engine)
        return
    kind = MapElites if spec.algorithm.HasField("map_elites") else GeneticAlgorithm
    search = kind(ga_settings(spec), seed)
    while True:
        for ask in search.ask(engine.room()):
            engine.submit(Evaluation(ask.ticket, ask.genome, ask.episode_seeds))
        for told in engine.tick():
            search.tell(Result(told.key, told.returns, told.frames, told.steps, behaviour=told.behaviour))
            yield told.returns[0]


def _epochs(books: Eggroll, engine: EpochEngine[Any]) -> Iterator[float]:
    """The same of an evolution strategy."""
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


def play(name: str, seed: int, evaluations: int) -> dict[str, float | int | None]:
    """How near to the goal a search came, and after how many evaluations it was there; None: it was not."""
    spec, best = spec_of(name), -1e9
    for number, value in enumerate(returns_of(spec, seed), start=1):
        best = max(best, value)
        if best >= spec.stop.fitness:
            return {"best": best, "solved_after": number}
        if number >= evaluations:
            break
    return {"best": best, "solved_after": None}


def main() -> None:
    """Print a line for each search and seed, and what they come to."""
    parser = argparse.ArgumentParser(description="The maze that misleads, over seeds.")
    parser.add_argument("--evaluations", type=int, default=8_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*", choices=NAMES, default=NAMES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.only:
        found = [play(name, seed, given.evaluations) for seed in range(given.seeds)]
        times = [each["solved_after"] for each in found if each["solved_after"] is not None]
        summary = {
            "search": name,
            "solved": f"{len(times)} of {given.seeds}",
            "median_evaluations": statistics.median(times) if times else None,
            "best": [each["best"] for each in found],
        }
        print(json.dumps(summary), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
