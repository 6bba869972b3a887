"""Finds trackers by name: the entry points of the group `germline.trackers`, our own and other packages'."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import cast

from germline.trackers.base import TrackedRun, Tracker, TrackerError

GROUP = "germline.trackers"


def names() -> list[str]:
    """What there is to choose from."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def find_tracker(name: str) -> Callable[[TrackedRun], Tracker]:
    """What makes the tracker of this name.

    Raises:
        TrackerError: if there is none, or it cannot be loaded.
        ModuleNotFoundError: if a package is missing that it needs.
    """
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise TrackerError(f"--to is {name!r}; allowed: {', '.join(names())} (entry points of {GROUP})")
    try:
        return cast("Callable[[TrackedRun], Tracker]", next(iter(found)).load())
    except ModuleNotFoundError:
        raise
    except Exception as error:  # whatever another package does while it is imported
        raise TrackerError(
            f"--to is {name!r}, which cannot be made: {type(error).__name__}: {error}"
        ) from error


def make_tracker(name: str, run: TrackedRun) -> Tracker:
    """Make the tracker of this name.

    Raises:
        TrackerError: if there is none, or it cannot be made.
        ModuleNotFoundError: if a package is missing that it needs.
    """
    make = find_tracker(name)
    try:
        return make(run)
    except (TrackerError, ModuleNotFoundError):
        raise
    except Exception as error:  # whatever another package does while it is made
        why = f"{type(error).__name__}: {error}"
        raise TrackerError(f"--to is {name!r}, which cannot be made: {why}") from error
