"""How a genetic algorithm's state is written as JSON values and, strictly, read again."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import asdict
from itertools import repeat
from typing import Any, TypeVar, cast

from germline.algorithms.base import Ask, JsonValue, Purpose
from germline.algorithms.champion import Candidates, Trial
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.likeness import Likeness
from germline.algorithms.tickets import TicketBook
from germline.algorithms.window import Member, Window
from germline.genome import Genome, format_id
from germline.genome_forest import pack, unpack

FORMAT_VERSION = 2
"""Of snapshots as they are written. The first had no measurement of the champion."""

T = TypeVar("T")


class GenomeShelf:
    """Genomes by number: a snapshot names each by its place in one packed forest."""

    def __init__(self, genomes: Iterable[Genome] = ()) -> None:
        self._genomes = list(genomes)
        self._places: dict[int, int] = {genome.id: place for place, genome in enumerate(self._genomes)}

    def place(self, genome: Genome) -> int:
        """The number of a genome, put on the shelf if it is new."""
        place = self._places.setdefault(genome.id, len(self._genomes))
        if place == len(self._genomes):
            self._genomes.append(genome)
        return place

    def at(self, place: int, path: str) -> Genome:
        """The genome with this number."""
        if not 0 <= place < len(self._genomes):
            raise ValueError(f"{path} names genome {place}; the snapshot holds {len(self._genomes)}")
        return self._genomes[place]

    def write(self) -> str:
        """The shelf as base64 text."""
        return base64.b64encode(pack(self._genomes)).decode()

    @classmethod
    def read(cls, text: str) -> GenomeShelf:
        """Read what :meth:`write` wrote."""
        try:
            return cls(unpack(base64.b64decode(text, validate=True)))
        except binascii.Error as error:
            raise ValueError(f"genomes is not base64: {error}") from None


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
        "cells": asdict(settings.cells) | {"grid": list(settings.cells.grid)} if settings.cells else None,
    }
    for field, value in later.items():  # which the first snapshots did not know, and many searches lack
        del written[field]
        written |= {field: value} if value else {}
    return written


def check_settings(written: dict[str, JsonValue], settings: GaSettings) -> None:
    """Refuse a snapshot that was made with other settings, by the first field that differs."""
    own = write_settings(settings)
    only(written, "settings", own)
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
    only(written, "tickets", ("next", "lost", "pending"))
    lost = [range(*row(span, "tickets.lost", int, int)) for span in rows(written, "tickets", "lost")]
    pending = [_read_ask(fields, shelf) for fields in rows(written, "tickets", "pending")]
    tickets.load(value(written, "tickets", "next", int), pending, lost)


def _read_ask(fields: object, shelf: GenomeShelf) -> Ask:
    path = "tickets.pending"
    kinds = (int, int, str, list, (int, type(None)), *_cap_in(fields))
    ticket, place, purpose, seeds, *others = row(fields, path, *kinds)
    if purpose not in Purpose.__members__:
        raise ValueError(f"{path} has purpose {purpose!r}; allowed: {', '.join(Purpose.__members__)}")
    episode_seeds = tuple(row(seeds, f"{path} episode_seeds", *[int] * len(seeds)))
    return Ask(ticket, shelf.at(place, path), Purpose[purpose], episode_seeds, *others)


def _cap_in(fields: object) -> tuple[type[int], ...]:
    """What stands behind the five others of a row: a cap, where there is one."""
    return (int,) if isinstance(fields, list) and len(fields) == 6 else ()


def write_window(members: Iterable[Member], shelf: GenomeShelf) -> list[JsonValue]:
    """The members of a frozen window, so that adding them in this order makes this window."""
    return [
        [
            *(shelf.place(each.genome), each.ticket, each.fitness, each.episodes, each.in_flight),
            *((each.cap_frames,) if each.cap_frames else ()),
        ]
        for each in members
    ]


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
    for fields, (behaviour, novelty) in zip(rows(written, "snapshot", "window"), behaviours, strict=False):
        place, *others = row(fields, "window", int, int, float, int, int, *_cap_in(fields))
        member = Member(shelf.at(place, "window"), *others)._replace(behaviour=behaviour, novelty=novelty)
        if window.find(member.genome.id) is not None:
            raise ValueError(f"window holds individual {format_id(member.genome.id)} twice; allowed: once")
        if member.ticket in tickets:
            raise ValueError(f"window holds ticket {member.ticket} twice; allowed: once")
        tickets.add(member.ticket)
        window.add(member)
        members.append(member)
    return members


def read_likeness(likeness: Likeness, written: object) -> None:
    """Read what :meth:`.likeness.Likeness.rows` wrote."""
    compared, different, played = row(written, "likeness", int, int, list)
    kinds = (int, int, int, float, int)
    likeness.load(compared, different, [row(each, "likeness", *kinds) for each in played])


def write_candidates(candidates: Candidates, shelf: GenomeShelf) -> dict[str, JsonValue]:
    """The trials, in the order in which they opened, and the champion's place among them."""
    trials = list(candidates.trials.values())
    return {
        "trials": [[shelf.place(trial.genome), *_numbers(trial)] for trial in trials],
        "champion": trials.index(candidates.champion) if candidates.champion else None,
        "measured": _numbers(candidates.measured) if candidates.measured else None,
        "turn": candidates.turn,
        "noise_squares": candidates.noise_squares,
        "noise_weight": candidates.noise_weight,
    }


