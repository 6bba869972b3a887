"""What the pages Lineage and Behaviour ask: a master's archive, in the few numbers that a screen can show."""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from germline.archive.phylogeny import newick, table
from germline.cli.output import Json
from germline.client import (
    Ancestors,
    Ancestry,
    BehaviourAxes,
    BehaviourMap,
    Evaluations,
    Individual,
    Life,
    MasterError,
    RefusedError,
)
from germline.client.archive import ArchiveReader, Cells
from germline.dashboard.answers import short
from germline.dashboard.endpoints import caught, wanted_id, whole
from germline.dashboard.lineage_files import phylogeny_shown
from germline.dashboard.source import Source, Threads
from germline.genome import format_id
from germline.spec.behaviour import measures_of

CELLS = 128
_MOST_LISTED = 50
_NUMBERS = 8
_ORDERS = ("oldest", "newest", "best", "id")
_FAR = 10**15
_FORMS = {"nwk": newick, "csv": table}


class ArchiveApi:
    """Reads the archive of a source that has one: a master's."""

    def __init__(self, source: Source, threads: Threads) -> None:
        self._source, self._threads = source, threads

    def routes(self) -> list[Route]:
        """All that can be asked."""
        experiment = "/api/experiments/{name}"
        return [
            Route(experiment + "/lineage", caught(self._lineage)),
            Route(experiment + "/lineage.{form}", self._lineage_file),
            Route(experiment + "/behaviour", caught(self._behaviour)),
            Route(experiment + "/evaluations", caught(self._evaluations)),
            Route(experiment + "/lives/{id}", caught(self._life)),
        ]

    @property
    def _archive(self) -> ArchiveReader:
        if isinstance(self._source, ArchiveReader):
            return self._source
        raise MasterError("FAILED_PRECONDITION", "the archive is shown while the master is up")

    async def _lineage(self, request: Request) -> Json:
        name = request.path_params["name"]
        found = await self._threads.ask(self._archive.ancestry, name)
        return _ancestry(found)

    async def _lineage_file(self, request: Request) -> Response:
        """What the page Lineage shows, for other programs."""
        name, form = request.path_params["name"], request.path_params["form"]
        if form not in _FORMS:
            return PlainTextResponse(f"allowed: {', '.join(_FORMS)}", HTTPStatus.NOT_FOUND)
        try:
            found = await self._threads.ask(self._archive.ancestry, name)
        except MasterError as error:
            return PlainTextResponse(str(error), HTTPStatus.CONFLICT)
        text = "".join(_FORMS[form](phylogeny_shown(found)))
        named = {"content-disposition": f'attachment; filename="lineage.{form}"'}
        return PlainTextResponse(text, headers=named, media_type="text/csv" if form == "csv" else None)

    async def _life(self, request: Request) -> Json:
        """Who somebody was, and where on the page Lineage it, or its youngest ancestor there, is."""
        name, wanted = request.path_params["name"], wanted_id(request)
        archive = self._archive
        ancestry = await self._threads.ask(archive.ancestry, name)
        life = await self._threads.ask(archive.life, name, ancestry.champion if wanted is None else wanted)
        return _life(life) | {"shown": _youngest_shown(life, ancestry)}

    async def _behaviour(self, request: Request) -> Json:
        axes = _axes(request)
        first, end = whole(request, "first", 0, 0, _FAR), whole(request, "end", _FAR, 0, _FAR)
        name = request.path_params["name"]
        found = await self._threads.ask(self._archive.behaviour_map, name, axes, first, end)
        experiment = await self._threads.ask(self._source.experiment, name)
        measures: list[Json] = [list(each) for each in measures_of(experiment.spec)[: found.numbers]]
        ages: dict[str, Json] = {"newest": list(found.newest)} if "ages" in request.query_params else {}
        return _map(found) | {"measures": measures} | ages

    async def _evaluations(self, request: Request) -> Json:
        order = request.query_params.get("order", "best")
        if order not in ("oldest", "newest", "best", "id"):
            raise MasterError(
                "INVALID_ARGUMENT", f"order is {order[:50]!r}; allowed: oldest, newest, best, id"
            )
        page = await self._threads.ask(
            self._archive.evaluations,
            request.path_params["name"],
            order,  # type: ignore[arg-type]  # it was just looked at
            whole(request, "limit", 25, 1, _MOST_LISTED),
            request.query_params.get("after", ""),
            first=whole(request, "first", 0, 0, _FAR),
            end=whole(request, "end", _FAR, 0, _FAR),
            cells=_cells(request),
        )
        return {"evaluations": _rows(page.evaluations), "next": page.next}


