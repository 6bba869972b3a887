"""How behaviours, and what is known of novelty, are written as JSON values and, strictly, read again."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Sequence

from germline.algorithms import snapshot_codec as codec
from germline.algorithms.base import JsonValue
from germline.algorithms.novelty import Novelty
from germline.algorithms.window import Member
from germline.behaviour import BYTES

Told = tuple[bytes, int]
"""A member's behaviour, and the novelty that breaks its ties."""


def write_behaviours(members: Iterable[Member]) -> dict[str, JsonValue]:
    """The behaviours of members, in their order."""
    told = [(member.behaviour, member.novelty) for member in members]
    novelties: list[JsonValue] = [novelty for _, novelty in told]
    written: dict[str, JsonValue] = {"packed": _text(behaviour for behaviour, _ in told)}
    return written | ({"novelties": novelties} if any(novelties) else {})


def read_behaviours(written: object, dimensions: int, count: int) -> list[Told]:
    """Read what :func:`write_behaviours` wrote, of so many members."""
    path = "behaviours"
    fields = ("packed", "novelties") if isinstance(written, dict) and "novelties" in written else ("packed",)
    codec.only(written, path, fields)
    assert isinstance(written, dict)  # noqa: S101 - `only` has seen it
    packed = list(_parts(codec.value(written, path, "packed", str), dimensions, path))
    novelties = codec.rows(written, path, "novelties") if "novelties" in written else [0] * count
    if len(packed) != count or len(novelties) != count:
        raise ValueError(f"{path} has {len(packed)} rows and {len(novelties)} novelties; allowed: {count}")
    return list(zip(packed, codec.row(novelties, path, *[int] * count), strict=True))


def freeze_novelty(novelty: Novelty) -> Callable[[], dict[str, JsonValue]]:
    """What writes the archive as it is now, oldest first, and the weight of reward; that may be later."""
    archived = list(novelty.archive)
    weight, idle = novelty.reward.weight, novelty.reward.idle

    def write() -> dict[str, JsonValue]:
        ids: list[JsonValue] = [individual for individual, _ in archived]
        packed = _text(behaviour for _, behaviour in archived)
        return {"ids": ids, "archive": packed, "weight": weight, "idle": idle}

    return write


def read_novelty(novelty: Novelty, written: object, members: Sequence[Member]) -> None:
    """Read what :func:`freeze_novelty` wrote, and what the members of the population say."""
    path = "novelty"
    codec.only(written, path, ("ids", "archive", "weight", "idle"))
    assert isinstance(written, dict)  # noqa: S101 - `only` has seen it
    ids = codec.rows(written, path, "ids")
    archived = list(_parts(codec.value(written, path, "archive", str), novelty.settings.dimensions, path))
    if len(archived) != len(ids):
        raise ValueError(f"{path} has {len(ids)} ids and {len(archived)} behaviours; allowed: as many")
    for individual, behaviour in zip(codec.row(ids, path, *[int] * len(ids)), archived, strict=True):
        novelty.archive.add(individual, behaviour)
    novelty.reward.weight = codec.value(written, path, "weight", int)
    novelty.reward.idle = codec.value(written, path, "idle", int)
    for member in members:
        novelty.population.add(member.genome.id, member.behaviour, member.fitness)


def _text(behaviours: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(behaviours)).decode()


def _parts(text: str, dimensions: int, path: str) -> Iterator[bytes]:
    """The behaviours in a text, one after the other."""
    size = BYTES * dimensions
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{path} is not base64: {error}") from None
    if len(packed) % size:
        raise ValueError(f"{path} has {len(packed)} bytes; allowed: {size} for each behaviour")
    return (packed[first : first + size] for first in range(0, len(packed), size))
