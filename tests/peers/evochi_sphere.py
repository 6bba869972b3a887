"""A client of evochi, as its users write one: maximise -|theta - 1|^2. Needs evochi 0.1.4, on Python 3.12.

`python evochi_sphere.py HOST:PORT CORES [NAME=VALUE ...]`; every hook is a line of JSON on standard output. A
pause is seconds by hook (`evaluate=0.2`), and `die=HOOK:N` ends the process in the N-th call of a hook, as a
power cut would.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter

import grpc.aio
import numpy as np
from evochi.v1 import Eval, Worker  # type: ignore[import-not-found,unused-ignore]

DIMENSION, SIGMA, RATE, SEED = 8, 0.1, 0.05, 7


class State:
    """What travels; pickling it is the only moment of sharing that a client of evochi sees."""

    watcher: Sphere | None = None

    def __init__(self, theta: np.ndarray) -> None:
        self.theta = theta

    def __getstate__(self) -> dict[str, object]:
        if State.watcher is not None:
            State.watcher.note("share")
        return self.__dict__


class Sphere(Worker):  # type: ignore[misc]
    """The workload whose values are known: -5.4957, -3.4983, -1.7497 with a population of 10."""

    def __init__(self, address: str, cores: int, wishes: dict[str, str]) -> None:
        options = [("grpc.max_receive_message_length", 64 << 20)]
        super().__init__(grpc.aio.insecure_channel(address, options=options), cores)
        self.wishes = wishes
        self.calls: Counter[str] = Counter()
        State.watcher = self

    def note(self, hook: str, **fields: object) -> None:
        self.calls[hook] += 1
        print(json.dumps({"hook": hook, **fields}), flush=True)
        time.sleep(float(self.wishes.get(hook, "0")))
        if self.wishes.get("die") == f"{hook}:{self.calls[hook]}":
            os._exit(9)

    def initialize(self) -> State:
        self.note("initialize")
        return State(np.zeros(DIMENSION))

    def evaluate(self, epoch: int, slices: list[slice]) -> list[Eval]:
        self.note("evaluate", epoch=epoch, slices=[[s.start, s.stop] for s in slices], at=self._value())
        noise = self._noise(epoch)
        evals = []
        for each in slices:
            thetas = self.state.theta + SIGMA * noise[each]
            rewards = [-float(((theta - 1) ** 2).sum()) for theta in thetas]
            if "nan" in self.wishes and each.start == 0:
                rewards[0] = float("nan")
            evals.append(Eval(each, rewards[: len(rewards) - int(self.wishes.get("short", "0"))]))
        return evals

    def optimize(self, epoch: int, rewards: list[float]) -> State:
        self.note("optimize", epoch=epoch, rewards=rewards, at=self._value())
        r = np.nan_to_num(np.asarray(rewards))
        z = (r - r.mean()) / (r.std() + 1e-8)
        step = RATE / (self.population_size * SIGMA) * (self._noise(epoch).T @ z)
        after = State(self.state.theta + step)
        self.note("optimized", epoch=epoch, value=-float(((after.theta - 1) ** 2).sum()))
        return after

    def on_stop(self, cancel: bool) -> None:
        self.note("stop", cancel=cancel)

    def _noise(self, epoch: int) -> np.ndarray:
        size = (self.population_size, DIMENSION)
        return np.random.default_rng([SEED, epoch - 1]).standard_normal(size)

    def _value(self) -> float:
        return -float(((self.state.theta - 1) ** 2).sum())


async def main() -> None:
    address, cores, *wishes = sys.argv[1:]
    worker = Sphere(address, int(cores), dict(wish.split("=", 1) for wish in wishes))
    await worker.start()


if __name__ == "__main__":
    asyncio.run(main())