def _numbers(trial: Trial) -> list[JsonValue]:
    return [trial.episodes, trial.mean, trial.squares, trial.in_flight]


def read_candidates(
    candidates: Candidates, written: dict[str, Any], shelf: GenomeShelf, version: int = FORMAT_VERSION
) -> None:
    """Read what :func:`write_candidates` wrote into a pool without trials; the first had no measurement."""
    path = "candidates"
    fields = ("trials", "champion", "turn", "noise_squares", "noise_weight")
    only(written, path, (*fields, "measured") if version > 1 else fields)
    for trial_row in rows(written, path, "trials"):
        place, *others = row(trial_row, f"{path}.trials", int, int, float, float, int)
        trial = Trial(shelf.at(place, f"{path}.trials"), *others)
        candidates.trials[trial.genome.id] = trial
    champion = written["champion"]
    if champion is not None:
        trials = list(candidates.trials.values())
        if not 0 <= value(written, path, "champion", int) < len(trials):
            raise ValueError(f"{path}.champion is {champion}; there are {len(trials)} trials")
        candidates.crown(trials[champion])
        numbers = written.get("measured")
        if numbers is not None:
            numbers = row(numbers, f"{path}.measured", int, float, float, int)
            candidates.measured = Trial(trials[champion].genome, *numbers)
    candidates.turn = value(written, path, "turn", int)
    squares, weight = (value(written, path, f"noise_{part}", float) for part in ("squares", "weight"))
    candidates.know_noise(squares, weight)


def only(written: object, path: str, fields: Iterable[str]) -> None:
    """Refuse anything but an object with exactly these fields."""
    if not isinstance(written, dict):
        raise ValueError(f"{path} is {written!r}; it must be an object")
    expected, found = set(fields), set(written)
    if expected != found:
        raise ValueError(
            f"{path} lacks {sorted(expected - found)} and has unknown {sorted(found - expected)}"
        )


def value(written: dict[str, Any], path: str, field: str, kind: type[T]) -> T:
    """A field of this type."""
    return cast(T, check(written[field], f"{path}.{field}", kind))


def rows(written: dict[str, Any], path: str, field: str) -> list[object]:
    """A field that is a list."""
    return value(written, path, field, list)


def row(written: object, path: str, *kinds: Any) -> list[Any]:
    """A list with exactly these types."""
    if not isinstance(written, list) or len(written) != len(kinds):
        raise ValueError(f"{path} has a row {written!r}; it must have {len(kinds)} values")
    return [check(found, path, kind) for found, kind in zip(written, kinds, strict=True)]


def check(found: object, path: str, kind: Any) -> Any:
    """Refuse a value of another type; a truth value is no number."""
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
        raise ValueError(f"{path} is {found!r}, which has the wrong type")
    return found
