"""Hears what is announced: connects, and connects again, for as long as somebody listens."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from germline.connection import Security, is_loopback
from germline.models.announcements import Announced, Event, FrameError, read_models

logger = logging.getLogger(__name__)

_MAX_FRAME_BYTES = 4 << 20
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


class Listener:
    """A connection to where models are announced.

    Attributes:
        trouble: why nothing is heard now; empty if something is.
        heard: set once something was.
    """

    def __init__(
        self,
        address: str,
        experiment: str,
        security: Security,
        hear: Callable[[Event, list[Announced]], None],
    ) -> None:
        """Listen at an address, host:port, for the models of an experiment; `hear` is told of them."""
        self.trouble = "nobody has answered yet"
        self.heard = asyncio.Event()
        self._security, self._hear = security, hear
        self._tls = _context(security)
        self._url = f"{'wss' if self._tls else 'ws'}://{address}/{quote(experiment, safe='')}"
        self._is_near = is_loopback(address.rpartition(":")[0].strip("[]"))
        self._socket: ClientConnection | None = None

    async def listen(self) -> None:
        """Listen until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._listen_once()
                pause_s = _FIRST_PAUSE_S
            except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError) as error:
                self._say(f"{type(error).__name__}: {error}")
            except FrameError as error:
                self._say(str(error))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - only a pause
            pause_s = _FIRST_PAUSE_S if not self.trouble else min(2 * pause_s, _LONGEST_PAUSE_S)

    async def send(self, frame: str) -> bool:
        """Say something; false if nobody hears it."""
        if self._socket is None:
            return False
        try:
            await self._socket.send(frame)
        except ConnectionClosed:
            return False
        return True

    async def _listen_once(self) -> None:
        """One connection, until it ends."""
        async with connect(
            self._url,
            ssl=self._tls,
            additional_headers=dict(self._security.metadata()),
            proxy=None if self._is_near else True,
            max_size=_MAX_FRAME_BYTES,
            user_agent_header="germline",
        ) as socket:
            self._socket = socket
            try:
                async for frame in socket:
                    self._take(frame)
            finally:
                self._socket = None
        self._say("the connection was closed")

    def _take(self, frame: str | bytes) -> None:
        """Hear one frame; of one that makes no sense nothing is done. The first has to make sense."""
        try:
            said = read_models(frame)
        except FrameError as error:
            if not self.heard.is_set():
                raise
            logger.warning("an announcement is left out: %s", error)
            return
        if said is not None:
            self._hear(*said)
            self.trouble = ""
            self.heard.set()

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble and self.heard.is_set():
            logger.warning("no announcements: %.300s; the models that are known can still be called", trouble)
        self.trouble = trouble


def _context(security: Security) -> ssl.SSLContext | None:
    """What to encrypt with; None where nobody asked for it."""
    if not (security.tls or security.ca or security.tls_cert):
        return None
    context = ssl.create_default_context(cafile=security.ca)
    if security.tls_cert is not None:
        context.load_cert_chain(security.tls_cert, security.tls_key)
    return context
