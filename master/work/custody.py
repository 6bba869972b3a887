"""What a worker holds, of all experiments: kept when it comes back, taken back when it is lost."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from master.experiments.experiment import Experiment
from master.experiments.registry import Registry
from master.work.churn import NO_CHANCE, Odds
from master.work.leases import Key


def renew(registry: Registry, worker_id: str, held: Iterable[Key]) -> set[Key]:
    """Let a worker that came back keep what it holds and may keep; return that."""
    kept = set()
    for key in held:
        experiment = registry.find(key.experiment, key.identity)
        if experiment is not None and any(
            book.renew(worker_id, key.ticket, key.attempt) for book in experiment.lent
        ):
            kept.add(key)
    return kept


def give_back_all_but(registry: Registry, worker_id: str, kept: set[Key]) -> int:
    """Take back what a worker was lent and does not hold: it never arrived, or the process began anew."""
    lost = 0
    for experiment in registry:
        tickets = {key.ticket for key in kept if key.experiment == experiment.number}
        for book in experiment.lent:
            lost += book.give_back(worker_id, book.tickets_of(worker_id) - tickets)
    return lost


def lose(
    registry: Registry,
    worker_id: str,
    reason: str,
    suspected: Collection[Key] | None = None,
    odds: Odds = NO_CHANCE,
) -> int:
    """A worker was lost, and all that it holds goes to others; what it was lost with may be why.

    Args:
        registry: the experiments.
        worker_id: the worker.
        reason: what happened, for people.
        suspected: what it was lost with; None for all that it holds.
        odds: how likely it was to be lost anyway.

    Returns:
        How many leases came back.
    """
    lost = {e: _held_in(e, worker_id, suspected) for e in registry}
    count = sum(map(len, lost.values()))
    for experiment, tickets in lost.items():
        experiment.lose(worker_id, reason, tickets, count, odds)
    return count + sum(give_back(experiment, worker_id) for experiment in registry)


def give_back(experiment: Experiment, worker_id: str) -> int:
    """Take back everything of an experiment that a worker holds; return how much that was."""
    return sum(book.give_back(worker_id) for book in experiment.lent)


def expire(experiment: Experiment) -> int:
    """Take back leases of an experiment that ran out; return how many."""
    return sum(book.expire() for book in experiment.lent)


def count_of(registry: Registry, worker_id: str) -> int:
    """How many leases a worker holds, of all experiments."""
    return sum(len(book.tickets_of(worker_id)) for experiment in registry for book in experiment.lent)


def is_on_trial(registry: Registry, worker_id: str) -> bool:
    """Whether a worker holds work that others were lost with."""
    return any(experiment.pending_work.is_on_trial(worker_id) for experiment in registry)


def holds_anything(registry: Registry, worker_id: str) -> bool:
    """Whether a worker holds a lease of any experiment; quick if it does."""
    return any(book.leases.has(worker_id) for experiment in registry for book in experiment.lent)


def _held_in(experiment: Experiment, worker_id: str, among: Collection[Key] | None) -> set[int]:
    """The tickets that a worker holds in one experiment; only those among these leases, if there are some."""
    held = experiment.pending_work.tickets_of(worker_id)
    if among is None:
        return held
    mine = (key for key in among if key.experiment == experiment.number)
    return held.intersection(key.ticket for key in mine if key.identity in (0, experiment.identity))
