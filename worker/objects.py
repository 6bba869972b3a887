"""Tasks, functions and policies that live in this very process, under paths as if they could be imported.

For a notebook, whose classes no other process can import: who runs them is a worker in a thread of it.
"""

from __future__ import annotations

import sys
from types import ModuleType

HOME = "germline_here"
"""The package that such paths begin with; no process can import it."""


def keep(name: str, found: object) -> None:
    """Keep something under a name; another one under this name is forgotten."""
    setattr(_home(), name, found)


def kept(name: str) -> object:
    """What is kept under a name. Raises LookupError."""
    try:
        found: object = getattr(_home(), name)
    except AttributeError:
        raise LookupError(f"nothing is kept under {name!r} in this process") from None
    return found


def _home() -> ModuleType:
    return sys.modules.setdefault(HOME, ModuleType(HOME, __doc__))
