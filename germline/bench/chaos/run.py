"""Builds it all, lets things go wrong, heals them, and has everything audited."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from germline.bench.bookkeeper import Bookkeeper, Ledger
from germline.bench.chaos import worlds
from germline.bench.chaos.audit import Findings, audit, claims_of_ledger, claims_of_log, read_books
from germline.bench.chaos.cables import TroubledCable
from germline.bench.chaos.crew import Worker
from germline.bench.chaos.journal_file import entries
from germline.bench.chaos.network import Network
from germline.bench.chaos.torment import Scale, Targets, Torment
from germline.bench.pair import HERE, PATIENCE_S, Pair
from germline.client import Experiment
from germline.spec import loads
from germline.v1 import spec_pb2

_LOOK_S = 0.25
_KEEPERS_PAUSE_S = 0.2
_REPEAT_EVERY = 5  # messages of a bookkeeper
_MORE_EPOCHS = 3
_SAY_S = 30.0


@dataclass(slots=True)
class Chaos:
    """What came of it.

    Attributes:
        seed: of all that was drawn.
        minutes: for which things went wrong.
        network: of what the processes were on: "namespaces", or why there were none.
        faults: by kind; each that befell something, and none that was only planned.
        repeats: messages that were said twice though nothing asked for it.
        takeovers: of one master by the other, and their median and longest time.
        found: by the auditor. Asked for: nothing lost, doubled or altered.
        evaluations: that the journal has, of all experiments.
        set_aside: evaluations that masters gave up; asked for: 0.
        discarded: evaluations of workers whose centre was not the others'; asked for: 0.
        gaps: entries of the journal that are missing in the store's file; asked for: 0.
        books_agree: whether the masters' own counts are those of the journal.
        epochs: of the evolution strategy,
        same_centre: and whether its centre is that of the same epochs in peace, to the last bit.
        longest_quiet_s: time without an acknowledgement, at most.
        fallen: what masters said last that ended by themselves, and were started again.
        missing: workers that were not back in the end; asked for: none.
        troubles: what else should not have been, in words.
    """

    seed: int
    minutes: float
    network: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    takeovers_s: list[float] = field(default_factory=list)
    found: Findings = field(default_factory=Findings)
    evaluations: int = 0
    set_aside: int = 0
    discarded: int = 0
    gaps: int = 0
    books_agree: bool = False
    epochs: int = 0
    same_centre: bool = False
    longest_quiet_s: float = 0.0
    fallen: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether everything is as it must be."""
        bad = self.found.lost or self.found.doubled or self.found.altered or self.gaps or self.discarded
        alone = self.set_aside or self.missing or self.troubles
        return not (bad or alone) and self.books_agree and self.same_centre


async def measure(scale: Scale, seed: int, folder: Path | None = None) -> Chaos:
    """Let it all happen; what processes wrote stays in the folder, if one is given."""
    with tempfile.TemporaryDirectory(prefix="germline-chaos-") as own:
        return await _measure(scale, seed, folder or Path(own))


async def _measure(scale: Scale, seed: int, folder: Path) -> Chaos:
    came = Chaos(seed, scale.minutes)
    async with _built(scale, folder, came) as house:
        torment = Torment(house.targets, scale, seed, came.faults)
        quiet = asyncio.create_task(house.watch())
        await torment.go_on()
        say("healed; everybody is to come back")
        await house.pair.find_owner()
        await house.come_back(came)
        quiet.cancel()
        came.takeovers_s, came.fallen = torment.takeovers_s, house.pair.fallen
        await house.end_well(came)
    return came


