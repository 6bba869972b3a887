"""A worker that lies, among honest ones: found out by a check, named, forgotten, and taken back."""

import asyncio
import json
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from germline.cli.cards import Playable
from germline.cli.playing import play_all
from germline.client import Client, Experiment
from germline.spec import loads
from germline.spec.convert import starts_of
from master.config import MasterConfig
from master.server import Master

PATIENCE_S = 240.0
LIE = 50.0
MOST = 21.0  # points that a game of Pong can have
SPEC = loads("""
name = "pong"
[task.atari]
game = "pong"
max_frames = 240
[policy]
name = "motion"
[evaluation]
precision = "int8"
verify_share = 0.5
[algorithm.ga]
window = 8
parents = 4
power = 0.05
candidates = 1
validation_share = 0.7
""")
HONEST = 'import runpy; runpy.run_module("worker", run_name="__main__", alter_sys=True)'
LYING = f"""
from worker.connection import wire
honest = wire._result

def lying(score):
    message = honest(score)
    message.returns[:] = [value + {LIE} for value in message.returns]
    return message

wire._result = lying
{HONEST}
"""

T = TypeVar("T")


class House:
    """A master in this process, and workers in theirs."""

    def __init__(self, master: Master) -> None:
        self.master = master
        self.client = Client(master.address)

    async def ask(self, question: Callable[[Client], T]) -> T:
        return await asyncio.to_thread(question, self.client)

    async def command(self, *words: str) -> str:
        """What a command of the command line says."""
        germline = Path(sysconfig.get_path("scripts")) / "germline"
        process = await asyncio.create_subprocess_exec(
            germline, *words, "--master", self.master.address, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        assert process.returncode == 0
        return said.decode()

    async def until(self, is_so: Callable[[Experiment], bool]) -> Experiment:
        """Look on until it is so."""

        def watch(client: Client) -> Experiment:
            return next(look for look in client.watch("pong", 0.1) if is_so(look))

        async with asyncio.timeout(PATIENCE_S):
            return await self.ask(watch)

    def is_in_quarantine(self, since: float = 0.0) -> Callable[[Experiment], bool]:
        """Whether the liar is, and was put there after this time."""
        known = self.master.registry.quarantined
        return lambda _look: "liar" in known and known["liar"].time > since


@asynccontextmanager
async def worker(address: str, name: str, program: str, folder: Path) -> AsyncIterator[None]:
    flags = ("--master", address, "--worker-id", name, "--device", "cpu", "--threads", "1", "--slots", "2")
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, *flags, stderr=log)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[House]:
    config = MasterConfig(listen="127.0.0.1:0", store_folder=folder / "store", metrics_port=-1)
    async with Master.serving(config) as master:
        house = House(master)
        try:
            yield house
        finally:
            house.client.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_worker_that_lies_is_found_out_and_nothing_false_remains(tmp_path: Path) -> None:
    async with serving(tmp_path) as house:
        await house.ask(lambda client: client.create(SPEC))
        address = house.master.address
        async with worker(address, "liar", LYING, tmp_path):
            await house.until(lambda look: (look.best_fitness or 0.0) > MOST)  # its lies rule
            async with worker(address, "ann", HONEST, tmp_path), worker(address, "bob", HONEST, tmp_path):
                await check_that_the_liar_is_found_out(house, tmp_path)
                await check_that_it_is_taken_back(house)
        await house.ask(lambda client: client.pause("pong"))

    async with serving(tmp_path) as house:  # another start of the master, from the store alone
        assert list(house.master.registry.quarantined) == ["liar"]


async def check_that_the_liar_is_found_out(house: House, folder: Path) -> None:
    found = await house.until(house.is_in_quarantine())
    quarantined = await house.ask(lambda client: client.quarantined())
    assert [each.worker_id for each in quarantined] == ["liar"]
    assert quarantined[0].reason.startswith("worker liar is wrong: of individual ")
    assert all(name in quarantined[0].reason for name in ("liar got", "ann got", "bob got"))
    assert found.verification.differed >= 1
    assert found.verification.frames > 0

    crowned = await house.until(lambda look: bool(look.champion and look.champion.start_returns))
    assert crowned.best_fitness is not None
    assert crowned.best_fitness <= MOST
    population = await house.ask(lambda client: client.individuals("pong"))
    assert population
    assert max(each.fitness for each in population) <= MOST
    best = await house.ask(lambda client: client.individual("pong"))
    assert best.genome is not None
    policy = Playable(crowned.spec, best.genome, "champion", "of this test")
    assert play_all(policy, starts_of(crowned.spec), "cpu", quiet=True) == list(best.start_returns)
    assert "lends this worker nothing any more: worker liar is wrong" in (folder / "liar.log").read_text()
    assert "quarantine" not in (folder / "ann.log").read_text()


async def check_that_it_is_taken_back(house: House) -> None:
    before = house.master.registry.quarantined["liar"].time
    said = await house.command("workers", "--release", "liar")
    assert "liar" in said
    assert "quarantine" not in said
    await house.until(house.is_in_quarantine(since=before))  # it got work again, and lied again
    workers = json.loads(await house.command("workers", "--json"))
    trouble = {each["worker_id"]: each["trouble"] for each in workers}
    assert trouble["liar"].startswith("in quarantine: worker liar is wrong")
    assert (trouble["ann"], trouble["bob"]) == ("", "")
