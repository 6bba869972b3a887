"""Settings of a spec that somebody changes by their dotted paths, as `--set algorithm.ga.power=0.01` does."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path

from germline.spec.load import complete_table
from germline.spec.problems import Problem, SpecError
from germline.v1 import spec_pb2


def with_settings(
    table: Mapping[str, object], changes: Mapping[str, object], source: str, folder: Path = Path()
) -> spec_pb2.ExperimentSpec:
    """A complete spec with some settings changed.

    Args:
        table: the spec as its TOML says it.
        changes: values by dotted path, such as "algorithm.ga.power"; None takes a setting away.
        source: what the spec is called in problems.
        folder: from which the files that it names are seen.

    Raises:
        SpecError: for a path that is none, or with everything that is wrong with the new spec.
    """
    changed = deepcopy(dict(table))
    for path, value in changes.items():
        _change(changed, path, value, source)
    return complete_table(changed, source, folder)


def read_settings(texts: Iterable[str]) -> dict[str, object]:
    """Changes as they are written on a command line.

    Args:
        texts: "path=value" each; the value is TOML, or a text as it is.

    Raises:
        ValueError: for one without a path or without an equals sign.
    """
    changes: dict[str, object] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            raise ValueError(f"{text!r} is no setting; allowed: path=value, such as algorithm.ga.power=0.01")
        changes[path.strip()] = read_setting(value.strip())
    return changes


def read_setting(text: str) -> object:
    """A value as TOML has it; what is no TOML is the text itself."""
    try:
        found: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return found


def _change(table: dict[str, object], path: str, value: object, source: str) -> None:
    *above, last = path.split(".")
    at = table
    for depth, key in enumerate(above):
        below = at.setdefault(key, {})
        if not isinstance(below, dict):
            here = ".".join(above[: depth + 1])
            raise SpecError([Problem(path, f"is no setting: {here} is {below!r}, and no table")], source)
        at = below
    if value is None:
        at.pop(last, None)
    else:
        at[last] = value