class House:
    """Everything that runs."""

    def __init__(self, pair: Pair, crew: list[Worker], cables: list[TroubledCable], came: Chaos) -> None:
        """Know it all."""
        self.pair, self._crew, self._came = pair, crew, came
        self._cables = cables
        self._ledger = Ledger()
        self._keepers: list[Bookkeeper] = []
        self.targets: Targets
        self._numbers: dict[str, int] = {}

    async def begin(self, scale: Scale, stack: AsyncExitStack) -> None:
        """Create the experiments, and start who plays them."""
        await self._create(loads(worlds.MAKE_UP))
        await self._create(loads(worlds.SEARCH))
        await self._create(loads(worlds.climb(worlds.CLIMBED)))
        masters = ",".join(f"{cable.host}:{cable.port}" for cable in self._cables)
        self._keepers = [
            Bookkeeper(
                f"keeper-{number}",
                masters,
                worlds.MADE_UP,
                self._ledger,
                pause_s=_KEEPERS_PAUSE_S,
                repeat_every=_REPEAT_EVERY,
            )
            for number in range(scale.keepers)
        ]
        for keeper in self._keepers:
            stack.callback(asyncio.create_task(keeper.work()).cancel)
        for worker in self._crew:
            stack.push_async_callback(worker.end)
            await worker.begin()

    async def _create(self, spec: spec_pb2.ExperimentSpec) -> None:
        created = await self.pair.ask(lambda client: client.create(spec))
        self._numbers[spec.name] = created.number

    async def watch(self) -> None:
        """Look how long nothing is acknowledged, and who is gone."""
        heard, since_s, said_s = self._heard(), time.monotonic(), time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_S)
            now_s = time.monotonic()
            if (now := self._heard()) != heard:
                heard, since_s = now, now_s
            self._came.longest_quiet_s = max(self._came.longest_quiet_s, now_s - since_s)
            for worker in self._crew:
                worker.look()
            if now_s - said_s > _SAY_S:
                said_s = now_s
                say(f"{sum(self._came.faults.values()):,} faults; {dict(self._came.faults)}")

    def _heard(self) -> int:
        """Something that grows with every acknowledgement."""
        logs = self.pair.folder.glob("results-*.jsonl")
        return self._ledger.evaluations + sum(log.stat().st_size for log in logs)

    async def come_back(self, came: Chaos) -> None:
        """Wait until every worker is connected, and note who is not."""
        wanted = {worker.name for worker in self._crew}
        try:
            async with asyncio.timeout(PATIENCE_S):
                while gone := wanted - await self._connected():
                    await asyncio.sleep(0.2)
        except TimeoutError:
            came.missing = sorted(gone)
        for worker in self._crew:
            worker.look()

    async def _connected(self) -> set[str]:
        return {worker.worker_id for worker in await self.pair.ask(lambda client: client.workers())}

    async def end_well(self, came: Chaos) -> None:
        """Let the experiments come to their ends, the workers leave, and the auditor look."""
        await self._settle()
        await self.pair.ask(lambda client: client.pause(worlds.SEARCHED))
        say("every word is answered; the evolution strategy ends, and runs again in peace")
        ended = await self._end_climb(worlds.CLIMBED, _MORE_EPOCHS)
        again = await self._climb_again(ended)
        came.epochs, came.same_centre = ended.epochs, _is_same(ended, again)
        for worker in self._crew:
            await worker.leave()
            came.troubles += worker.trouble
        await self._audit(came)

    async def _settle(self) -> None:
        """Bookkeepers take no more work, and wait for a word on everything that they told."""
        for keeper in self._keepers:
            keeper.is_closing = True
        async with asyncio.timeout(PATIENCE_S):
            while any(keeper.unacknowledged for keeper in self._keepers):
                await asyncio.sleep(0.05)
        self._came.repeats = sum(keeper.repeated for keeper in self._keepers)

    async def _end_climb(self, name: str, more_epochs: int) -> Experiment:
        now = await self.pair.ask(lambda client: client.experiment(name))
        stop = spec_pb2.Stop(evaluations=2 * worlds.PAIRS * (now.epochs + more_epochs))
        await self.pair.ask(lambda client: client.extend(name, stop))
        return await self._until_over(name)

    async def _climb_again(self, ended: Experiment) -> Experiment:
        spec = loads(worlds.climb(worlds.AGAIN))
        spec.stop.evaluations = 2 * worlds.PAIRS * ended.epochs
        await self._create(spec)
        return await self._until_over(worlds.AGAIN)

    async def _until_over(self, name: str) -> Experiment:
        before, now = -1, await self.pair.ask(lambda client: client.experiment(name))
        while not (now.is_over and now.centre_digest and not now.checkpoints_wanted):
            async with asyncio.timeout(PATIENCE_S):  # for one more epoch, and for the end
                while now.epochs == before and not now.is_over:
                    await asyncio.sleep(0.2)
                    now = await self.pair.ask(lambda client: client.experiment(name))
            before = now.epochs
            await asyncio.sleep(0.2)
            now = await self.pair.ask(lambda client: client.experiment(name))
        return now

    async def _audit(self, came: Chaos) -> None:
        every = await self.pair.ask(lambda client: client.experiments())
        looks = {look.name: look for look in every}
        books = await asyncio.to_thread(lambda: read_books(entries(self.pair.folder)))
        mine = {number: books[number] for number in self._numbers.values()}
        claims = [*claims_of_ledger(self._ledger, self._numbers[worlds.MADE_UP])]
        for log in sorted(self.pair.folder.glob("results-*.jsonl")):
            claims += claims_of_log(log.stem.removeprefix("results-"), log)
        came.found = audit(claims, mine)
        came.evaluations = sum(look.evaluations for look in looks.values())
        came.set_aside = sum(len(book.aside) for book in mine.values())
        came.discarded = sum(book.discarded for book in mine.values())
        came.gaps = sum(book.gaps for book in mine.values())
        frames = {name: mine[number].frames for name, number in self._numbers.items()}
        came.books_agree = frames == {name: look.frames for name, look in looks.items()}


