"""The application: pages, files and what they ask, behind what holds for all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from germline.dashboard.api import Api
from germline.dashboard.safety import Safety
from germline.dashboard.settings import DashboardSettings
from germline.dashboard.shell import Shell
from germline.dashboard.source import Source
from germline.dashboard.visitors import Visitors

PAGES = ("/", "/workers", "/health", "/e/{name}", "/e/{name}/{page}", "/e/{name}/i/{id}")


class Application:
    """Everything that one dashboard is.

    Attributes:
        asgi: what a web server calls.
        visitors: who may look.
        api: what pages ask.
    """

    def __init__(self, source: Source, settings: DashboardSettings) -> None:
        shell = Shell(allow_control=settings.allow_control)
        self.visitors = Visitors(settings.token)
        self.api = Api(
            source,
            self.visitors,
            allow_control=settings.allow_control,
            allow_code=settings.allow_code,
            metrics=settings.metrics,
        )
        self._shell = shell
        self.asgi: ASGIApp = Safety(self._application(), settings, self.visitors, shell)

    def _application(self) -> Starlette:
        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            self.api.close()

        pages = [Route(path, self._page) for path in PAGES]
        files = [Route("/static/{digest}/{path:path}", self._file), Route("/healthz", _healthy)]
        nowhere = Route("/{rest:path}", self._nowhere)
        return Starlette(routes=[*files, *self.api.routes(), *pages, nowhere], lifespan=lifespan)

    async def _page(self, request: Request) -> Response:
        return self._shell.page(request)

    async def _nowhere(self, request: Request) -> Response:
        return self._shell.page(request, HTTPStatus.NOT_FOUND)

    async def _file(self, request: Request) -> Response:
        return self._shell.file(request)


async def _healthy(request: Request) -> Response:
    del request
    return PlainTextResponse("ok\n")
