"""What workers say, done; and what becomes of work when time passes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

from germline import noise
from germline.algorithms.base import Result
from germline.bottleneck import shares
from germline.limits import MAX_HELD, MAX_WORKERS
from master.centres.keeper import CentreKeeper, Report
from master.errors import DrainingError, FullError, Refusal, SilentStreamError, StreamOrderError
from master.experiments.experiment import Experiment, RefusedResult
from master.experiments.registry import Registry
from master.experiments.workers import WorkerIdentity
from master.journal.journal import Journal
from master.metrics import Metrics
from master.work import custody
from master.work.churn import Churn
from master.work.fleet import Acknowledge, Drain, End, Fleet, Revoke, Session, Suspend, Welcome
from master.work.leases import Key
from master.work.lender import Lender
from master.work.overview import Overview
from master.work.quarantine import Quarantine

logger = logging.getLogger(__name__)

_UNSCORED = (
    Refusal.FAILED,
    Refusal.NOT_FINITE,
    Refusal.WRONG_LENGTH,
    Refusal.OUT_OF_RANGE,
)  # another worker may try


class Greeting(NamedTuple):
    """A worker's hello."""

    identity: WorkerIdentity
    version: str
    noise_version: int
    noise_digest: str
    slots: int
    held: Sequence[Key]
    process: str = ""


