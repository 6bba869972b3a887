"""What came of an experiment's work, counted: the same when it happens and when the journal is replayed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from germline.algorithms.base import Ask, Result
from germline.algorithms.slices import EpochClosed, SliceAsk
from master.archive.recorder import Recorder
from master.centres.centre import Centre
from master.experiments import happenings
from master.experiments.algorithm_seam import Search, SearchEvent
from master.experiments.events import SetAside, Told, cap_of, evaluations_of, returns_of, unscored_name
from master.experiments.happenings import Kind
from master.experiments.outcomes import Outcomes
from master.experiments.progress import QUANTILES, Point, Progress, Unscored
from master.experiments.tellers import Tellers
from master.work.pending_work import PendingWork
from master.work.retries import merged

_FEW_ENTRIES = 4_096  # of those who told what; below it, nothing is gained by forgetting


class Tally:
    """Keeps an algorithm, the work it waits for, the counters and the curve in step.

    Attributes:
        search: the algorithm.
        pending_work: its work that is not told yet.
        progress: the counters and the curve.
        centre: what is known of an evolution strategy's centre; None for a genetic algorithm.
        outcomes: how much of the last work could be scored.
        tellers: who told what of a genetic algorithm's individuals.
        recorder: what goes to the archive.
    """

    def __init__(
        self, search: Search, pending_work: PendingWork, progress: Progress, centre: Centre | None
    ) -> None:
        self.search = search
        self.pending_work = pending_work
        self.progress = progress
        self.centre = centre
        self.outcomes = Outcomes()
        self.tellers = Tellers(search.knows, _FEW_ENTRIES)
        self.recorder = Recorder()

    def take_in(self, told: Told) -> Sequence[SearchEvent]:
        """Count a result; what happened to the epoch because of it."""
        result, cap_frames = told.result, self.search.cap_frames
        events = self.search.tell(result)
        piece = self.pending_work.settle(result.ticket)
        evaluations = evaluations_of(piece)
        self.recorder.note(piece, told)
        self.progress.count(result, evaluations, cap_of(piece))
        self.outcomes.note(evaluations)
        if self.centre is not None:
            self.centre.told[result.ticket] = told
        elif isinstance(piece, Ask):
            self.tellers.note(piece, told.worker)
        self.progress.happened.running_s = told.running_s
        self._note(events, cap_frames)
        self._draw(events, told.running_s)
        return events

    def take_aside(self, event: SetAside) -> Sequence[SearchEvent]:
        """Wait no more for work that cannot be scored; what happened to the epoch because of it."""
        ticket, returns = event.ticket, event.returns
        events = self.search.set_aside(ticket, returns)
        piece = self.pending_work.settle(ticket)
        self.recorder.note_aside(piece, event)
        scored = piece.scored(returns) if isinstance(piece, SliceAsk) else {}
        if scored:
            self.progress.count(Result(ticket, tuple(chain(*scored.values())), 0, 0), 2 * len(scored))
        failed = evaluations_of(piece) - 2 * len(scored)
        self.progress.happened.running_s = event.running_s
        if failed:
            name = unscored_name(piece, returns)
            self.progress.count_failed(failed, Unscored(name, event.reason, event.attempts, event.worker_id))
        self.outcomes.note(2 * len(scored), failed)
        self._note(events, self.search.cap_frames)
        self._draw(events, event.running_s)
        return events

    def aside(self, ticket: int) -> SetAside:
        """That work is set aside which too many workers could not score, but for scored pairs of a slice."""
        piece, failures = self.pending_work.piece(ticket), self.pending_work.retries.failures(ticket)
        returns = merged(failures, returns_of(piece)) if isinstance(piece, SliceAsk) else ()
        last = failures[-1]
        return SetAside(ticket, returns, len(failures), last.worker, last.reason, self.progress.running_s)

    def hopelessness(self) -> str:
        """Why the experiment pauses, once its outcomes are hopeless, for people."""
        failed, last = self.outcomes.failed, self.progress.set_aside[-1]
        return (
            f"{failed} of the last {failed + self.outcomes.scored} individuals could not be scored; "
            f"the last, {last.name}, failed {last.attempts} times, then on {last.worker}: {last.reason}"
        )

    def forget(self, individuals: Sequence[int]) -> None:
        """Nothing counts any more that was told of these: a worker that told some of it was proven wrong."""
        self.search.forget(individuals)
        self.tellers.forget(individuals)
        if individuals:
            self.progress.best_fitness = next(iter(self.search.fitness_quantiles((1.0,))), None)
            self.progress.best_cap = self.search.cap_of_population

    def take_in_early(self, closed: EpochClosed) -> None:
        """Count an epoch that closed without its last pairs."""
        told = self.centre.told.values() if self.centre is not None else ()
        self._draw([closed], max((each.running_s for each in told), default=self.progress.running_s))

    def _note(self, events: Sequence[SearchEvent], cap_frames: int) -> None:
        """Remember a new champion, and that the cap was another one before."""
        for text in happenings.of_search(events):
            self.progress.note(Kind.CHAMPION, text)
        if self.search.cap_frames != cap_frames:
            self.progress.note(Kind.CAP, happenings.of_cap(cap_frames, self.search.cap_frames))

    def _draw(self, events: Sequence[SearchEvent], running_s: float) -> None:
        """Add a point to the curve, if one belongs after these events."""
        place = self.search.place(events, self.progress.evaluations)
        if place is not None and self.progress.history.is_due(place):
            self.progress.history.add(self._point(running_s))

    def _point(self, running_s: float) -> Point:
        leader = self.search.leader()
        return Point(
            self.progress.evaluations,
            self.progress.frames,
            running_s,
            tuple(self.search.fitness_quantiles(QUANTILES)),
            leader.mean if leader is not None else None,
        )
