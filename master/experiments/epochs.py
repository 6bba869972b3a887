"""The epochs of an evolution strategy's experiment: opened, closed in time, and written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from germline.algorithms.centres import NewBestCentre
from germline.algorithms.slices import EpochClosed
from master.errors import Refusal, RefusedResultError
from master.experiments.algorithm_seam import SearchEvent
from master.experiments.events import Event
from master.experiments.tally import Tally


class Epochs:
    """Follows what happens to epochs; of a genetic algorithm, which has none, there is nothing to follow."""

    def __init__(self, tally: Tally, write: Callable[[Event], None]) -> None:
        """Follow the epochs that this tally counts, and queue events for the journal by `write`."""
        self._tally = tally
        self._write = write
        self._began_s = 0.0  # running time

    def open(self) -> None:
        """From now on, time counts towards an early close."""
        self._began_s = self._tally.progress.running_s

    def are_due(self, close_after_s: float) -> bool:
        """Whether the open one has been open for so long of the running time."""
        return self._tally.progress.running_s - self._began_s >= close_after_s

    def follow(self, events: Sequence[SearchEvent]) -> None:
        """Write down that an epoch closed, before anybody is told; want a new best centre's checkpoint."""
        centre = self._tally.centre
        if centre is None:
            return
        for event in events:
            if isinstance(event, EpochClosed):
                self._write(event)
                centre.close(event)
                self.open()
            elif isinstance(event, NewBestCentre):
                self.want_best()

    def close_early(self) -> None:
        """Close the epoch without its last pairs, if enough are in: nobody waits for them any more."""
        events = self._tally.search.close_early()
        for event in events:
            if isinstance(event, EpochClosed):
                self._tally.pending_work.close_all()
                self._tally.take_in_early(event)
        self.follow(events)

    def want_best(self) -> None:
        """Have the checkpoint of the best measured centre kept, whichever it is by now."""
        leader = self._tally.search.leader()
        if self._tally.centre is not None:
            self._tally.centre.want_best(None if leader is None else leader.epoch)

    def why_refused(self, error: RefusedResultError, ticket: int) -> RefusedResultError:
        """The truth about work that is not pending any more: it was told, or its epoch closed without it."""
        centre = self._tally.centre
        if error.code is Refusal.ALREADY_TOLD and centre is not None:
            for closed in (*centre.closed, *centre.updates):
                if self._tally.search.closed_without(ticket, closed):
                    sentence = f"ticket {ticket} comes too late: epoch {closed.epoch} closed without it"
                    return RefusedResultError(Refusal.CLOSED, sentence)
        return error
