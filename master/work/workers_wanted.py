"""How many workers the running experiments can use: what a fleet is scaled by, from zero and to zero.

Work appears only when a worker asks for it, so neither what waits nor what is lent says that nobody is there.
Wanted is what an experiment would play at a time if it could, and never more than what is left of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from master.experiments.experiment import Experiment
from master.work.fleet import Session


class WorkersWanted:
    """Counts workers, and remembers how many evaluations one of them plays at a time."""

    def __init__(self, slots: int) -> None:
        """Take a worker for one of `slots` until workers have shown theirs."""
        self._slots = float(slots)

    def learn(self, sessions: Iterable[Session]) -> None:
        """Take the mean of the workers that have scored something: by then they know their slots."""
        slots = [session.slots for session in sessions if session.evaluations]
        if slots:
            self._slots = max(1.0, sum(slots) / len(slots))

    def by(self, experiments: Iterable[Experiment]) -> int:
        """Workers that these experiments can use together: a worker plays several side by side."""
        return math.ceil(sum(map(evaluations_wanted, experiments)) / self._slots)


def evaluations_wanted(experiment: Experiment) -> int:
    """Evaluations that an experiment can use at a time: its parallelism, or what is left until it stops.

    At least 1 while it runs, since a stop condition may wait for one more; 0 if it does not run, or has
    workers of its own.
    """
    if not experiment.is_running or experiment.settings.plays_elsewhere:
        return 0
    left = min(experiment.settings.parallelism, evaluations_left(experiment))
    return max(1, math.ceil(left))


def evaluations_left(experiment: Experiment) -> float:
    """Evaluations until a count ends the experiment, by the frames of those so far; infinite if none does."""
    stop, progress = experiment.settings.stop, experiment.progress
    by_frames = math.inf
    if progress.frames:
        by_frames = (stop.frames - progress.frames) * progress.evaluations / progress.frames
    return min(stop.evaluations - progress.evaluations, by_frames)
