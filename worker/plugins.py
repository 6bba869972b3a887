"""Finds tasks and policies by name: this package's own, other packages' entry points, import paths.

A plug-in is a class registered under the entry-point group ``germline.tasks`` or ``germline.policies``.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

from worker.tasks.base import EpisodicTask, SetupError, Task, WeightsTask

TASKS = "germline.tasks"
POLICIES = "germline.policies"


def imported(field: str, path: str) -> object:
    """What "package.module:name" names; modules of the current folder count.

    Raises:
        SetupError: if the path is malformed, the import fails or the module has no such name.
    """
    module_name, colon, attribute = path.partition(":")
    if not (colon and module_name and attribute):
        raise SetupError(f'{field} is {path!r}; allowed: an import path "package.module:name"')
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise SetupError(f"{field} is {path!r}; this worker cannot import it: {error}") from error
    except AttributeError as error:
        raise SetupError(f"{field} is {path!r}; the module has no {attribute!r}") from error


def registered(group: str, field: str, name: str) -> object:
    """What an entry point names.

    Raises:
        SetupError: if nothing is registered under the name, or it cannot be loaded.
    """
    found = entry_points(group=group, name=name)
    if not found:
        known = ", ".join(sorted({point.name for point in entry_points(group=group)}))
        raise SetupError(f"{field} is {name!r}; allowed: {known} (entry points of the group {group})")
    point = next(iter(found))
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise SetupError(f"{field} is {name!r}; its package cannot be loaded: {error}") from error


def values(arguments: Mapping[str, str]) -> dict[str, object]:
    """Arguments as they travel, numbers and booleans written as in TOML, everything else a text."""
    return {name: _value(text) for name, text in arguments.items()}


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def make_task(name: str, arguments: Mapping[str, object]) -> Task:
    """Build the task registered under a name: "atari", "gym", "function" or a plug-in's.

    Raises:
        SetupError: if there is none, it refuses the arguments, or it is no task.
    """
    kind = registered(TASKS, "task", name)
    if not callable(kind):
        raise SetupError(f"task is {name!r}, which names a {type(kind).__name__}; allowed: a class of tasks")
    try:
        task = kind(**arguments)
    except TypeError as error:
        raise SetupError(f"task.{name} refuses its arguments {sorted(arguments)}: {error}") from error
    if not isinstance(task, EpisodicTask | WeightsTask):
        raise SetupError(
            f"task is {name!r}, whose {type(task).__name__} is no task; "
            "allowed: spaces and make_lanes, or dimension and measure (worker.tasks.base)"
        )
    return task
