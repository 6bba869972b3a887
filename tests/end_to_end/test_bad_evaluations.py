"""Evaluations that end or hang their worker, among good ones, on real processes that are started again.

Each of the bad ones costs itself only: after so many attempts on different workers it is set aside by name,
and everything else is scored.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from germline.algorithms.draws import Dice
from germline.client import Client, Experiment
from germline.spec import loads
from germline.v1 import spec_pb2
from master.config import MasterConfig
from master.server import Master

PATIENCE_S = 400.0  # up to fifteen workers are ended one after the other, and each loads torch anew
SEED, ATTEMPTS, WORKERS = 11, 3, 3
LONGEST_S = 2.0
FUNCTION = """
[task.function]
path = "trap:measure"
dimension = 4
[policy]
name = "vector"
"""
EMULATOR = """
[task.gym]
id = "trap:Trap-v0"
[policy]
name = "mlp"
hidden = [4]
"""
SPEC = f"""
name = "trapped"
seed = {SEED}
[algorithm.ga]
window = 50
parents = 5
candidates = 0
validation_share = 0.0
[evaluation]
max_attempts = {ATTEMPTS}
max_episode_s = {LONGEST_S}
verify_share = 0.0
"""
TRAP = """
import ctypes, json, os, time

import gymnasium
import numpy as np

TRAPS = json.loads(os.environ["TRAPS"])


def measure(weights, seed):
    spring(TRAPS.get(str(seed)))
    time.sleep(0.01)
    return -float((weights ** 2).sum())


def spring(kind):
    if kind is not None:
        with open("attempts", "a") as attempts:
            attempts.write(json.dumps([kind, os.environ["GERMLINE_WORKER_ID"]]) + "\\n")
        globals()[kind]()


class Trap(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.kind = next((kind for bad, kind in TRAPS.items() if int(bad) % (2**31 - 1) == seed), None)
        self.age = 0
        return self.np_random.random(2, np.float32), {}

    def step(self, action):
        time.sleep(0.002)
        self.age += 1
        if self.age == 3:
            spring(self.kind)
        is_over = self.age == 5 and self.kind != "never_ends"
        return self.np_random.random(2, np.float32), float(action), is_over, False, {}


gymnasium.register("Trap-v0", "trap:Trap", disable_env_checker=True)


def never_ends():
    pass


def raises():
    raise ArithmeticError("diverged")


def crashes():
    ctypes.string_at(0)


def hangs():
    time.sleep(3600)


def hangs_with_the_lock():
    ctypes.PyDLL(None).sleep(3600)
"""
# Native code that keeps the interpreter's lock is given up a minute after its time: that is too long here.
WORKER = """
import runpy
from worker.playing import watchdog

watchdog._STARVED_S = 2.0
runpy.run_module("worker", run_name="__main__", alter_sys=True)
"""


class House:
    """A master in this process, and workers in theirs that whoever started them starts again."""

    def __init__(self, master: Master, folder: Path, traps: dict[int, str]) -> None:
        (folder / "trap.py").write_text(TRAP)
        self._master, self._folder = master, folder
        self._environment = os.environ | {"TRAPS": json.dumps(traps)}
        self._process: dict[str, asyncio.subprocess.Process] = {}

    async def keep_alive(self, name: str) -> None:
        """A worker, and another process under its name whenever one ends."""
        flags = ("--master", self._master.address, "--device", "cpu", "--allow-code", "trap")
        while True:
            with (self._folder / f"{name}.log").open("ab") as log:
                self._process[name] = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", WORKER, *flags, cwd=self._folder, stderr=log,
                    env=self._environment | {"GERMLINE_WORKER_ID": name},
                )  # fmt: skip
            await self._process[name].wait()

    @asynccontextmanager
    async def workers(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.keep_alive(f"worker-{number}")) for number in range(WORKERS)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for process in self._process.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def run(self, spec: spec_pb2.ExperimentSpec) -> Experiment:
        """The experiment, once something is set aside, and it went on behind that."""

        def watch(client: Client) -> Experiment:
            while len(client.workers()) < WORKERS:
                time.sleep(0.05)
            client.create(spec)
            looks = client.watch(spec.name, 0.2)
            found = next(look for look in looks if look.failed)
            return next(look for look in looks if look.evaluations > found.evaluations)

        with Client(self._master.address) as client:
            async with self.workers(), asyncio.timeout(PATIENCE_S):
                return await asyncio.to_thread(watch, client)

    def attempts(self, kind: str) -> list[str]:
        """The workers on which a trap was tried, in the order of their tries."""
        lines = map(json.loads, (self._folder / "attempts").read_text().splitlines())
        return [worker for tried, worker in lines if tried == kind]


@asynccontextmanager
async def serving(folder: Path, traps: dict[int, str]) -> AsyncIterator[House]:
    config = MasterConfig(
        listen="127.0.0.1:0", store_folder=folder / "store", metrics_port=-1, heartbeat_s=0.5
    )
    async with Master.serving(config) as master:
        yield House(master, folder, traps)


def seed_of(ticket: int) -> int:
    """Of the episode of an evaluation: bad ones are so wherever they are played."""
    (seed,) = Dice(SEED, ticket).episode_seeds(1)
    return seed


HUNG = f"a step of play has not come back for {LONGEST_S:g} s"
LOST = "while it held this"


@pytest.mark.slow
@pytest.mark.timeout(480)
@pytest.mark.parametrize(
    ("played", "kind", "reason"),
    [
        (FUNCTION, "raises", "ArithmeticError: diverged"),
        (FUNCTION, "crashes", LOST),
        (FUNCTION, "hangs", HUNG),
        (FUNCTION, "hangs_with_the_lock", LOST),
        (EMULATOR, "crashes", LOST),
        (EMULATOR, "hangs", HUNG),
        (EMULATOR, "never_ends", f"{LONGEST_S:g} s"),
    ],
    ids=lambda value: value.split("]")[0].strip("\n[") if "\n" in value else value[:12],
)
async def test_an_evaluation_that_nobody_survives_costs_itself_after_its_attempts_on_different_workers(
    played: str, kind: str, reason: str, tmp_path: Path
) -> None:
    async with serving(tmp_path, {seed_of(7): kind}) as house:
        done = await house.run(loads(SPEC + played))
        assert (done.state, done.failed, done.trouble) == ("running", 1, "")
        (aside,) = done.set_aside
        assert reason in aside.reason
        assert aside.name.startswith("individual ")
        assert aside.attempts >= ATTEMPTS
        assert len(house.attempts(kind)) == aside.attempts
        # On different workers, as far as there are others: one that it ended may not be back yet.
        assert len(set(house.attempts(kind))) >= (ATTEMPTS if kind == "raises" else 2)
