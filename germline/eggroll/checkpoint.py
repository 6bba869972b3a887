"""A state dict as one file: tensors as safetensors, everything else as JSON beside them. No pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

FORMAT = "germline.eggroll/2"
_TENSOR = "__tensor__"
_NUMBERED = "__numbered__"  # a mapping from whole numbers, as the optimisers of torch keep


def save(state: Mapping[str, Any], path: Path) -> None:
    """Write a state dict of plain values and tensors; the old file stays until the new one is complete.

    Raises:
        ValueError: if the state holds something else.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_without_tensors(state, "", tensors))
    unfinished = path.with_name(path.name + ".unfinished")
    metadata = {"format": FORMAT, "state": text, "digest": _digest(text, tensors)}
    save_file(tensors, unfinished, metadata)
    os.replace(unfinished, path)


def load(path: Path) -> dict[str, Any]:
    """Read what :func:`save` wrote.

    Raises:
        ValueError: if the file is of another kind or version, cut short, or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise ValueError(f"{path} is no checkpoint, or cut short: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} has format {metadata.get('format')!r}; this reads {FORMAT}")
    text = metadata.get("state", "")
    if metadata.get("digest") != _digest(text, tensors):
        raise ValueError(f"{path} is damaged: its contents do not have the digest that it names")
    try:
        state: dict[str, Any] = _with_tensors(json.loads(text), tensors)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: its state cannot be read: {error}") from error
    return state


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """A short digest of all that a file holds."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _without_tensors(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON, with places in `tensors` for its tensors."""
    if isinstance(value, Tensor):
        tensors[place] = value.detach().contiguous().cpu().clone()
        return {_TENSOR: place}
    if isinstance(value, Mapping):
        if value and all(type(key) is int for key in value):
            return {_NUMBERED: _without_tensors({str(key): value[key] for key in value}, place, tensors)}
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"{place} has the keys {list(value)}; allowed: names, or whole numbers")
        return {key: _without_tensors(inner, f"{place}/{key}", tensors) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(inner, f"{place}/{i}", tensors) for i, inner in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{place} is a {type(value).__name__}; a checkpoint holds tensors and plain values")


def _with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return tensors[value[_TENSOR]]
        if set(value) == {_NUMBERED}:
            return {int(key): _with_tensors(inner, tensors) for key, inner in value[_NUMBERED].items()}
        return {key: _with_tensors(inner, tensors) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_tensors(inner, tensors) for inner in value]
    return value