def _ancestry(found: Ancestry) -> dict[str, Json]:
    return {
        "trunk": _ancestors(found.trunk) | {"gain": [short(each) for each in found.gains]},
        "trunk_length": found.trunk_length,
        "common": found.common,
        "crown": _ancestors(found.crown),
        "living": found.living,
        "moments": list(found.moments),
        "shares": [round(each, 3) for each in found.shares],
        "sweeps": [format_id(each) for each in found.sweeps],
        "champion": format_id(found.champion),
    }


def _ancestors(found: Ancestors) -> dict[str, Json]:
    return {
        "id": [format_id(each) for each in found.id],
        "parent": list(found.parent),
        "born": list(found.born),
        "fitness": [short(each) for each in found.fitness],
        "depth": list(found.depth),
        "living": list(found.living),
    }


def _map(found: BehaviourMap) -> dict[str, Json]:
    return {
        "axes": [*found.axes.weights, *found.axes.low, *found.axes.high],
        "cell": [y * CELLS + x for x, y in zip(found.x, found.y, strict=True)],
        "size": list(found.size),
        "best": [short(each) for each in found.best],
        "evaluations": found.evaluations,
        "numbers": found.numbers,
    }


def _life(found: Life) -> dict[str, Json]:
    """An individual: its first evaluation, whose child it is and by what, and how it did beside others."""
    told = found.evaluations
    (first,) = _rows(told, 1)
    return {
        **first,
        "seed": str(told.mutation[0]),
        "power": short(told.power[0]),
        "rank": told.rank[0],
        "mutations": None if found.genome is None else len(found.genome),
        "evaluations": found.evaluations_in_all,
        "children": found.children_in_all,
        "best_child": found.best_child,
    }


def _youngest_shown(life: Life, ancestry: Ancestry) -> str | None:
    """The youngest of an individual's line, itself among them, that the page Lineage shows."""
    shown = {*ancestry.trunk.id, *ancestry.crown.id}
    line = [] if life.genome is None else life.genome.ancestor_ids()
    found = next((each for each in reversed(line) if each in shown), None)
    return None if found is None else format_id(found)


def _rows(told: Evaluations, most: int = _MOST_LISTED) -> list[dict[str, Json]]:
    return [
        {
            "number": told.number[place],
            "id": name,
            "parent": format_id(told.parent[place]) if told.parent[place] else None,
            "fitness": told.fitness[place],
            "running_s": told.running_s[place],
            "behaviour": list(told.behaviour_of(place)),
        }
        for place, name in enumerate(islice(told.names(), most))
    ]


def _axes(request: Request) -> BehaviourAxes | tuple[int, int] | None:
    """Which axes a map has: given ones, principal ones (None), or two numbers. Raises MasterError."""
    if text := request.query_params.get("axes"):
        try:
            numbers = [float(each) for each in text[:2_000].split(",")]
        except ValueError:
            raise MasterError("INVALID_ARGUMENT", "axes holds something that is no number") from None
        weights = 2 * _NUMBERS
        return BehaviourAxes(
            tuple(numbers[:weights]), tuple(numbers[weights : weights + 2]), tuple(numbers[weights + 2 :])
        )
    if request.query_params.get("by") == "principal":
        return None
    last = _NUMBERS - 1
    return whole(request, "x", 0, 0, last), whole(request, "y", 1, 0, last)


def _cells(request: Request) -> Cells | None:
    """The cells that are asked for, on given axes; None for all."""
    axes = _axes(request)
    if not isinstance(axes, BehaviourAxes):
        return None
    columns, rows = (
        tuple(whole(request, name, default, 0, CELLS - 1) for name, default in names)
        for names in ((("left", 0), ("right", CELLS - 1)), (("bottom", 0), ("top", CELLS - 1)))
    )
    return axes, (columns[0], columns[1]), (rows[0], rows[1])


def of_any_time(source: Source, name: str, individual: int | None) -> Individual:
    """An individual that the population knows, or else as the archive has it. Raises MasterError."""
    try:
        return source.individual(name, individual)
    except RefusedError as error:
        if individual is None or error.code != "NOT_FOUND" or not isinstance(source, ArchiveReader):
            raise
    life = source.life(name, individual)
    if life.genome is None:
        raise MasterError("NOT_FOUND", f"{format_id(individual)} cannot be played again: {life.no_genome}")
    told = life.evaluations
    return Individual(
        individual,
        told.fitness[0],
        len(life.genome),
        None,
        0,
        None,
        life.genome,
        cap_frames=told.cap_frames[0],
    )


def archived_returns(source: Source, name: str, individual: int) -> dict[int, float]:
    """Returns of whole single episodes of an individual, by their seeds, as the archive has them."""
    if not isinstance(source, ArchiveReader):
        return {}
    told = source.life(name, individual).evaluations
    places = [place for place in range(len(told)) if told.episodes[place] == 1 and not told.cap_frames[place]]
    return {told.seed[place]: told.fitness[place] for place in places}
