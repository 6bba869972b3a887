"""How the population is written as JSON values and, strictly, read again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

from germline.algorithms import snapshot_codec as codec
from germline.algorithms.base import JsonValue
from germline.algorithms.novelty_snapshot import (
    freeze_novelty,
    read_behaviours,
    read_novelty,
    write_behaviours,
)
from germline.algorithms.population import Population
from germline.algorithms.snapshot_codec import GenomeShelf, Rows
from germline.algorithms.window import Member, Window
from germline.genome import format_id
from germline.leisure import resting


def freeze_population(population: Population) -> Callable[[GenomeShelf], dict[str, JsonValue]]:
    """What writes the members as they are now, and what is known of their novelty; that may be later."""
    members = population.members.freeze()
    write_novelty = freeze_novelty(population.novelty) if population.novelty is not None else None

    def write(shelf: GenomeShelf) -> dict[str, JsonValue]:
        written: dict[str, JsonValue] = {"window": write_window(members(), shelf)}
        if population.dimensions:
            written["behaviours"] = write_behaviours(members())
        if write_novelty is not None:
            written["novelty"] = write_novelty()
        return written

    return write


def read_population(population: Population, snapshot: dict[str, Any], shelf: GenomeShelf) -> None:
    """Read what :func:`freeze_population` wrote into a population of nobody."""
    if not population.dimensions:
        read_window(population.members, snapshot, shelf)
        return
    fields = ("behaviours", "novelty") if population.novelty is not None else ("behaviours",)
    found = {field: snapshot[field] for field in ("behaviours", "novelty") if field in snapshot}
    codec.only(found, "snapshot", fields)
    count = len(codec.rows(snapshot, "snapshot", "window"))
    behaviours = read_behaviours(snapshot["behaviours"], population.dimensions, count)
    members = read_window(population.members, snapshot, shelf, behaviours)
    if population.novelty is not None:
        read_novelty(population.novelty, snapshot["novelty"], members)


def write_window(members: Iterable[Member], shelf: GenomeShelf) -> Rows:
    """The members of a frozen window, so that adding them in this order makes this window."""
    return Rows(
        [
            *(shelf.place(each.genome), each.ticket, each.fitness, each.episodes, each.in_flight),
            *((each.cap_frames,) if each.cap_frames else ()),
        ]
        for each in resting(members)
    )


def read_window(
    window: Window,
    written: dict[str, Any],
    shelf: GenomeShelf,
    behaviours: Iterable[tuple[bytes, int]] = repeat((b"", 0)),
) -> list[Member]:
    """Read what :func:`write_window` wrote into an empty window; nobody, and no ticket, is in it twice.

    Args:
        window: where they belong.
        written: the snapshot.
        shelf: its genomes.
        behaviours: of each, in the same order, with the novelty that breaks its ties.
    """
    tickets, members = set[int](), list[Member]()
    for fields, (behaviour, novelty) in zip(
        codec.rows(written, "snapshot", "window"), behaviours, strict=False
    ):
        place, *others = codec.row(fields, "window", int, int, float, int, int, *codec.cap_in(fields))
        member = Member(shelf.at(place, "window"), *others)._replace(behaviour=behaviour, novelty=novelty)
        if window.find(member.genome.id) is not None:
            raise ValueError(f"window holds individual {format_id(member.genome.id)} twice; allowed: once")
        if member.ticket in tickets:
            raise ValueError(f"window holds ticket {member.ticket} twice; allowed: once")
        tickets.add(member.ticket)
        window.add(member)
        members.append(member)
    return members
