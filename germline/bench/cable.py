"""A cable between a client and a server that can be held: nothing comes through, and nobody is told so."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Cable:
    """Carries TCP connections to a server. Held, it keeps what is sent; let go, it cuts what was held.

    Attributes:
        host: on which it listens, an address of this machine,
        port: and the port there.
    """

    def __init__(self, host: str, port: int, listen: str = "127.0.0.1") -> None:
        """Lead to a server; nothing listens yet."""
        self._host, self._server = host, port
        self.host = listen
        self._flows = asyncio.Event()
        self._flows.set()
        self._carriers: set[asyncio.Task[None]] = set()
        self.port = 0

    async def lay(self) -> None:
        """Listen."""
        self._listener = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def take_away(self) -> None:
        """Listen no more, and cut everything."""
        self._listener.close()
        self.cut()
        await asyncio.gather(*self._carriers, return_exceptions=True)
        await asyncio.sleep(0)  # a connection closes in the loop's next turn

    def hold(self) -> None:
        """Let nothing through, as a network that loses everything does."""
        self._flows.clear()

    def let_go(self) -> None:
        """Carry again. What was underway is lost with its connections."""
        self.cut()
        self._flows.set()

    def cut(self) -> None:
        """Break the connections."""
        for carrier in self._carriers:
            carrier.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrier = asyncio.ensure_future(self._connect(reader, writer))
        self._carriers.add(carrier)
        carrier.add_done_callback(self._carriers.discard)
        with suppress(asyncio.CancelledError):
            await carrier

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers, tasks = [writer], []
        try:
            await self._admit()
            answers, upstream = await self._reach()
            writers.append(upstream)
            sides = (self._carry(reader, upstream), self._carry(answers, writer))
            tasks = [asyncio.ensure_future(side) for side in sides]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            return
        finally:
            for each in writers:
                each.transport.abort()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            await self._pass()
            target.write(data)
            await target.drain()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server."""
        return await asyncio.open_connection(self._host, self._server)

    async def _admit(self) -> None:
        """Before a connection is made."""
        await self._flows.wait()

    async def _pass(self) -> None:
        """Before what was read on one side goes to the other. An OSError breaks the connection."""
        await self._flows.wait()
