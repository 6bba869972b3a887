"""One upstream for all who look: latest wins, silence is news, and nobody leaves a thread behind."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from germline.cli.output import Json
from germline.dashboard import feeds
from germline.dashboard.feeds import Feeds


class Upstream:
    """Values that a test lets go."""

    def __init__(self) -> None:
        self.starts = 0
        self.ended = threading.Event()
        self._more = threading.Semaphore(0)
        self._value = 0

    def produce(self, stopped: threading.Event) -> Iterator[Json]:
        self.starts += 1
        while not stopped.is_set():
            if self._more.acquire(timeout=0.02):
                self._value += 1
                yield self._value
        self.ended.set()

    def let_go(self, count: int = 1) -> None:
        self._more.release(count)


async def test_all_readers_share_one_upstream_and_it_ends_with_the_last() -> None:
    upstream, all_of_them = Upstream(), Feeds()
    with all_of_them.reading("a", upstream.produce) as one, all_of_them.reading("a", upstream.produce) as two:
        upstream.let_go()
        assert await anext(aiter(one.read())) == 1
        assert await anext(aiter(two.read())) == 1
        assert upstream.starts == 1
    assert await asyncio.to_thread(upstream.ended.wait, 5)


async def test_a_slow_reader_gets_the_newest_and_not_a_queue() -> None:
    upstream, all_of_them = Upstream(), Feeds()
    with all_of_them.reading("a", upstream.produce) as feed:
        values = aiter(feed.read())
        upstream.let_go()
        assert await anext(values) == 1
        upstream.let_go(50)
        async with asyncio.timeout(5):
            while (value := await anext(values)) != 51:
                assert isinstance(value, int)
    all_of_them.close()


async def test_an_upstream_that_says_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_SILENT_S", 0.1)
    upstream, all_of_them = Upstream(), Feeds()
    with all_of_them.reading("a", upstream.produce) as feed:
        values = aiter(feed.read())
        upstream.let_go()
        assert await anext(values) == 1
        async with asyncio.timeout(5):
            value = await anext(values)
        assert isinstance(value, dict)
        assert "lost" in value
        upstream.let_go()
        async with asyncio.timeout(5):
            assert await anext(values) == 2


async def test_there_is_room_for_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_READERS", 1)
    upstream, all_of_them = Upstream(), Feeds()
    with all_of_them.reading("a", upstream.produce):
        assert all_of_them.are_full
    assert not all_of_them.are_full
