"""Takes the store away from one master after the other, and counts what got lost: nothing may be.

Run ``python -m germline.bench.takeovers --takeovers 100``. Two master processes share one real Valkey server,
each over a cable of its own. Again and again the one that owns the store is killed, stopped or cut off from
it, and the time is taken until the other one serves. Meanwhile a genetic algorithm's experiment is played by
bookkeepers (:mod:`germline.bench.bookkeeper`), who write down what was acknowledged, and an evolution
strategy's by a worker process. In the end the books must be those of the master, and the centre must be the
one that the library computes alone.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import random
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from germline.bench.bookkeeper import Bookkeeper, Ledger
from germline.bench.pair import PATIENCE_S, Pair
from germline.spec import loads
from germline.v1 import spec_pb2

PAIRS = 8
BOOKKEEPERS = 4
_STEADY_S = 0.5  # of work between two takeovers
_KEPT = """
name = "kept"
[task.function]
path = "nowhere:nothing"
[policy]
name = "vector"
[algorithm.ga]
window = 200
parents = 20
[evaluation]
verify_share = 0.0
"""
_BOWL = f"""
name = "bowl"
seed = 7
[task.function]
path = "bowl:measure"
dimension = 20
[policy]
name = "vector"
[algorithm.eggroll]
pairs = {PAIRS}
slice_pairs = 2
sigma = 0.1
optimiser = "adam"
learning_rate = 0.05
validation_epochs = 0
"""
_TASK = """
import time
import numpy as np

def measure(weights, seed):
    time.sleep(0.02)
    return -float(np.square(weights - 1.0).sum())
"""


@dataclass(frozen=True, slots=True)
class Takeovers:
    """What came of it.

    Attributes:
        takeovers: how many there were, and of them
        kills: by SIGKILL,
        stops: by SIGSTOP,
        cuts: by a network that lets nothing through to the store.
        median_s: from the fault until the other master serves,
        longest_s: at most. Asked for: 10.
        acknowledged: evaluations that bookkeepers know to have counted.
        lost: of these, how many the master does not have; asked for: 0.
        doubled: how many it has more, or acknowledged twice; asked for: 0.
        altered: whether the frames that they took are others; asked for: no.
        epochs: of the evolution strategy.
        same_centre: whether its centre is the one of an undisturbed run, to the last bit.
    """

    takeovers: int
    kills: int
    stops: int
    cuts: int
    median_s: float
    longest_s: float
    acknowledged: int
    lost: int
    doubled: int
    altered: bool
    epochs: int
    same_centre: bool

    @property
    def is_good(self) -> bool:
        """Whether everything is as it must be, but for the time, which other work on a machine lengthens."""
        return not (self.lost or self.doubled or self.altered) and self.same_centre


async def measure(takeovers: int, ownership_s: float, seed: int) -> Takeovers:
    """Let it all happen."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bowl.py").write_text(_TASK)
        pair = Pair(Path(folder), ownership_s)
        try:
            return await _measure(pair, takeovers, random.Random(seed))  # noqa: S311 - faults
        finally:
            await pair.end()


async def _measure(pair: Pair, takeovers: int, chance: random.Random) -> Takeovers:
    await pair.begin()
    await pair.ask(lambda client: client.create(loads(_KEPT)))
    bowl = await pair.ask(lambda client: client.create(loads(_BOWL)))
    ledger = Ledger()
    keepers = [Bookkeeper(f"keeper-{n}", pair.addresses, "kept", ledger) for n in range(BOOKKEEPERS)]
    async with AsyncExitStack() as stack:
        for keeper in keepers:
            stack.callback(asyncio.create_task(keeper.work()).cancel)
        await _start_worker(pair)
        faults = [("kill", "stop", "cut")[n % 3] for n in range(takeovers)]
        chance.shuffle(faults)
        times = []
        for n, fault in enumerate(faults):
            await _steady(ledger, chance.uniform(0.0, 2 * _STEADY_S))
            times.append(await pair.take_over(fault))
            await pair.until(1 - pair.owner, serves=False)
            _say(f"{n + 1}/{takeovers} {fault}: {times[-1]:.1f} s; {ledger.evaluations:,} evaluations")
        await _steady(ledger, _STEADY_S)
        await _settle(keepers)
        _say("every word is answered; the evolution strategy ends")
        epochs, same = await _centre(pair, bowl.spec)
        return await _audit(pair, ledger, faults, times, epochs, same)


