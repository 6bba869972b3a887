"""Nodes and the WebSocket together, for as long as something is to be served."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from germline import signals
from germline.connection import check_token, is_loopback
from worker.serving.fleet import Fleet, Place, Served
from worker.serving.isolated import Order
from worker.serving.node import Protection
from worker.serving.orchestrator import Orchestrator

logger = logging.getLogger(__name__)

Look = Callable[[], Sequence[Served]]
"""Says what is to be served; may take a while, and may raise LookError."""


class LookError(Exception):
    """It cannot be known now what is to be served; the sentence says why."""


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """Where models are served, and to whom.

    Attributes:
        host: of the WebSocket and of all nodes.
        port: of the WebSocket; 0 takes a free one.
        node_port: of the first node, others take the next ones; 0 takes free ones.
        advertise: where clients reach the nodes; by default where they reached the WebSocket.
        token: callers have to show it; empty for none.
        tls_cert: certificate chain, a PEM file.
        tls_key: its private key, a PEM file.
        gateway_keys: public keys of those who sign their calls, in PEM; the WebSocket is then in the open.
        insecure: serve a network without a token or without encryption.
        every_s: between two looks at what is to be served.
    """

    host: str = "localhost"
    port: int = 9091
    node_port: int = 0
    advertise: str = ""
    token: str = field(default="", repr=False)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    gateway_keys: Path | None = None
    insecure: bool = False
    every_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what cannot work; raises ValueError."""
        check_token(self.token)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("a certificate and its private key belong together; only one of them is given")
        if self.gateway_keys is not None and (self.tls_cert is None or self.token):
            raise ValueError(
                "gateway keys are for model-runner-client in its gateway mode, which shows no token and "
                "wants nodes with a certificate; allowed: with a certificate, and without a token"
            )
        missing = [
            name
            for name, is_there in (("a token", self.token), ("TLS", self.tls_cert and not self.gateway_keys))
            if not is_there
        ]
        if missing and not self.insecure and not is_loopback(self.host):
            raise ValueError(
                f"listen names {self.host!r}, which other machines reach, without {' and '.join(missing)}. "
                "Give what is missing, or say insecure: model-runner-client shows no token and speaks no TLS "
                "to a WebSocket, so it needs this machine, a tunnel to it, or insecure"
            )

    @property
    def address(self) -> str:
        """What is bound: one family for localhost, so that nodes are where the WebSocket is."""
        return "127.0.0.1" if self.host == "localhost" else self.host.strip("[]")

    def protection(self) -> Protection:
        """What callers have to show to nodes, and what these show. Raises OSError and ValueError."""
        tls = None
        if self.tls_cert is not None and self.tls_key is not None:
            tls = (self.tls_cert.read_bytes(), self.tls_key.read_bytes())
        return Protection(self.token, tls, self._signed())

    def order(self, kind: str) -> Order:
        """How a process with one model is to serve it."""
        named = {"tls_cert": self.tls_cert, "tls_key": self.tls_key, "gateway_keys": self.gateway_keys}
        files = {name: str(path.absolute()) for name, path in named.items() if path is not None}
        return Order(kind, self.token, files)

    def _signed(self) -> Callable[[str, Mapping[str, str | bytes]], str] | None:
        if self.gateway_keys is None:
            return None
        from worker.serving.gateway_keys import GatewayKeys  # noqa: PLC0415 - of an extra

        return GatewayKeys(self.gateway_keys).why_not

    def context(self) -> ssl.SSLContext | None:
        """What the WebSocket is encrypted with. Raises OSError."""
        if self.tls_cert is None or self.gateway_keys is not None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.tls_cert, self.tls_key)
        return context


async def serve(
    settings: ServingSettings,
    look: Look,
    started: Callable[[str, list[str]], None],
    kind: Callable[..., object] | None = None,
    isolated: str | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; who is new is served, and who has left is not.

    Args:
        settings: where, and to whom.
        look: says what is to be served, again and again.
        started: is told the WebSocket's address and who is served, once both are there.
        kind: a class of the user's own around each policy.
        isolated: give each model a process; the import path of that class, or an empty text.

    Raises:
        LookError: the first look says nothing.
        OSError: the address cannot be served on, or a certificate or key cannot be read.
        ValueError: there are no keys in the file of keys.
    """
    ended = asyncio.Event()
    signals.heed(lambda _: ended.set(), ended.set)
    protection = settings.protection()
    order = None if isolated is None else settings.order(isolated)
    fleet = Fleet(Place(settings.address, settings.node_port), kind, protection, order)
    orchestrator = Orchestrator(
        protection, fleet.given_up, advertise=settings.advertise, tls=settings.context()
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(fleet.close)
        await fleet.serve(await asyncio.to_thread(look))
        fleet.announce_by(orchestrator)
        await orchestrator.open(settings.address, settings.port, stack)
        stack.push_async_callback(fleet.close)  # before the WebSocket closes: clients hear of it
        started(f"{settings.host}:{orchestrator.port}", fleet.served)
        await _follow(fleet, look, ended, settings.every_s)


async def _follow(fleet: Fleet, look: Look, ended: asyncio.Event, every_s: float) -> None:
    """Keep what is served current until it ends."""
    trouble = ""
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await ended.wait()
        if ended.is_set():
            return
        await fleet.tend()
        try:
            await fleet.serve(await asyncio.to_thread(look))
        except LookError as error:
            if str(error) != trouble:
                logger.warning("%s; what is served goes on", error)
            trouble = str(error)
        else:
            trouble = ""
