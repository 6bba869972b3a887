"""A state dict as one file: tensors as safetensors, everything else as JSON beside them. No pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

FORMAT = "germline.eggroll/1"
_TENSOR = "__tensor__"


def save(state: Mapping[str, Any], path: Path) -> None:
    """Write a state dict of plain values and tensors; the old file stays until the new one is complete.

    Raises:
        ValueError: if the state holds something else, such as that of a `torch.optim` optimiser with objects.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_without_tensors(state, "", tensors))
    unfinished = path.with_name(path.name + ".unfinished")
    save_file(tensors, unfinished, metadata={"format": FORMAT, "state": text})
    os.replace(unfinished, path)


def load(path: Path) -> dict[str, Any]:
    """Read what :func:`save` wrote.

    Raises:
        ValueError: if the file is of another kind or version.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(f"{path} has format {metadata.get('format')!r}; this reads {FORMAT}")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    state: dict[str, Any] = _with_tensors(json.loads(metadata["state"]), tensors)
    return state


def _without_tensors(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON, with places in `tensors` for its tensors."""
    if isinstance(value, Tensor):
        tensors[place] = value.detach().contiguous().cpu().clone()
        return {_TENSOR: place}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"{place} has keys that are not names; save this state with torch.save instead")
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
        return {key: _with_tensors(inner, tensors) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_tensors(inner, tensors) for inner in value]
    return value