async def _start_worker(pair: Pair) -> None:
    """Start a worker process that plays whatever it can, and may play the bowl."""
    flags = ("--master", pair.addresses, "--device", "cpu", "--slots", "4", "--allow-code", "bowl")
    await pair.start("worker", sys.executable, "-m", "worker", *flags)


async def _steady(ledger: Ledger, seconds: float) -> None:
    """Work for a while, and until something counted."""
    before = ledger.evaluations
    await asyncio.sleep(seconds)
    async with asyncio.timeout(PATIENCE_S):
        while ledger.evaluations == before:
            await asyncio.sleep(0.02)


async def _settle(keepers: list[Bookkeeper]) -> None:
    """Take no more work, and wait for a word on everything that was told."""
    for keeper in keepers:
        keeper.is_closing = True
    async with asyncio.timeout(PATIENCE_S):
        while any(keeper.unacknowledged for keeper in keepers):
            await asyncio.sleep(0.05)


async def _centre(pair: Pair, spec: spec_pb2.ExperimentSpec) -> tuple[int, bool]:
    """Have the evolution strategy end; how many epochs it had, and whether its centre is what it must be."""
    now = await pair.ask(lambda client: client.experiment("bowl"))
    stop = spec_pb2.Stop(evaluations=2 * PAIRS * (now.epochs + 3))
    await pair.ask(lambda client: client.extend("bowl", stop))
    async with asyncio.timeout(PATIENCE_S):
        while not (now.is_over and now.centre_digest and not now.checkpoints_wanted):
            await asyncio.sleep(0.1)
            now = await pair.ask(lambda client: client.experiment("bowl"))
    is_counted = now.evaluations == 2 * PAIRS * now.epochs
    digest = await asyncio.to_thread(_undisturbed, spec, now.epochs)
    return now.epochs, is_counted and now.centre_digest == digest


def _undisturbed(spec: spec_pb2.ExperimentSpec, epochs: int) -> str:
    """The centre's digest after so many epochs, from the library alone."""
    import torch

    from germline.pairs import members
    from worker.centres.first_centre import first_evolution
    from worker.centres.members import write_weights
    from worker.networks.policies.vector import Vector
    from worker.playing.engine_builder import centre_settings

    evolution = first_evolution(Vector(dimension=20), centre_settings(spec))
    weights = torch.zeros(20)
    for epoch in range(epochs):
        scores = []
        for member in members(epoch, 0, PAIRS):
            write_weights(evolution, member, weights)
            scores.append(-float(((weights.numpy() - 1.0) ** 2).sum()))
        evolution.tell(scores)
    return evolution.digest()


async def _audit(
    pair: Pair, ledger: Ledger, faults: list[str], times: list[float], epochs: int, same_centre: bool
) -> Takeovers:
    """Compare the bookkeepers' books with the master's."""
    kept = await pair.ask(lambda client: client.experiment("kept"))
    least, most = ledger.frames
    _say(f"refused: {dict(ledger.refused)}; frames {least} to {most}, the master has {kept.frames}")
    return Takeovers(
        takeovers=len(faults),
        kills=faults.count("kill"),
        stops=faults.count("stop"),
        cuts=faults.count("cut"),
        median_s=statistics.median(times),
        longest_s=max(times),
        acknowledged=ledger.evaluations,
        lost=max(0, ledger.evaluations - kept.evaluations),
        doubled=max(0, kept.evaluations - ledger.evaluations) + len(ledger.doubled),
        altered=not least <= kept.frames <= most,
        epochs=epochs,
        same_centre=same_centre,
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """Read the command line, measure, and print; ends with status 1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--takeovers", type=int, default=100)
    parser.add_argument("--ownership-s", type=float, default=5.0, help="of the masters")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    given = parser.parse_args()
    _say(f"seed {given.seed}")
    came = asyncio.run(measure(given.takeovers, given.ownership_s, given.seed))
    print(json.dumps(dataclasses.asdict(came), indent=1))  # noqa: T201 - the figures
    sys.exit(not came.is_good)


if __name__ == "__main__":
    main()
