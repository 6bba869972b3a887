"""Serves the application until somebody says that it is time to go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import uvicorn

from germline import signals
from germline.dashboard.app import Application
from germline.dashboard.settings import DashboardSettings
from germline.dashboard.source import Source

_GRACE_S = 1


class AddressError(Exception):
    """The address cannot be served on."""


class _Server(uvicorn.Server):
    """Leaves the process's signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Dashboard:
    """A dashboard that serves.

    Attributes:
        address: of its first page, without a token.
        link: the same with what lets a browser in.
    """

    def __init__(self, application: Application, server: _Server, address: str) -> None:
        self.address = address
        link_token = application.visitors.link_token
        self.link = f"{address}/?token={link_token}" if link_token else f"{address}/"
        self._api, self._server = application.api, server

    def leave(self) -> None:
        """Send the browsers' streams home, and end."""
        self._api.close()
        self._server.should_exit = True


@contextlib.asynccontextmanager
async def serving(source: Source, settings: DashboardSettings) -> AsyncIterator[Dashboard]:
    """Serve while the context lasts. Raises AddressError."""
    application = Application(source, settings)
    listening = _listen(settings)
    server = _Server(_config(application, settings))
    host, port = settings.host, listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    dashboard = Dashboard(application, server, f"{settings.scheme}://{shown}:{port}")
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        yield dashboard
    finally:
        dashboard.leave()
        await task
        listening.close()


async def serve(source: Source, settings: DashboardSettings, started: Callable[[Dashboard], None]) -> None:
    """Serve until SIGTERM, Ctrl-C, or the end of whoever started us."""
    over = asyncio.Event()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # that it serves is told by the command
    signals.heed(lambda _: over.set(), over.set)
    async with serving(source, settings) as dashboard:
        started(dashboard)
        await over.wait()


def _config(application: Application, settings: DashboardSettings) -> uvicorn.Config:
    protection = settings.protection()
    return uvicorn.Config(
        application.asgi,
        log_config=None,
        access_log=False,  # addresses may hold tokens
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=64 << 10,
        limit_concurrency=512,
        timeout_graceful_shutdown=_GRACE_S,
        ws="none",
        ssl_context_factory=(lambda *_: protection) if protection else None,
    )


def _listen(settings: DashboardSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=256)
    except OSError as error:
        raise AddressError(f"{settings.host}:{settings.port} cannot be served on: {error.strerror}") from None
