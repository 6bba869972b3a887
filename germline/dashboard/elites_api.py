"""What the page Behaviour asks of MAP-Elites: its map, and whose tile one is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from starlette.requests import Request
from starlette.routing import Route

from germline.behaviour import LEVELS, unpack
from germline.cli.elite_tiles import NOBODY, Tiles, fitness_of, tiles_of
from germline.cli.elites import cells_of
from germline.cli.output import Json
from germline.client import Experiment, Individual, MasterError
from germline.dashboard.answers import individual, short
from germline.dashboard.archive_api import of_any_time
from germline.dashboard.endpoints import caught, wanted_id, whole
from germline.dashboard.source import Source, Threads
from germline.genome import Genome, format_id
from germline.spec.behaviour import measures_of

_MOST = 10_000  # elites that a master lists
_MOST_LISTED = 200
_MOST_SEEDS = 40
_MOST_NUMBERS = 8


class ElitesApi:
    """Reads a population that has cells, and genomes."""

    def __init__(self, source: Source, threads: Threads) -> None:
        self._source, self._threads = source, threads

    def routes(self) -> list[Route]:
        """All that can be asked."""
        experiment = "/api/experiments/{name}"
        return [
            Route(experiment + "/elites", caught(self._elites)),
            Route(experiment + "/individuals/{id}/line", caught(self._line)),
        ]

    async def _elites(self, request: Request) -> Json:
        return await self._threads.ask(self._told, request)

    def _told(self, request: Request) -> Json:
        experiment = self._source.experiment(request.path_params["name"])
        if not experiment.spec.algorithm.HasField("map_elites"):
            raise MasterError("FAILED_PRECONDITION", f"{experiment.name} keeps no elites; MAP-Elites does")
        found = [each for each in self._source.individuals(experiment.name, _MOST) if each.cell is not None]
        axes = {name: whole(request, name, at, 0, _MOST_NUMBERS - 1) for at, name in enumerate(("x", "y"))}
        try:
            tiles = tiles_of(experiment.spec, found, axes["x"], axes["y"])
        except ValueError as error:
            raise MasterError("INVALID_ARGUMENT", str(error)) from None
        if "tile" in request.query_params:
            return _of_tile(experiment, found, tiles, whole(request, "tile", 0, 0, tiles.size - 1))
        return _map(experiment, found, tiles)

    async def _line(self, request: Request) -> Json:
        name, wanted = request.path_params["name"], wanted_id(request)
        found = await self._threads.ask(of_any_time, self._source, name, wanted)
        if found.genome is None:
            raise MasterError("NOT_FOUND", "its genome is not at hand")
        return _line(found.genome)


def _map(experiment: Experiment, found: Sequence[Individual], tiles: Tiles) -> dict[str, Json]:
    """Tiles row by row from below, each with its elite's fitness; and the best elites by themselves."""
    fitness = fitness_of(tiles, found).T.ravel()
    shown = {place: at for at, place in enumerate(tiles.T.ravel().tolist())}
    best = sorted(range(len(found)), key=lambda place: -found[place].fitness)[:_MOST_LISTED]
    return {
        "columns": tiles.shape[0],
        "rows": tiles.shape[1],
        "fitness": [short(each) if np.isfinite(each) else None for each in fitness.tolist()],
        "measures": [list(each) for each in measures_of(experiment.spec)[:_MOST_NUMBERS]],
        "is_grid": bool(experiment.spec.algorithm.map_elites.grid),
        "cells": cells_of(experiment.spec),
        "elites": len(found),
        "best": [
            individual(found[place]) | {"cell": found[place].cell, "tile": shown.get(place)} for place in best
        ],
    }


def _of_tile(experiment: Experiment, found: Sequence[Individual], tiles: Tiles, tile: int) -> dict[str, Json]:
    """Who is shown there; null: nobody."""
    place = int(tiles.T.ravel()[tile])
    if place == NOBODY:
        return {"elite": None}
    elite = found[place]
    measures = measures_of(experiment.spec)[:_MOST_NUMBERS]
    steps = unpack(elite.behaviour)[: len(measures)].tolist()
    values = [
        each.low + (each.high - each.low) * step / (LEVELS - 1)
        for each, step in zip(measures, steps, strict=True)
    ]
    return {"elite": individual(elite) | {"cell": elite.cell, "behaviour": [short(each) for each in values]}}


def _line(genome: Genome) -> dict[str, Json]:
    """A genome: its founder's seed and its newest mutations, newest first."""
    newest, parent = genome.since(max(0, len(genome) - _MOST_SEEDS)), genome.parent()
    return {
        "id": format_id(genome.id),
        "parent": None if parent is None else format_id(parent.id),
        "founder": str(genome.init_seed),
        "mutations": len(genome),
        "newest": [
            {
                "mutation": len(genome) - at,
                "seed": str(each.seed),
                "power": short(each.power),
                "rank": each.rank,
            }
            for at, each in enumerate(reversed(newest))
        ],
    }
