"""How a genetic algorithm's whole state is written as JSON values and, strictly, read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

from germline.algorithms import snapshot_codec as codec
from germline.algorithms.base import Ask, JsonValue, Purpose
from germline.algorithms.breeding import Breeding
from germline.algorithms.candidates_snapshot import read_candidates, write_candidates
from germline.algorithms.caps import Caps
from germline.algorithms.cells import MapSettings
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.likeness import Likeness
from germline.algorithms.population import Population
from germline.algorithms.population_snapshot import freeze_population, read_population
from germline.algorithms.snapshot_codec import GenomeShelf
from germline.algorithms.tickets import TicketBook
from germline.algorithms.validation import Validation

FORMAT_VERSION = 2
"""Of snapshots as they are written. The first had no measurement of the champion."""

_COUNTS = ("evaluations", "episodes", "frames", "steps", "founders_asked")
_FIELDS = (
    *("format", "seed", "settings", "genomes", "tickets", "window", "candidates", "counts"),
    *("validation_credit", "litter_left", "litter_parent"),
)
_LATER = ("again", "likeness", "caps", "novelty", "behaviours", "normalisation")
"""Which the first snapshots did not know, and many searches have none of."""


class GaState(NamedTuple):
    """The parts of a genetic algorithm that change; `counts` are evaluations, episodes, frames and steps."""

    tickets: TicketBook
    population: Population
    breeding: Breeding
    validation: Validation
    caps: Caps
    likeness: Likeness
    counts: tuple[int, ...]


def freeze(settings: GaSettings, seed: int, state: GaState) -> Callable[[], dict[str, JsonValue]]:
    """The state as it is now, and what writes it; that may be later, on another thread."""
    shelf, write_population = GenomeShelf(), freeze_population(state.population)
    written: dict[str, JsonValue] = {
        "format": FORMAT_VERSION,
        "seed": seed,
        "settings": write_settings(settings),
        "tickets": write_tickets(state.tickets, shelf),
        "window": [],  # in its place, and written below
        "candidates": write_candidates(state.validation.candidates, shelf),
        "counts": dict(zip(_COUNTS, (*state.counts, state.breeding.founders_asked), strict=True)),
        "validation_credit": state.validation.credit,
    }
    written |= _write_breeding(state.breeding, shelf)
    if settings.starts:  # where children can be held against their parents
        written["likeness"] = state.likeness.rows()
    if state.breeding.again:
        written["again"] = [shelf.place(genome) for genome in state.breeding.again.values()]
    if settings.cap_schedule == "progressive":
        written["caps"] = list(state.caps.snapshot())
    if state.breeding.normalisation is not None:
        written["normalisation"] = state.breeding.normalisation.snapshot()

    def write() -> dict[str, JsonValue]:
        population = write_population(shelf)
        window = {"window": population.pop("window")}
        return written | window | {"genomes": shelf.write()} | population

    return write


def read(snapshot: dict[str, Any], settings: GaSettings, seed: int, state: GaState) -> list[int]:
    """Let parts that know nothing become what :func:`freeze` wrote; returns the counts.

    Raises:
        ValueError: it does not fit; the message names the field.
    """
    version = _check(snapshot, settings, seed)
    shelf = GenomeShelf.read(codec.value(snapshot, "snapshot", "genomes", str))
    read_tickets(state.tickets, snapshot["tickets"], shelf)
    read_population(state.population, snapshot, shelf)
    read_candidates(state.validation.candidates, snapshot["candidates"], shelf, version)
    if "likeness" in snapshot:
        _read_likeness(state.likeness, snapshot["likeness"])
    codec.only(snapshot["counts"], "counts", _COUNTS)
    *counts, founders_asked = (codec.value(snapshot["counts"], "counts", field, int) for field in _COUNTS)
    state.breeding.founders_asked = founders_asked
    state.validation.credit = codec.value(snapshot, "snapshot", "validation_credit", float)
    _read_breeding(state.breeding, snapshot, shelf)
    if "caps" in snapshot:
        state.caps.restore(codec.row(snapshot["caps"], "caps", *[int] * 5))
    return counts


def _check(snapshot: dict[str, Any], settings: GaSettings, seed: int) -> int:
    """Refuse a snapshot of another format, or of another search; returns its format."""
    version = snapshot.get("format")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise ValueError(
            f"format is {version!r}; this build reads snapshots of formats 1 to {FORMAT_VERSION}"
        )
    codec.only(snapshot, "snapshot", (*_FIELDS, *(field for field in _LATER if field in snapshot)))
    if snapshot["seed"] != seed:
        raise ValueError(f"seed is {snapshot['seed']!r} in the snapshot, {seed} here")
    check_settings(snapshot["settings"], settings)
    return version


def write_settings(settings: GaSettings) -> dict[str, JsonValue]:
    """The settings as JSON values."""
    written = asdict(settings)
    grows = "" if settings.cap_schedule == "constant" else settings.cap_schedule
    later: dict[str, JsonValue] = {
        "starts": list(settings.starts),
        "common_starts": settings.common_starts,
        "cap_frames": settings.cap_frames,
        "cap_schedule": grows,
        "frame_bonus": settings.frame_bonus,
        "novelty": asdict(settings.novelty) if settings.novelty else None,
        "cells": _write_cells(settings.cells) if settings.cells else None,
        "normalise_observations": settings.normalise_observations,
        "founder": settings.founder,
    }
    for field, value in later.items():  # which the first snapshots did not know, and many searches lack
        del written[field]
        written |= {field: value} if value else {}
    return written


def _write_cells(cells: MapSettings) -> dict[str, JsonValue]:
    """Cells as JSON values; the first snapshots knew one way of ties."""
    written: dict[str, JsonValue] = asdict(cells) | {"grid": list(cells.grid)}
    if cells.ties == "first":
        del written["ties"]
    return written


def check_settings(written: dict[str, JsonValue], settings: GaSettings) -> None:
    """Refuse a snapshot that was made with other settings, by the first field that differs."""
    own = write_settings(settings)
    codec.only(written, "settings", own)
    for field, value in own.items():
        if written[field] != value:
            raise ValueError(f"settings.{field} is {written[field]!r} in the snapshot, {value!r} here")


def write_tickets(tickets: TicketBook, shelf: GenomeShelf) -> dict[str, JsonValue]:
    """The counter, what is pending and what was lost."""
    return {
        "next": tickets.next_ticket,
        "lost": [[span.start, span.stop] for span in tickets.lost()],
        "pending": [
            [
                *(ask.ticket, shelf.place(ask.genome), ask.purpose.name, list(ask.episode_seeds)),
                *((ask.parent_id, ask.cap_frames) if ask.cap_frames else (ask.parent_id,)),
            ]
            for ask in tickets.pending()
        ],
    }


def read_tickets(tickets: TicketBook, written: dict[str, Any], shelf: GenomeShelf) -> None:
    """Read what :func:`write_tickets` wrote."""
    codec.only(written, "tickets", ("next", "lost", "pending"))
    lost = [
        range(*codec.row(span, "tickets.lost", int, int)) for span in codec.rows(written, "tickets", "lost")
    ]
    pending = [_read_ask(fields, shelf) for fields in codec.rows(written, "tickets", "pending")]
    tickets.load(codec.value(written, "tickets", "next", int), pending, lost)


def _read_ask(fields: object, shelf: GenomeShelf) -> Ask:
    path = "tickets.pending"
    kinds = (int, int, str, list, (int, type(None)), *codec.cap_in(fields))
    ticket, place, purpose, seeds, *others = codec.row(fields, path, *kinds)
    if purpose not in Purpose.__members__:
        raise ValueError(f"{path} has purpose {purpose!r}; allowed: {', '.join(Purpose.__members__)}")
    episode_seeds = tuple(codec.row(seeds, f"{path} episode_seeds", *[int] * len(seeds)))
    return Ask(ticket, shelf.at(place, path), Purpose[purpose], episode_seeds, *others)


def _write_breeding(breeding: Breeding, shelf: GenomeShelf) -> dict[str, JsonValue]:
    """The open litter."""
    parent = breeding.litter_parent
    place = shelf.place(parent) if parent is not None else None
    return {"litter_left": breeding.litter_left, "litter_parent": place}


def _read_breeding(breeding: Breeding, snapshot: dict[str, Any], shelf: GenomeShelf) -> None:
    """The open litter, and who is asked again."""
    breeding.litter_left = codec.value(snapshot, "snapshot", "litter_left", int)
    parent = snapshot["litter_parent"]
    breeding.litter_parent = None if parent is None else shelf.at(parent, "litter_parent")
    again = codec.rows(snapshot, "snapshot", "again") if "again" in snapshot else []
    places = codec.row(again, "again", *[int] * len(again))
    if breeding.normalisation is not None:
        breeding.normalisation.restore(snapshot["normalisation"])
    breeding.ask_again(shelf.at(place, "again") for place in places)


def _read_likeness(likeness: Likeness, written: object) -> None:
    """Read what :meth:`.likeness.Likeness.rows` wrote."""
    compared, different, played = codec.row(written, "likeness", int, int, list)
    kinds = (int, int, int, float, int)
    likeness.load(compared, different, [codec.row(each, "likeness", *kinds) for each in played])