def _is_same(ended: Experiment, again: Experiment) -> bool:
    return (ended.epochs, ended.evaluations, ended.frames, ended.centre_digest) == (
        again.epochs, again.evaluations, again.frames, again.centre_digest,
    )  # fmt: skip


@asynccontextmanager
async def _built(scale: Scale, folder: Path, came: Chaos) -> AsyncIterator[House]:
    """Everything up and running; all of it is gone behind."""
    write_worlds(folder)
    async with AsyncExitStack() as stack:
        network = Network()
        stack.push_async_callback(network.remove)
        places = await network.places(3 + scale.workers)
        came.network = network.why_not or "namespaces"
        if network.why_not:
            say(f"NO NETWORK NAMESPACES, all on this machine's own network: {network.why_not}")

        def cable(host: str, port: int, listen: str) -> TroubledCable:
            return TroubledCable(host, port, listen, came.faults)

        pair = Pair(folder, scale.ownership_s, places[:3], cable, supervised=True)
        stack.push_async_callback(pair.end)
        await pair.begin()
        crew = [
            Worker(number, pair, place, came.faults, scale.pause_s) for number, place in enumerate(places[3:])
        ]
        keepers = [cable(host, port, HERE.gateway) for host, port in pair.targets]
        for each in keepers:
            stack.push_async_callback(each.take_away)
            await each.lay()
        house = House(pair, crew, keepers, came)
        cables = [*keepers, *(each for worker in crew for each in worker.cables)]
        stores = [each for each in pair.cables if isinstance(each, TroubledCable)]
        house.targets = Targets(pair, crew, [*cables, *stores], network, places)
        await house.begin(scale, stack)
        yield house


def write_worlds(folder: Path) -> None:
    """Put down what workers play, and what makes their clocks wrong."""
    (folder / f"{worlds.MODULE}.py").write_text(worlds.CORRIDOR)
    (folder / "clock").mkdir(exist_ok=True)
    (folder / "clock" / "sitecustomize.py").write_text(worlds.CLOCK)


def say(text: str) -> None:
    """Tell whoever looks on."""
    sys.stderr.write(f"{text}\n")
