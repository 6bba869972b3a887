"""The WebSocket by which clients find the nodes: `init` when they come, `update` when something changes.

A client's path names an experiment, /pong, or all of them: /all. What clients send is bytes of strangers.
"""

from __future__ import annotations

import asyncio
import http
import json
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from germline.models.announcements import Announced, Event, FrameError, Report, read_reports, write_frames
from worker.serving.node import Protection
from worker.serving.telling import Offer, Teller

logger = logging.getLogger(__name__)

EVERYTHING = "all"
MAX_CLIENTS = 256
MAX_FRAME_BYTES = 64 << 10
"""Of a client's frame; an honest one is a few hundred bytes."""
MAX_SENSELESS = 10
"""Frames of one client that may make no sense before it is shown out."""
_MAX_QUEUE = 4  # frames of one client that wait to be read


class Orchestrator:
    """Tells clients which models run where.

    Attributes:
        offers: what is served, by id; :meth:`changed` after it was changed.
        port: where it listens; 0 until it is open.
    """

    def __init__(
        self,
        protection: Protection,
        given_up: Callable[[Report], None],
        *,
        advertise: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare.

        Args:
            protection: what clients have to show.
            given_up: is told of each model that a client gives up.
            advertise: where clients reach the nodes; by default where they reached this.
            tls: what to encrypt with.
        """
        self.offers: Mapping[str, Offer] = {}
        self.port = 0
        self._protection, self._given_up = protection, given_up
        self._advertise, self._tls = advertise, tls
        self._changed: set[asyncio.Event] = set()

    def changed(self) -> None:
        """Tell every client what is new."""
        for event in self._changed:
            event.set()

    async def open(self, host: str, port: int, stack: AsyncExitStack) -> None:
        """Listen until the stack is unwound. Raises OSError."""
        server = await stack.enter_async_context(
            serve(
                self._talk, host, port,
                process_request=self._look_at, ssl=self._tls, compression=None, server_header=None,
                max_size=MAX_FRAME_BYTES, max_queue=_MAX_QUEUE,
            )
        )  # fmt: skip
        self.port = next(iter(server.sockets)).getsockname()[1]

    def _look_at(self, connection: ServerConnection, request: Request) -> Response | None:
        """Turn away whom there is no room for, and who shows no token."""
        if len(self._changed) >= MAX_CLIENTS:
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_CLIENTS} clients are here\n"
            )
        if not self._protection.lets_in(", ".join(request.headers.get_all("authorization"))):
            return connection.respond(
                http.HTTPStatus.UNAUTHORIZED, "a token is needed: authorization: Bearer TOKEN\n"
            )
        return None

    async def _talk(self, connection: ServerConnection) -> None:
        """One client, from its coming to its leaving."""
        wanted = unquote(connection.request.path.partition("?")[0]).strip("/") if connection.request else ""
        if not wanted:
            sentence = f"the path names no experiment; allowed: /NAME, or /{EVERYTHING}"
            with suppress(ConnectionClosed):
                await connection.send(json.dumps({"error": sentence}))
                await connection.close(1008, sentence)
            return
        logger.info("%s asks for models of %.100r", connection.remote_address[0], wanted)
        changed = asyncio.Event()
        self._changed.add(changed)
        teller = Teller(self._advertise or _bracketed(str(connection.local_address[0])))
        reading = asyncio.create_task(self._listen(connection, teller, changed))
        try:
            await self._tell(connection, wanted, teller, changed)
        except ConnectionClosed:
            logger.info("%s has left", connection.remote_address[0])
        finally:
            self._changed.discard(changed)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading

    async def _tell(
        self, connection: ServerConnection, wanted: str, teller: Teller, changed: asyncio.Event
    ) -> None:
        """Announce, until the connection is closed."""
        await _send(connection, "init", teller.first(self._offered(wanted)))
        while True:
            changed.clear()
            for models in teller.news(self._offered(wanted), time.monotonic()):
                await _send(connection, "update", models)
            with suppress(TimeoutError):
                async with asyncio.timeout(teller.wait_s(time.monotonic())):
                    await changed.wait()
            if connection.close_code is not None:
                return

    async def _listen(self, connection: ServerConnection, teller: Teller, changed: asyncio.Event) -> None:
        """Take what the client gives up, until it leaves."""
        senseless = 0
        try:
            async for frame in connection:
                try:
                    reports = read_reports(frame)
                except FrameError as error:
                    logger.warning(
                        "%s sent a frame that is left out: %s", connection.remote_address[0], error
                    )
                    senseless += 1
                    if senseless >= MAX_SENSELESS:
                        await connection.close(1008, f"{senseless} frames make no sense")
                    continue
                self._take(reports, teller, changed)
        except ConnectionClosed:
            pass  # which ends the telling, too
        finally:
            changed.set()

    def _take(self, reports: list[Report], teller: Teller, changed: asyncio.Event) -> None:
        for report in reports:
            if teller.given_up(report.model_id, time.monotonic()):
                logger.warning(
                    "a client gave %s up: %.40r %.200r", report.model_id, report.code, report.reason
                )
                self._given_up(report)
        changed.set()  # the pause begins

    def _offered(self, wanted: str) -> dict[str, Offer]:
        return {
            name: offer for name, offer in self.offers.items() if wanted in (EVERYTHING, offer.experiment)
        }


async def _send(connection: ServerConnection, event: Event, models: list[Announced]) -> None:
    for frame in write_frames(event, models):
        await connection.send(frame)


def _bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host
