"""When an experiment is complete: which of its stop conditions hold."""

from __future__ import annotations

import math

from master.centres.centre import Centre
from master.experiments.algorithm_seam import Search
from master.experiments.events import Piece
from master.experiments.progress import Progress
from master.experiments.settings import Stop


def is_over(stop: Stop, piece: Piece, progress: Progress, search: Search, centre: Centre | None) -> bool:
    """Whether an experiment is complete now that this piece of work is told, or set aside."""
    if progress.evaluations >= stop.evaluations or progress.frames >= stop.frames:
        return True
    return stop.fitness < math.inf and search.may_crown(piece) and proven_mean(search, centre) >= stop.fitness


def proven_mean(search: Search, centre: Centre | None) -> float:
    """What fresh episodes confirm of the leader; minus infinity if nothing yet.

    A centre must also be in the store.
    """
    leader = search.leader()
    if leader is None or (centre is not None and not centre.has(leader.epoch)):
        return -math.inf
    return leader.proven


def reached(stop: Stop, progress: Progress, proven: float) -> str:
    """Which of these conditions hold, in words; empty if none does."""
    so_far = Stop(progress.evaluations, progress.frames, progress.running_s, proven)
    return ", ".join(
        f"stop.{field} is {limit:,.10g}, and it has {value:,.10g} already"
        for field, limit, value in zip(Stop._fields, stop, so_far, strict=True)
        if value >= limit
    )
