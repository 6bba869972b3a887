"""Finds tasks and policies by name: this package's own, other packages' entry points, import paths.

A plug-in is a class registered under the entry-point group ``germline.tasks`` or ``germline.policies``.
A spec may come from a stranger, so nothing that it names is called before it is seen to be of its kind.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

from germline.toml import read_value
from worker import objects
from worker.tasks.base import EpisodicTask, SetupError, Task, WeightsTask

TASKS = "germline.tasks"
POLICIES = "germline.policies"
_FUNCTIONS = FunctionType | BuiltinFunctionType | MethodType
_A_TASK = "allowed: spaces and make_lanes, or dimension and measure (worker.tasks.base)"


def imported(field: str, path: str) -> object:
    """What "package.module:name" names; modules of the current folder count.

    Raises:
        SetupError: if the path is malformed, the import fails or the module has no such name.
    """
    module_name, colon, attribute = path.partition(":")
    if not (colon and module_name and attribute):
        raise SetupError(f'{field} is {path!r}; allowed: an import path "package.module:name"')
    module = import_module(field, path, module_name)
    try:
        found: object = getattr(module, attribute)
    except AttributeError as error:
        raise SetupError(f"{field} is {path!r}; the module has no {attribute!r}") from error
    except Exception as error:  # whatever a module does that makes its names on demand
        raise SetupError(f"{field} is {path!r}; {attribute!r} cannot be had: {described(error)}") from error
    _expect_of_package(field, path, found)
    return found


def _expect_of_package(field: str, path: str, found: object) -> None:
    """A module's own things may be named, and not whatever it has imported, such as os.system."""
    home = getattr(found, "__module__", None) if isinstance(found, type | _FUNCTIONS) else None
    root = path.partition(":")[0].partition(".")[0]
    if root != objects.HOME and isinstance(home, str) and home.partition(".")[0] != root:
        raise SetupError(f"{field} is {path!r}, which is of {home}; allowed: what the package {root} defines")


def import_module(field: str, value: str, name: str) -> ModuleType:
    """Import the module that a field's value names; those of the current folder count.

    Raises:
        SetupError: if it cannot be imported, or is a program or a part of Python: neither holds plug-ins.
    """
    root, *inner = name.split(".")
    if root in sys.stdlib_module_names or "__main__" in inner:
        raise SetupError(
            f"{field} is {value!r}; {name} is a part of Python or a program, and is not imported"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise SetupError(f"{field} is {value!r}; {name} imports what is not here: {error}") from error
        raise SetupError(
            f"{field} is {value!r}; no module {error.name} is in {here}, where this runs, or installed"
        ) from error
    except (Exception, SystemExit) as error:  # whatever the module does while it is imported
        raise SetupError(f"{field} is {value!r}; importing {name} fails: {described(error)}") from error


def described(error: BaseException) -> str:
    """An exception of somebody else's code in one line: its kind and what it says."""
    return f"{type(error).__name__}: {error}"


def registered(group: str, field: str, name: str) -> object:
    """What an entry point names.

    Raises:
        SetupError: if nothing is registered under the name, or it cannot be loaded.
    """
    if name.startswith(objects.HOME + "."):
        return _here(field, name)
    found = entry_points(group=group, name=name)
    if not found:
        known = ", ".join(sorted({point.name for point in entry_points(group=group)}))
        raise SetupError(
            f"{field} is {name!r}; allowed: {known}, and what other packages offer as entry points "
            f"of the group {group}, once they are installed here"
        )
    point = next(iter(found))
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # whatever the package does while it is imported
        raise SetupError(f"{field} is {name!r}; its package cannot be loaded: {error}") from error


def _here(field: str, name: str) -> object:
    """What this process keeps under a name. Raises SetupError."""
    try:
        return objects.kept(name.removeprefix(objects.HOME + "."))
    except LookupError as error:
        raise SetupError(f"{field} is {name!r}; {error}") from None


def values(arguments: Mapping[str, str]) -> dict[str, object]:
    """Arguments as they travel: each a TOML value, or a text as it is."""
    return {name: read_value(text) for name, text in arguments.items()}


def make_task(name: str, arguments: Mapping[str, object]) -> Task:
    """Build the task registered under a name: "atari", "gym", "function" or a plug-in's.

    Raises:
        SetupError: if there is none, it refuses the arguments, or it is no task.
    """
    kind = registered(TASKS, "task", name)
    if not isinstance(kind, type) or not (hasattr(kind, "make_lanes") or hasattr(kind, "measure")):
        raise SetupError(f"task is {name!r}, which names {kind!r}, no class of tasks; {_A_TASK}")
    try:
        task: object = kind(**arguments)
    except SetupError:
        raise
    except TypeError as error:
        raise SetupError(f"task.{name} refuses its arguments {sorted(arguments)}: {error}") from error
    except (Exception, SystemExit) as error:  # whatever the plug-in does
        raise SetupError(f"task.{name} cannot be made: {described(error)}") from error
    if not isinstance(task, EpisodicTask | WeightsTask):
        raise SetupError(f"task is {name!r}, whose {type(task).__name__} is no task; {_A_TASK}")
    return task
