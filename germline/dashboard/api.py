"""What pages ask: short answers, each of them bounded."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from germline.cli.output import Json
from germline.client import MasterError
from germline.dashboard import answers, watching
from germline.dashboard.archive_api import ArchiveApi
from germline.dashboard.curves import MOST_POINTS, Curves, Stretch
from germline.dashboard.elites_api import ElitesApi
from germline.dashboard.endpoints import caught, wanted_id, whole
from germline.dashboard.feeds import MOST_READERS, Feeds, Producer
from germline.dashboard.metrics import MetricsReader
from germline.dashboard.replay_api import ReplayApi
from germline.dashboard.safety import remember
from germline.dashboard.settings_table import settings_table
from germline.dashboard.source import Source, Threads
from germline.dashboard.visitors import Visitors

_MOST_LISTED = 200
_MOST_EVENTS = 350  # 50 of each kind
_FAR = 2**53


class Api:
    """Reads a source for browsers."""

    def __init__(
        self,
        source: Source,
        visitors: Visitors,
        *,
        allow_control: bool,
        allow_code: str | None,
        metrics: MetricsReader | None,
    ) -> None:
        self._source, self._visitors, self._allow_control = source, visitors, allow_control
        self._threads, self._feeds, self._curves = Threads(), Feeds(), Curves(source)
        self._metrics = metrics
        self._replays = ReplayApi(source, self._threads, allow_code=allow_code)

    def close(self) -> None:
        """Send everybody home; nothing is waited for."""
        self._feeds.close()
        self._replays.close()
        self._source.close()
        self._threads.close()

    def routes(self) -> list[Route]:
        """All that can be asked."""
        experiment = "/api/experiments/{name}"
        routes = [
            Route("/api/session", self._sign_in, methods=["POST"]),
            Route("/api/stream", self._stream),
            Route("/api/experiments", caught(self._experiments)),
            Route("/api/workers", caught(self._workers)),
            Route("/api/health", caught(self._health)),
            Route(experiment, caught(self._experiment)),
            Route(experiment + "/settings", caught(self._settings)),
            Route(experiment + "/curve", caught(self._curve)),
            Route(experiment + "/events", caught(self._happened)),
            Route(experiment + "/individuals", caught(self._individuals)),
            Route(experiment + "/individuals/{id}", caught(self._individual)),
        ]
        routes += self._replays.routes()
        routes += ArchiveApi(self._source, self._threads).routes()
        routes += ElitesApi(self._source, self._threads).routes()
        if self._allow_control:
            routes.append(Route(experiment + "/{verb}", caught(self._steer), methods=["POST"]))
        return routes

    async def _sign_in(self, request: Request) -> Response:
        """Take a token, which a person typed; give a session."""
        try:
            token = (await request.json()).get("token", "")
        except (ValueError, AttributeError):
            token = ""
        session = self._visitors.admit(token) if isinstance(token, str) else None
        if session is None:
            return JSONResponse({"error": "this is not the token"}, HTTPStatus.UNAUTHORIZED)
        answer = JSONResponse({})
        remember(answer, request, session)
        return answer

    async def _stream(self, request: Request) -> Response:
        """Server-sent events: the newest look at whatever is asked for, and never more than one a second."""
        if self._feeds.are_full:
            sentence = f"{MOST_READERS} pages are open, and no more get live updates"
            return JSONResponse({"error": sentence}, HTTPStatus.TOO_MANY_REQUESTS)
        name, produce = self._feed_of(request)

        async def events() -> AsyncIterator[str]:
            with self._feeds.reading(name, produce) as feed:
                yield "retry: 2000\n\n"
                async for value in feed.read():
                    yield ": still here\n\n" if value is None else f"data: {json.dumps(value)}\n\n"

        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(events(), media_type="text/event-stream", headers=headers)

    def _feed_of(self, request: Request) -> tuple[str, Producer]:
        """Which feed a page wants, by name."""
        if name := request.query_params.get("experiment"):
            return f"experiment {name}", watching.experiment(self._source, name)
        if "workers" in request.query_params:
            return "workers", watching.workers(self._source)
        if "health" in request.query_params:
            return "health", watching.health(self._source, self._metrics)
        return "experiments", watching.experiments(self._source)

    async def _experiments(self, request: Request) -> Json:
        del request
        found = await self._threads.ask(self._source.experiments)
        return {
            "experiments": [answers.look(each) | {"task": answers.task_text(each.spec)} for each in found]
        }

    async def _experiment(self, request: Request) -> Json:
        found = await self._threads.ask(self._source.experiment, request.path_params["name"])
        return answers.look(found) | answers.about(found)

    async def _settings(self, request: Request) -> Json:
        found = await self._threads.ask(self._source.experiment, request.path_params["name"])
        return {"settings": settings_table(found.spec)}

    async def _curve(self, request: Request) -> Json:
        found = await self._threads.ask(self._curves.of, request.path_params["name"], _stretch(request))
        asked = request.query_params
        behind = whole(request, "behind", 0, 0, _FAR) if "behind" in asked else None
        return found.told(behind, whole(request, "width", 0, 0, _FAR))

    async def _happened(self, request: Request) -> Json:
        found = await self._threads.ask(self._source.events, request.path_params["name"])
        after = whole(request, "after", 0, 0, _FAR)
        new = [each for each in found if each.number > after]
        return {"events": list(map(answers.event, new[-_MOST_EVENTS:]))}

    async def _individuals(self, request: Request) -> Json:
        limit = whole(request, "limit", 50, 1, _MOST_LISTED)
        found = await self._threads.ask(self._source.individuals, request.path_params["name"], limit)
        return {"individuals": list(map(answers.individual, found))}

    async def _individual(self, request: Request) -> Json:
        name = request.path_params["name"]
        found = await self._threads.ask(self._source.individual, name, wanted_id(request))
        return answers.individual(found)

    async def _workers(self, request: Request) -> Json:
        del request
        return await self._threads.ask(watching.fleet, self._source)

    async def _health(self, request: Request) -> Json:
        del request
        return await self._threads.ask(watching.health_of, self._source, self._metrics)

    async def _steer(self, request: Request) -> Json:
        """Pause, resume or stop: there only where the dashboard was started with --allow-control."""
        verbs = {"pause": self._source.pause, "resume": self._source.resume, "stop": self._source.stop}
        steer = verbs.get(request.path_params["verb"])
        if steer is None:
            raise MasterError("NOT_FOUND", f"there is no such thing to do; allowed: {', '.join(verbs)}")
        return answers.look(await self._threads.ask(steer, request.path_params["name"]))


def _stretch(request: Request) -> Stretch:
    """The part of a curve that is asked for. Raises MasterError."""
    axis = request.query_params.get("axis", "evaluations")
    if axis not in ("evaluations", "frames", "seconds"):
        raise MasterError("INVALID_ARGUMENT", f"axis is {axis[:50]!r}; allowed: evaluations, frames, seconds")
    low, high = (
        whole(request, name, 0, 0, _FAR) if name in request.query_params else None for name in ("from", "to")
    )
    points = whole(request, "points", MOST_POINTS, 2, MOST_POINTS)
    whole_run = low is None and high is None
    return Stretch("evaluations" if whole_run else axis, low, high, points)  # type: ignore[arg-type]  # it was just looked at
