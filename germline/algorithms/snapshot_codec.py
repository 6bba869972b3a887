"""What every part of a snapshot is written with: genomes by number, and values that are read strictly."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, TypeVar, cast

from germline.algorithms.base import JsonValue
from germline.genome import Genome
from germline.genome_forest import pack, unpack

T = TypeVar("T")


class Rows(list[JsonValue]):
    """Rows that were made for one snapshot alone, a population's: who has packed them may free them."""


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


def cap_in(fields: object) -> tuple[type[int], ...]:
    """What stands behind the five others of a row: a cap, where there is one."""
    return (int,) if isinstance(fields, list) and len(fields) == 6 else ()
