"""A network that loses an answer ends no master that reads its journal: it asks again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import TypeVar

import pytest
from redis.asyncio import Redis

from germline.bench.cable import Cable
from germline.ports import free_port
from master.errors import JournalFormatError, StoreFailingError
from master.journal import fenced
from master.journal.connection import connect
from master.journal.fenced import Entry, FencedStore
from master.journal.keys import Keys
from master.journal.own_store import OwnStore

KEYS = Keys("read")
PATIENCE_S = 20.0
T = TypeVar("T")


class Watched(Cable):
    """A cable that says when something is to go through."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self.is_reached = asyncio.Event()

    async def _pass(self) -> None:
        self.is_reached.set()
        await super()._pass()

    async def cut_during(self, question: Awaitable[T]) -> T:
        """Ask, and cut when the question is underway."""
        self.is_reached.clear()
        self.hold()
        asking = asyncio.ensure_future(question)
        async with asyncio.timeout(PATIENCE_S):
            await self.is_reached.wait()
            self.let_go()
            return await asking


@pytest.fixture
async def cable(tmp_path: Path) -> AsyncIterator[Watched]:
    """Leads to a store."""
    async with OwnStore(tmp_path / "store") as store:
        client, port = connect(store.url), free_port()
        await client.config_set("port", port)
        await client.aclose()
        cable = Watched(port)
        await cable.lay()
        yield cable
        await cable.take_away()


@pytest.fixture
async def client(cable: Watched) -> AsyncIterator[Redis]:
    client = connect(f"redis://127.0.0.1:{cable.port}")
    yield client
    await client.aclose()


async def test_each_question_is_asked_again_after_a_cut(client: Redis, cable: Watched) -> None:
    store = FencedStore(client, KEYS)
    await store.take("somebody", 60.0, "")
    await store.append([Entry(3, 1, b"first"), Entry(3, 2, b"second")])
    await store.name({3: "kept"})
    await store.stage(KEYS.parts("large"), 0, b"abc")
    await store.keep("large")

    assert await cable.cut_during(store.open()) == [3]
    assert await cable.cut_during(store.entries(3, 1, 10)) == [(1, b"first"), (2, b"second")]
    assert await cable.cut_during(store.head_of(3)) == 2
    assert await cable.cut_during(store.name_of(3)) == "kept"
    assert await cable.cut_during(store.value("large")) == b"abc"


async def test_a_store_that_stays_away_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fenced, "_ASKED_FOR_S", 0.05)
    client = connect(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(StoreFailingError, match="the journal cannot be read"):
        await FencedStore(client, KEYS).head_of(3)
    await client.aclose()


async def test_an_answer_that_says_no_is_not_asked_for_again(client: Redis) -> None:
    await client.set(KEYS.heads, "no hash")
    with pytest.raises(JournalFormatError, match="a key of it holds what no journal writes"):
        await FencedStore(client, KEYS).head_of(3)
