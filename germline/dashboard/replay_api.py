"""What the page Replay asks: which episodes there are, and to see one."""

from __future__ import annotations

import base64
import contextlib
import json
from itertools import islice

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from germline.cli.output import Json
from germline.cli.playing import fresh_seeds
from germline.client import Experiment, Individual, MasterError, RefusedError
from germline.dashboard import answers
from germline.dashboard.archive_api import archived_returns, of_any_time
from germline.dashboard.endpoints import caught, wanted_id
from germline.dashboard.replays import MOST_WAITING, Job, LookError, Replay, Replays
from germline.dashboard.source import Source, Threads
from germline.genome import Genome
from germline.spec import to_toml
from germline.spec.convert import starts_of
from germline.v1 import spec_pb2

_MOST_SEARCHED = 2_000  # individuals whose episodes are looked through for one
_MOST_SEED = 2**64
_MOST_STEPS = 1_000_000

Known = dict[int, float]
"""Returns by the seeds of their episodes."""


class ReplayApi:
    """Lets browsers see episodes."""

    def __init__(self, source: Source, threads: Threads, *, allow_code: str | None) -> None:
        self._source, self._threads, self._allow_code = source, threads, allow_code
        self._replays = Replays()

    def close(self) -> None:
        """End what is played."""
        self._replays.close()

    def routes(self) -> list[Route]:
        """All that can be asked."""
        individual = "/api/experiments/{name}/individuals/{id}"
        return [
            Route(individual + "/episodes", caught(self._episodes)),
            Route(individual + "/replays", caught(self._want), methods=["POST"]),
            Route("/api/replays/{key}", caught(self._replay)),
            Route("/api/replays/{key}/film.mp4", self._film),
            Route("/api/replays/{key}/steps", caught(self._steps)),
            Route("/api/replays/{key}/saliency", caught(self._saliency), methods=["POST"]),
        ]

    async def _episodes(self, request: Request) -> Json:
        """Starts where they are finitely many, else episodes whose returns are known."""
        experiment, found, genome = await self._threads.ask(self._found, request)
        known = await self._threads.ask(self._known, experiment, found, genome)
        starts = starts_of(experiment.spec)
        return {
            "individual": answers.individual(found) if found else None,
            "plays": experiment.spec.task.WhichOneof("kind") not in ("function", "own"),
            "starts": [
                {"start": place, "seed": str(seed), "return": known.get(seed)}
                for place, seed in enumerate(starts, start=1)
            ],
            "known": [{"seed": str(seed), "return": returned} for seed, returned in known.items()][:100],
            "exact": experiment.spec.evaluation.precision == spec_pb2.PRECISION_INT8,
        }

    async def _want(self, request: Request) -> Json:
        if self._replays.are_full:
            raise MasterError("RESOURCE_EXHAUSTED", f"{MOST_WAITING} replays wait already; try again later")
        seed = _seed_of(await _json_of(request))
        experiment, _, genome = await self._threads.ask(self._found, request)
        if genome:
            spec, centre = experiment.spec_for(genome), b""
        else:
            stored = await self._threads.ask(self._source.checkpoint, experiment.name)
            spec, centre = experiment.spec_at(stored.epoch), stored.data
        job = Job(
            spec=to_toml(spec),
            genome=base64.b64encode(genome.encode()).decode() if genome else "",
            centre=centre,
            seed=seed,
            allow_code=self._allow_code,
        )
        self._replays.want(job)
        return self._told(job.key)

    async def _replay(self, request: Request) -> Json:
        return self._told(self._of(request).job.key)

    def _told(self, key: str) -> Json:
        replay = self._replays.get(key)
        assert replay is not None  # noqa: S101 - it was just found
        told: dict[str, Json] = {
            "key": key,
            "state": replay.state,
            "seed": str(replay.job.seed),
            "pictures": replay.pictures,
            "why": replay.why,
            "before": self._replays.place(key),
        }
        return told | replay.told

    async def _film(self, request: Request) -> Response:
        """The film; browsers ask for parts of it when a person seeks."""
        replay = self._replays.get(request.path_params["key"])
        if replay is None or replay.state != "done":
            return Response(status_code=404)
        return FileResponse(replay.film, media_type="video/mp4", headers={"cache-control": "private"})

    async def _steps(self, request: Request) -> Json:
        replay = self._of(request)
        if replay.state != "done":
            raise MasterError(
                "FAILED_PRECONDITION", f"the replay is {replay.state}; ask again when it is done"
            )
        steps: Json = json.loads(replay.steps.read_text(encoding="utf-8"))
        return steps

    async def _saliency(self, request: Request) -> Json:
        """Which parts of what it saw the choice in a step hung on; steps count from 0."""
        replay = self._of(request)
        body = await _json_of(request)
        step = body.get("step") if isinstance(body, dict) else None
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < _MOST_STEPS:
            raise MasterError(
                "INVALID_ARGUMENT", f"step is {str(step)[:50]!r}; allowed: 0 to {_MOST_STEPS - 1}"
            )
        if replay.state != "done":
            raise MasterError(
                "FAILED_PRECONDITION", f"the replay is {replay.state}; ask again when it is done"
            )
        try:
            return await self._replays.saliency(replay, step)
        except LookError as error:
            raise MasterError("FAILED_PRECONDITION", str(error)) from None

    def _of(self, request: Request) -> Replay:
        replay = self._replays.get(request.path_params["key"])
        if replay is None:
            raise MasterError("NOT_FOUND", "no such replay here; ask for it again")
        return replay

    def _found(self, request: Request) -> tuple[Experiment, Individual | None, Genome | None]:
        """Experiment and individual; of an evolution strategy, its centre, which is nobody."""
        experiment = self._source.experiment(request.path_params["name"])
        wanted = wanted_id(request)
        if experiment.spec.algorithm.HasField("eggroll"):
            return experiment, experiment.champion, None
        found = of_any_time(self._source, experiment.name, wanted)
        champion = experiment.champion
        scored = champion if champion is not None and champion.id == found.id else found
        return experiment, scored, found.genome

    def _known(self, experiment: Experiment, found: Individual | None, genome: Genome | None) -> Known:
        """Returns that the master knows of its episodes."""
        starts = starts_of(experiment.spec)
        if found is not None and len(found.start_returns) == len(starts) > 0:
            return dict(zip(starts, found.start_returns, strict=True))
        if genome is None:
            return {}
        with contextlib.suppress(RefusedError):  # nothing is kept of episodes
            for each in islice(self._source.returns(experiment.name), _MOST_SEARCHED):
                if each.genome.id == genome.id and len(each.seeds) == len(each.returns):
                    return dict(zip(each.seeds, each.returns, strict=True))
        with contextlib.suppress(RefusedError):
            return archived_returns(self._source, experiment.name, genome.id)
        return {}


async def _json_of(request: Request) -> object:
    """What a request brings; None if that is no JSON."""
    try:
        body: object = await request.json()
    except ValueError:
        return None
    return body


def _seed_of(body: object) -> int:
    """The seed of the episode that is wanted: one that is named, or the n-th fresh one."""
    given = body if isinstance(body, dict) else {}
    seed, fresh = given.get("seed"), given.get("fresh")
    if isinstance(seed, str) and seed.isdigit() and int(seed[:21]) < _MOST_SEED:
        return int(seed)
    if isinstance(fresh, int) and 0 <= fresh < 1_000_000:
        return fresh_seeds(fresh, 1)[0]
    raise MasterError("INVALID_ARGUMENT", 'what to play is missing; allowed: {"seed": "31"} or {"fresh": 0}')
