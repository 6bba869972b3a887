"""Room of the trackers: a curve for TensorBoard, W&B, MLflow or a plug-in; only the command line comes in.

A tracker reads history and is never waited for.
"""

from germline.trackers.base import Champion, Row, TrackedRun, Tracker, TrackerError
from germline.trackers.cursor import Cursor
from germline.trackers.follow import Follower, Source
from germline.trackers.plugins import find_tracker, make_tracker
from germline.trackers.rows import champion_key, describe, to_rows

__all__ = [
    "Champion",
    "Cursor",
    "Follower",
    "Row",
    "Source",
    "TrackedRun",
    "Tracker",
    "TrackerError",
    "champion_key",
    "describe",
    "find_tracker",
    "make_tracker",
    "to_rows",
]
