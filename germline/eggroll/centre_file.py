"""A centre as one safetensors file: the parameters under their own names, and what the optimiser remembers.

Anybody who reads safetensors reads the weights; whoever replays an experiment also gets its moments and its
epoch, and goes on with the same bits. No pickle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from germline import weights
from germline.eggroll.ascent import Moments
from germline.eggroll.evolution import Evolution

FORMAT = "germline.centre/1"
_LENGTH_BYTES = _ALIGNMENT = 8  # of the safetensors format
_MOMENT = "moment:"  # no parameter's name holds a colon
_OTHER = "centre:"  # of one that takes turns with it: its number, and then as above


class StoredCentre(NamedTuple):
    """What such a file holds.

    Attributes:
        epoch: updates applied.
        steps: of the optimiser.
        digest: of the weights.
        parameters: by name, float32.
        moments: by name, flat float64.
        turn: its number among the centres that take turns; 0 where it is alone.
        others: the others by their number: flat weights, float32, steps, and moments by name.
    """

    epoch: int
    steps: int
    digest: str
    parameters: dict[str, Tensor]
    moments: dict[str, Tensor]
    turn: int = 0
    others: Mapping[int, tuple[Tensor, int, dict[str, Tensor]]] = MappingProxyType({})


def write(evolution: Evolution) -> bytes:
    """The evolution as it stands now."""
    named = evolution.space.views(evolution.centre)
    tensors = {name: value.contiguous().cpu() for name, value in named.items()}
    moments = evolution.moments
    tensors |= {_MOMENT + name: vector.contiguous().cpu() for name, vector in moments.vectors.items()}
    metadata = {
        "format": FORMAT,
        "epoch": str(evolution.epoch),
        "steps": str(moments.steps),
        "digest": evolution.digest(),
    }
    if evolution.others:
        metadata["turn"] = str(evolution.turn)
    for number, (centre, remembered) in evolution.others.items():
        tensors[f"{_OTHER}{number}:"] = centre.contiguous().cpu()
        metadata[f"{_OTHER}{number}"] = str(remembered.steps)
        for name, vector in remembered.vectors.items():
            tensors[f"{_OTHER}{number}:{_MOMENT}{name}"] = vector.contiguous().cpu()
    return save_tensors(tensors, metadata)


def read(data: bytes) -> StoredCentre:
    """Read such a file.

    Raises:
        ValueError: if it is of another kind, or damaged.
    """
    try:
        metadata = _header(data)[0]["__metadata__"]
        tensors = load_tensors(data)
        if metadata["format"] != FORMAT:
            raise ValueError(f"its format is {metadata['format']!r}; this reads {FORMAT}")
        others = _others(metadata, tensors)
        tensors = {name: value for name, value in tensors.items() if not name.startswith(_OTHER)}
        parameters = {name: value for name, value in tensors.items() if not name.startswith(_MOMENT)}
        moments = {n.removeprefix(_MOMENT): v for n, v in tensors.items() if n.startswith(_MOMENT)}
        centre = StoredCentre(
            int(metadata["epoch"]),
            int(metadata["steps"]),
            metadata["digest"],
            parameters,
            moments,
            int(metadata.get("turn", 0)),
            others,
        )
    except Exception as error:
        raise ValueError(f"{len(data)} bytes are no centre of an evolution strategy: {error}") from error
    return centre


def _others(
    metadata: Mapping[str, str], tensors: Mapping[str, Tensor]
) -> dict[int, tuple[Tensor, int, dict[str, Tensor]]]:
    """The centres that take turns with the one in the file."""
    found = {}
    for name, steps in metadata.items():
        if name.startswith(_OTHER):
            moments = f"{name}:{_MOMENT}"
            vectors = {n.removeprefix(moments): v for n, v in tensors.items() if n.startswith(moments)}
            found[int(name.removeprefix(_OTHER))] = tensors[f"{name}:"], int(steps), vectors
    return found


def annotate(data: bytes, **notes: str) -> bytes:
    """The same file with notes in its metadata, such as the spec that it comes from."""
    header, tensors = _header(data)
    header["__metadata__"] |= notes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + tensors


def note(data: bytes, name: str) -> str | None:
    """A note in the file's metadata.

    Raises:
        ValueError: if it is no safetensors file.
    """
    try:
        found = _header(data)[0]["__metadata__"].get(name)
    except ValueError as error:
        raise ValueError(f"{len(data)} bytes are no centre of an evolution strategy: {error}") from error
    return None if found is None else str(found)


def _header(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and what follows it: the format begins with the header's length. Raises ValueError."""
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    try:
        header = json.loads(data[_LENGTH_BYTES:end])
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__"), dict):
        raise ValueError("its header says nothing of what it is")
    return header, data[end:]


@torch.no_grad()
def restore(evolution: Evolution, data: bytes) -> None:
    """Let an evolution of the same network go on from such a file.

    Raises:
        ValueError: if the file is damaged, or of another network; nothing has changed then.
    """
    centre = read(data)
    shapes = {p.name: p.shape for p in evolution.space}
    found = {name: tuple(value.shape) for name, value in centre.parameters.items()}
    if found != shapes:
        raise ValueError(f"the centre's parameters are {found}; this network's are {shapes}")
    flat = torch.cat([centre.parameters[name].flatten() for name in shapes])
    if weights.digest(flat) != centre.digest:
        raise ValueError(f"the centre's weights do not have the digest {centre.digest} that it names")
    numbers, known = {centre.turn, *centre.others}, {evolution.turn, *evolution.others}
    if numbers != known or any(other.shape != flat.shape for other, _, _ in centre.others.values()):
        raise ValueError(f"the file has {len(numbers)} centres that take turns; this evolution {len(known)}")
    here = evolution.centre.device
    moments = {name: vector.to(here) for name, vector in centre.moments.items()}
    evolution.epoch, evolution.moments = centre.epoch, Moments(centre.steps, moments)
    evolution.turn = centre.turn
    evolution.others = {
        number: (weights_.to(here), Moments(steps, {name: vector.to(here) for name, vector in told.items()}))
        for number, (weights_, steps, told) in centre.others.items()
    }
    evolution.centre.copy_(flat.to(here))
    evolution.space.write(evolution.centre, evolution.network)
