"""A network of its own for each process, where this machine allows it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection

from germline.bench.pair import HERE, Place

_BYTES = 256


class NetworkError(Exception):
    """This machine lets nobody make networks; the text says what it answered."""


class Network:
    """Network namespaces, each joined to this one by a cable that can be pulled.

    Attributes:
        why_not: why there are none, and everything is on this machine's own network; empty if there are.
    """

    def __init__(self) -> None:
        """Make none yet."""
        self.why_not = ""
        self._made: list[tuple[str, str]] = []  # namespaces, and this side of their cables
        self._links: dict[Place, str] = {}

    async def places(self, count: int) -> list[Place]:
        """So many places: in namespaces if that can be, else all of them here."""
        try:
            return [await self._make(number) for number in range(count)]
        except NetworkError as error:
            self.why_not = str(error)
            await self.remove()
            return [HERE] * count

    async def pull(self, place: Place, seconds: float) -> bool:
        """Let a place's cable carry nothing for a while; False if it has none of its own."""
        link = self._links.get(place)
        if link is None:
            return False
        await _ip("link", "set", link, "down")
        try:
            await asyncio.sleep(seconds)
        finally:
            await _ip("link", "set", link, "up")
        return True

    @property
    def cables(self) -> Collection[Place]:
        """The places that have a cable of their own."""
        return self._links.keys()

    async def remove(self) -> None:
        """Take everything away again."""
        self._links.clear()
        while self._made:
            namespace, link = self._made.pop()
            for command in (("link", "del", link), ("netns", "del", namespace)):
                try:
                    await _ip(*command)
                except NetworkError:
                    continue  # one that was never made

    async def _make(self, number: int) -> Place:
        process = os.getpid()
        namespace, link = f"germline-{process}-{number}", f"gl{process}-{number}"[:15]
        net = f"10.{64 + process % 128}.{process // 128 % _BYTES}"  # of four addresses for each
        gateway, host = (f"{net}.{4 * number + place}" for place in (1, 2))
        self._made.append((namespace, link))
        inside = ("-n", namespace)
        await _ip("netns", "add", namespace)
        await _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        await _ip("addr", "add", f"{gateway}/30", "dev", link)
        await _ip("link", "set", link, "up")
        await _ip(*inside, "addr", "add", f"{host}/30", "dev", "eth0")
        await _ip(*inside, "link", "set", "eth0", "up")
        await _ip(*inside, "link", "set", "lo", "up")
        place = Place(host, gateway, ("nsenter", f"--net=/run/netns/{namespace}"))
        self._links[place] = link
        return place


async def _ip(*words: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            "ip", *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise NetworkError(f"ip: {error}") from error
    _, said = await process.communicate()
    if process.returncode:
        raise NetworkError(f"ip {' '.join(words)}: {said.decode().strip()}")
