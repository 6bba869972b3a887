"""Who does what to whom, and when: drawn from one seed."""

from __future__ import annotations

import asyncio
import math
import random
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from germline.bench.chaos.cables import LOST, TroubledCable
from germline.bench.chaos.crew import Worker, free_one
from germline.bench.chaos.network import Network
from germline.bench.pair import Pair, Place

_NETWORK = {"delayed": 870, "stalled": 15, LOST: 40, "cut": 50, "refused": 15, "held": 5, "pulled": 5}
_WORKERS = {"kill": 3, "term": 2, "stop": 3, "replace": 2}
_MASTERS = {"kill": 4, "term": 2, "stop": 3, "cut": 2, "store killed": 1, "store restarted": 1}
_DELAY_S, _STALL_S, _AWAY_S = (0.005, 0.3), (1.0, 8.0), (0.5, 8.0)  # least and most
_SHORTEST_STOP_S = 0.5


@dataclass(frozen=True, slots=True)
class Scale:
    """How much happens.

    Attributes:
        minutes: for which things go wrong.
        workers: processes that play.
        keepers: bookkeepers beside them.
        network_a_second: faults of the network that are drawn; on a cable that nobody uses none happens.
        worker_every_s: seconds between two faults of workers, on average.
        master_every_s: seconds between the end of a fault of a master or the store and the next, on average.
        longest_stop_s: for which a process stands still, at most.
        ownership_s: of the masters.
        pause_s: of a step of play, so that others of this machine have their share.
    """

    minutes: float
    workers: int = 4
    keepers: int = 3
    network_a_second: float = 30.0
    worker_every_s: float = 9.0
    master_every_s: float = 9.0
    longest_stop_s: float = 60.0
    ownership_s: float = 5.0
    pause_s: float = 0.002


class Targets(NamedTuple):
    """What things are done to."""

    pair: Pair
    crew: list[Worker]
    cables: Sequence[TroubledCable]
    network: Network
    places: Sequence[Place]


class Torment:
    """Does things, and counts them in `happened`.

    Attributes:
        takeovers_s: how long each took, but for those of masters that were asked to leave.
    """

    def __init__(self, targets: Targets, scale: Scale, seed: int, happened: Counter[str]) -> None:
        """Do nothing yet."""
        self._on, self._scale, self._happened = targets, scale, happened
        self._network, self._workers, self._masters = (
            random.Random(f"{seed} {what}")  # noqa: S311 - faults
            for what in ("network", "workers", "masters")
        )
        self.takeovers_s: list[float] = []
        self._is_over = False

    async def go_on(self) -> None:
        """Let it all happen for as long as it is to last; whatever was begun is healed."""
        async with asyncio.TaskGroup() as group:
            for what in (self._trouble_network, self._trouble_workers, self._trouble_masters):
                group.create_task(what(group))
            await asyncio.sleep(60 * self._scale.minutes)
            self._is_over = True

    # The network

    async def _trouble_network(self, group: asyncio.TaskGroup) -> None:
        chance = self._network
        while not self._is_over:
            await asyncio.sleep(chance.expovariate(self._scale.network_a_second))
            kind = _draw(chance, _NETWORK)
            if kind == "pulled":
                if self._on.network.cables:
                    group.create_task(self._pull(chance.choice(self._on.places), chance.uniform(*_AWAY_S)))
                continue
            # Each cable has its share, also one that nobody uses: otherwise all would befall the last used.
            self._trouble_cable(chance.choice(self._on.cables), kind, group)

    def _trouble_cable(self, cable: TroubledCable, kind: str, group: asyncio.TaskGroup) -> None:
        chance = self._network
        if kind == "cut":
            cable.cut_one(chance)
        elif kind == "refused":
            cable.refuse()
            cable.cut_one(chance)  # so that somebody dials
        elif kind == "held":
            if cable not in self._on.pair.cables:  # a master that is cut off from its store has its own turn
                group.create_task(cable.hold_for(chance.uniform(*_AWAY_S)))
        else:
            cable.plan(kind, chance.uniform(*(_STALL_S if kind == "stalled" else _DELAY_S)))

    async def _pull(self, place: Place, seconds: float) -> None:
        self._happened["pulled"] += await self._on.network.pull(place, seconds)

    # Workers

    async def _trouble_workers(self, group: asyncio.TaskGroup) -> None:
        chance = self._workers
        while not self._is_over:
            await asyncio.sleep(chance.expovariate(1 / self._scale.worker_every_s))
            kind, seconds = _draw(chance, _WORKERS), self._stop_s(chance)
            worker = free_one(self._on.crew, chance)
            if worker is not None:
                worker.is_free = False
                group.create_task(self._trouble_worker(worker, kind, seconds))

    async def _trouble_worker(self, worker: Worker, kind: str, seconds: float) -> None:
        try:
            if kind == "stop":
                await worker.stand_still(seconds)
            elif kind == "kill":
                await worker.kill()
            elif kind == "term":
                await worker.terminate()
            else:
                await worker.replace()
            self._happened[f"worker: {kind}"] += 1
        finally:
            worker.is_free = True

    # Masters and store

    async def _trouble_masters(self, _: asyncio.TaskGroup) -> None:
        chance = self._masters
        while not self._is_over:
            await asyncio.sleep(chance.expovariate(1 / self._scale.master_every_s))
            await self._on.pair.find_owner()
            await self._trouble_master(_draw(chance, _MASTERS), self._stop_s(chance))

    async def _trouble_master(self, kind: str, seconds: float) -> None:
        pair = self._on.pair
        if kind.startswith("store"):
            await pair.restart_store(signal.SIGKILL if "killed" in kind else signal.SIGTERM)
            self._happened[kind] += 1
            return
        took_s = await pair.take_over(kind, seconds if kind == "stop" else 0.0)
        if kind != "term":  # which takes its time to hand everything over
            self.takeovers_s.append(took_s)
        self._happened[f"master: {kind}"] += 1

    def _stop_s(self, chance: random.Random) -> float:
        """How long a process stands still: as often for a second or two as for half a minute."""
        span = math.log(_SHORTEST_STOP_S), math.log(self._scale.longest_stop_s)
        return math.exp(chance.uniform(*span))


def _draw(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]