class Dispatcher:
    """Brings workers and experiments together. Runs on one thread, never waits, and so needs no lock.

    Attributes:
        fleet: the workers.
        keeper: keeps the centres of evolution strategies in step.
        lender: gives the workers their work.
        quarantine: keeps it from those that were proven wrong.
        overview: what people are shown of all this.
    """

    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        metrics: Metrics,
        clock: Callable[[], float],
        *,
        master_id: str,
        heartbeat_s: float,
        worker_slots: int = 32,
    ) -> None:
        self.fleet = Fleet(clock, away_s=3 * heartbeat_s)
        self.keeper = CentreKeeper(self.fleet, registry, journal)
        self.lender = Lender(registry, self.fleet, journal)
        self.overview = Overview(registry, self.fleet, journal, worker_slots)
        self.quarantine = Quarantine(registry, self.fleet, metrics)
        self._registry = registry
        self._journal = journal
        self._metrics = metrics
        self._clock = clock
        self._welcome = Welcome(master_id, heartbeat_s)
        self._noise_digest = noise.self_test_digest()
        self._draining = ""
        self._churn = Churn()
        self._ticked = clock()

    # What workers say

    def hello(self, greeting: Greeting) -> Session:
        """Begin a worker's stream. Raises StreamOrderError if the worker does not fit this master."""
        self._check_fit(greeting)
        if self.fleet.is_full_for(greeting.identity.worker_id):
            raise FullError(f"{MAX_WORKERS:,} workers are connected; allowed: up to so many")
        if self._draining:
            raise DrainingError(f"the master is draining: {self._draining}")
        if self.fleet.is_anew(greeting.identity.worker_id, greeting.process):
            self._begin_anew(greeting.identity.worker_id)
        session = self.fleet.join(greeting.identity, greeting.slots, greeting.process)
        session.orders.put_nowait(self._welcome)
        quarantined = self._registry.quarantined.get(greeting.identity.worker_id)
        if quarantined is not None:
            session.orders.put_nowait(Suspend(quarantined.reason))
        kept = custody.renew(self._registry, greeting.identity.worker_id, greeting.held)
        lost = custody.give_back_all_but(self._registry, greeting.identity.worker_id, kept)
        stale = [key for key in greeting.held if key not in kept]
        if stale:
            session.orders.put_nowait(Revoke(stale))
        logger.info(
            "worker %s connects: germline %s on %s, %d slots; keeps %d of %d leases, %d come back",
            greeting.identity.worker_id, greeting.version, greeting.identity.device, greeting.slots,
            len(kept), len(greeting.held), lost,
        )  # fmt: skip
        session.held = len(kept)
        self.keeper.lose(greeting.identity.worker_id)  # what an older stream was told may not have arrived
        self.keeper.catch_up(session, {key.experiment for key in kept})
        return session

    def credit(self, session: Session, evaluations: int) -> None:
        """A worker has room for so many more evaluations."""
        wanted = session.credit + evaluations
        if wanted > MAX_HELD - session.held:  # leases that came back some other way are still counted
            session.held = custody.count_of(self._registry, session.identity.worker_id)
        session.credit = max(0, min(wanted, MAX_HELD - session.held))
        self.lender.lend(session)

    def results(self, session: Session, sequence: int, results: Iterable[tuple[Key, Result]]) -> None:
        """Take results in; they are acknowledged as soon as they are durable."""
        refused: list[RefusedResult] = []
        numbers: set[int] = set()
        count = 0
        for (number, identity), group in groupby(results, key=_experiment_of):
            told = list(group)
            count += len(told)
            experiment = self._registry.find(number, identity)
            if experiment is None:
                text = f"lease.experiment is {number}, identity {identity:016x}; no such experiment is here"
                refused += [RefusedResult(key, Refusal.UNKNOWN, text) for key, _ in told]
            else:
                refused += self._tell(session, experiment, told)
                numbers.add(number)
        self._metrics.count_refused([refusal.code for refusal in refused])
        acknowledge = partial(session.orders.put_nowait, Acknowledge(sequence, refused, count))
        self._journal.when_durable(acknowledge, numbers)
        self.lender.send_revocations()
        if self.keeper.conduct() or any(refusal.code in _UNSCORED for refusal in refused):
            self.lender.lend_all()

    def _tell(
        self, session: Session, experiment: Experiment, told: list[tuple[Key, Result]]
    ) -> list[RefusedResult]:
        """Tell an experiment, and count what it took in; a slice is as many evaluations as it has members."""
        progress = experiment.progress
        evaluations, frames = progress.evaluations, progress.frames
        refused = experiment.tell(session.identity, told)
        session.held = max(0, session.held - len(told) + len(refused))
        session.evaluations += progress.evaluations - evaluations
        self._metrics.count_accepted(progress.evaluations - evaluations, progress.frames - frames)
        if experiment.checks.verdicts and self.quarantine.follow(experiment):
            self.lender.lend_all()
        return refused

    def epoch_report(self, session: Session, report: Report) -> None:
        """A worker says where its centre stands."""
        if self.keeper.report(session, report):
            self.lender.send_revocations()
            self.lender.lend_all()

    def heartbeat(
        self,
        session: Session,
        busy_share: float,
        frames: int,
        slots: int,
        stage_seconds: Sequence[float] = (),
    ) -> None:
        """A worker is alive."""
        self.fleet.resize(session, slots)
        now = self._clock()
        session.busy_share = busy_share if 0 <= busy_share <= 1 else 0.0
        session.frames_per_second = frames / max(now - session.beat, 1e-3)
        session.stage_shares = shares(stage_seconds)
        session.beat = now

    def rejection(self, session: Session, number: int, reason: str, identity: int = 0) -> None:
        """A worker can never play an experiment: others get its work."""
        experiment = self._registry.find(number, identity)
        if experiment is None:
            return
        worker_id = session.identity.worker_id
        while len(experiment.rejections) >= MAX_WORKERS:
            del experiment.rejections[next(iter(experiment.rejections))]
        experiment.rejections[worker_id] = reason
        returned = custody.give_back(experiment, worker_id)
        logger.warning(
            "worker %s cannot play experiment %s, %d leases come back: %s",
            worker_id, experiment.settings.name, returned, reason,
        )  # fmt: skip
        trouble = self.overview.trouble(experiment)
        if trouble:
            logger.error("experiment %s: %s", experiment.settings.name, trouble)
        self.lender.lend_all()

    def goodbye(
        self, session: Session, reason: str, returned: Sequence[Key], suspected: Sequence[Key] = ()
    ) -> None:
        """A worker leaves; its leases go to others at once, with a doubt about those that may be why."""
        if not self.fleet.leave(session, for_good=True):
            return
        worker_id = session.identity.worker_id
        self.keeper.lose(worker_id)
        count = custody.lose(self._registry, worker_id, reason, suspected)
        logger.info("worker %s leaves: %s; %d leases come back", worker_id, reason, count)
        self.lender.send_revocations()
        self.lender.lend_all()

    def finish(self, session: Session) -> None:
        """A worker has said everything; it is told what is still to be told, then its stream ends."""
        self._journal.when_durable(partial(session.orders.put_nowait, End(None)))

    def hang_up(self, session: Session) -> None:
        """A worker's stream is over. Without a goodbye its leases stay with it for a while."""
        if self.fleet.leave(session, for_good=False):
            self.keeper.lose(session.identity.worker_id)
            logger.info(
                "worker %s is away; it keeps its leases for %g s",
                session.identity.worker_id,
                self.fleet.away_s,
            )

    # Time

    def tick(self) -> None:
        """About once a second: take work back from workers that are gone, and end what is over."""
        now, before = self._clock(), self._ticked
        self._ticked = now
        self._churn.live(len(self.fleet), now - before)
        for session in self.fleet.silent():
            logger.warning(
                "worker %s has been silent for %g s", session.identity.worker_id, self.fleet.away_s
            )
            session.orders.put_nowait(
                End(SilentStreamError(f"nothing came for {self.fleet.away_s:g} s; open a new stream"))
            )
            self.hang_up(session)
        came_back = sum(self._take_back(worker_id) for worker_id in self.fleet.gone())
        for experiment in self._registry:
            experiment.tick()
            expired = custody.expire(experiment)
            if expired:
                logger.warning("experiment %s: %d leases ran out", experiment.settings.name, expired)
                self._metrics.count_expired(expired)
            came_back += expired
            self.quarantine.follow(experiment)
        self.lender.send_revocations()
        self.keeper.conduct()
        self.lender.lend_all()

    def drain(self, reason: str) -> None:
        """Lend no more; tell the workers so."""
        self._draining = reason
        self.lender.is_closed = True
        for session in self.fleet:
            session.orders.put_nowait(Drain(reason))

    def end_streams(self) -> None:
        """End every stream politely, after what is queued on it."""
        for session in self.fleet:
            session.orders.put_nowait(End(None))

    def _check_fit(self, greeting: Greeting) -> None:
        if greeting.noise_version != noise.VERSION:
            raise StreamOrderError(
                f"hello.noise_version is {greeting.noise_version}; "
                f"this master evolves with version {noise.VERSION}"
            )
        if greeting.noise_digest != self._noise_digest:
            raise StreamOrderError(
                f"hello.noise_digest is {greeting.noise_digest!r}, this master's is {self._noise_digest!r}: "
                "the worker would rebuild other networks from the same seeds"
            )

    def _begin_anew(self, worker_id: str) -> None:
        """A worker's process began anew: what it held may be why, and it may be able to play more now."""
        lost = self._lose(worker_id, "the worker's process ended while it held this")
        for experiment in self._registry:
            experiment.rejections.pop(worker_id, None)
        if lost:
            logger.warning("worker %s began anew; %d leases are lent again", worker_id, lost)

    def _take_back(self, worker_id: str) -> int:
        away_s = self.fleet.away_s
        count = self._lose(worker_id, f"the worker was away for {away_s:g} s while it held this", away_s)
        logger.warning("worker %s has been away too long; %d leases are lent again", worker_id, count)
        return count

    def _lose(self, worker_id: str, reason: str, silent_s: float = 0.0) -> int:
        """A worker was lost without a word; how much work comes back."""
        if custody.holds_anything(self._registry, worker_id) and not custody.is_on_trial(
            self._registry, worker_id
        ):
            self._churn.lose()
        return custody.lose(self._registry, worker_id, reason, odds=self._churn.odds(silent_s))


def _experiment_of(told: tuple[Key, Result]) -> tuple[int, int]:
    return told[0].experiment, told[0].identity
