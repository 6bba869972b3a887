"""Who owns a store, and for how long; on a real server and the test's clock."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from germline.bench.cable import Cable
from master.journal import ownership
from master.journal.connection import connect
from master.journal.fenced import FencedStore, SupersededError
from master.journal.keys import Keys
from master.journal.own_store import OwnStore
from master.journal.ownership import Holder, Ownership

KEYS = Keys("owned")
LASTS_S = 4.0


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Redis]:
    async with OwnStore(tmp_path / "store") as store:
        client = connect(store.url)
        yield client
        await client.aclose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def master(client: Redis, clock: Clock, address: str, *, exclusive: bool = False) -> Ownership:
    return Ownership(FencedStore(client, KEYS), address, LASTS_S, clock=clock, exclusive=exclusive)


async def test_whoever_comes_second_is_told_who_owns_the_store(client: Redis, clock: Clock) -> None:
    first, second = (master(client, clock, address) for address in ("here:1", "here:2"))
    assert await first.take() is None
    owner = await second.take()
    assert owner is not None
    assert str(owner).startswith(f"process {os.getpid()} on ")
    assert str(owner).endswith("which listens on here:1")
    assert (first.is_held, second.is_held, second.was_taken) == (True, False, False)


async def test_an_ownership_is_over_a_little_before_another_master_may_begin_its_own(
    client: Redis, clock: Clock
) -> None:
    owner = master(client, clock, "here:1")
    assert await owner.take() is None
    seconds, micros = await client.time()
    await owner.settle()
    assert await client.pexpiretime(KEYS.owner) >= 1_000 * (seconds + LASTS_S) + micros // 1_000
    clock.now += 0.94 * LASTS_S
    assert owner.is_held
    clock.now += 0.02 * LASTS_S
    assert not owner.is_held


async def test_a_long_journal_is_read_without_losing_the_store(client: Redis, clock: Clock) -> None:
    owner = master(client, clock, "here:1")
    assert await owner.take() is None
    clock.now += 10 * LASTS_S
    assert owner.is_held
    assert await client.pttl(KEYS.owner) > 10_000 * LASTS_S


async def test_a_store_of_ones_own_is_owned_for_as_long_as_nobody_takes_it(
    client: Redis, clock: Clock
) -> None:
    first, second = (master(client, clock, address, exclusive=True) for address in ("here:1", "here:2"))
    assert await first.take() is None
    clock.now += 1e9
    assert first.is_held
    assert await second.take() is None  # its folder's lock has said that the first one is gone
    with pytest.raises(SupersededError, match="another master has taken this store over"):
        await first.settle()


async def test_a_store_that_was_let_go_is_free_and_one_that_another_took_is_left_alone(
    client: Redis, clock: Clock
) -> None:
    first, second, third = (master(client, clock, f"here:{n}") for n in (1, 2, 3))
    assert await first.take() is None
    await first.release()
    assert not first.is_held
    assert await second.take() is None
    await first.release()
    assert await third.take() is not None
    assert await third.take(at_once=True) is None


@pytest.mark.parametrize(("machine", "is_free"), [("", False), ("another", False), (None, True)])
async def test_a_dead_process_owns_nothing_if_it_was_of_this_machine(
    client: Redis, clock: Clock, machine: str | None, is_free: bool
) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    here = Holder.here("here:1")
    machine = here.machine if machine is None else machine
    dead = here._replace(process=process.pid, began="1", nonce="x", machine=machine)
    await client.set(KEYS.owner, dead.write(), px=60_000)
    assert (await master(client, clock, "here:2").take() is None) is is_free


async def test_another_process_with_a_dead_ones_number_is_not_it(client: Redis, clock: Clock) -> None:
    earlier = Holder.here("here:1")._replace(began="1", nonce="x")  # this very number, but long ago
    assert earlier.is_dead
    assert not Holder.here("here:1").is_dead


async def test_an_owner_that_this_build_cannot_read_is_an_owner(client: Redis, clock: Clock) -> None:
    await client.set(KEYS.owner, "of a later build", px=60_000)
    assert await master(client, clock, "here:2").take() is not None


async def test_an_answer_that_got_lost_costs_nobody_the_store(client: Redis, clock: Clock) -> None:
    owner = master(client, clock, "here:1")
    assert await owner.take() is None
    assert await owner.take() is None  # it is there under this process's own nonce
    assert await client.get(KEYS.boot) == b"2"


async def test_a_store_that_fell_back_behind_a_takeover_has_lost_something(
    client: Redis, clock: Clock
) -> None:
    first, second = (master(client, clock, f"here:{n}") for n in (1, 2))
    assert await first.take() is None
    assert await second.take(at_once=True) is None
    await second._store.open()
    await client.set(KEYS.boot, "1")  # as on a replica that did not hear of it
    gaps: list[int] = []
    await second._renew(lambda: gaps.append(1))
    assert gaps == [1]
    await second.claim()
    with pytest.raises(SupersededError):
        await first.settle()


class StickyCable(Cable):
    """To a server's socket; its connections can be stuck for good, while new ones carry."""

    def __init__(self, socket: str) -> None:
        super().__init__(socket, 0)
        self._stuck = 0

    def stick(self) -> None:
        self._stuck += 1

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self._host)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        made = self._stuck
        while data := await source.read(65_536):
            if made < self._stuck:
                await asyncio.Event().wait()
            target.write(data)
            await target.drain()


async def test_who_waits_does_not_wait_for_a_connection_that_is_stuck(
    client: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "_ANSWER_S", 0.2)
    cable = StickyCable(client.connection_pool.connection_kwargs["path"])
    await cable.lay()
    theirs = connect(f"redis://{cable.host}:{cable.port}/0")
    try:
        owner = Ownership(FencedStore(client, KEYS), "a:1", 3_600.0, clock=clock)
        waits = Ownership(FencedStore(theirs, KEYS), "b:2", 3_600.0, clock=clock)
        assert await owner.take() is None
        assert await waits.take() is not None  # over a connection that is kept
        cable.stick()
        await owner.release()
        async with asyncio.timeout(
            20
        ):  # and not the hour that an ownership lasts, nor as long as a reply may take
            await waits.wait()
        assert waits.is_held
    finally:
        await theirs.aclose()
        await cable.take_away()
