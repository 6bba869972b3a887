"""What workers say, done; and what becomes of work when time passes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily

from germline import noise
from germline.algorithms.base import Result
from master.centres.keeper import CentreKeeper, Report
from master.errors import DrainingError, Refusal, SilentStreamError, StreamOrderError
from master.experiments.experiment import Experiment, RefusedResult, WorkerIdentity
from master.experiments.registry import Registry
from master.journal.journal import Journal
from master.metrics import Metrics
from master.work.fair_share import Claim, divide
from master.work.fleet import Acknowledge, Drain, End, Fleet, Revoke, Session, Welcome
from master.work.leases import Key

logger = logging.getLogger(__name__)

_MAX_HELD = 65_536  # leases of one worker, and room for more
_LONGEST_REASON = 1_000  # letters of a worker's that are kept
_MAX_RESERVE = 1_024
_RESERVE_SHARE = 4  # asked beyond what is lent: a quarter of what the fleet plays
_UNSCORED = (Refusal.FAILED, Refusal.NOT_FINITE, Refusal.WRONG_LENGTH)  # another worker may try


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
    """Brings workers and experiments together. Runs on one thread, never waits, and so needs no lock."""

    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        metrics: Metrics,
        clock: Callable[[], float],
        *,
        master_id: str,
        heartbeat_s: float,
    ) -> None:
        self.fleet = Fleet(clock, away_s=3 * heartbeat_s)
        self.keeper = CentreKeeper(self.fleet, registry, journal)
        self._registry = registry
        self._journal = journal
        self._metrics = metrics
        self._clock = clock
        self._welcome = Welcome(master_id, heartbeat_s)
        self._noise_digest = noise.self_test_digest()
        self._draining = ""
        self._emptied = ""  # a worker that is not lent any more until it holds nothing

    # What workers say

    def hello(self, greeting: Greeting) -> Session:
        """Begin a worker's stream. Raises StreamOrderError if the worker does not fit this master."""
        self._check_fit(greeting)
        if self._draining:
            raise DrainingError(f"the master is draining: {self._draining}")
        if self.fleet.is_anew(greeting.identity.worker_id, greeting.process):
            self._begin_anew(greeting.identity.worker_id)
        session = self.fleet.join(greeting.identity, greeting.slots, greeting.process)
        session.orders.put_nowait(self._welcome)
        kept = self._renew(greeting.identity.worker_id, greeting.held)
        lost = self._give_back_all_but(greeting.identity.worker_id, kept)
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
        return session

    def credit(self, session: Session, evaluations: int) -> None:
        """A worker has room for so many more evaluations."""
        wanted = session.credit + evaluations
        if wanted > _MAX_HELD - session.held:  # leases that came back some other way are still counted
            session.held = sum(e.pending_work.count_of(session.identity.worker_id) for e in self._registry)
        session.credit = max(0, min(wanted, _MAX_HELD - session.held))
        self.lend(session)

    def results(self, session: Session, sequence: int, results: Iterable[tuple[Key, Result]]) -> None:
        """Take results in; they are acknowledged as soon as they are durable."""
        refused: list[RefusedResult] = []
        numbers: set[int] = set()
        for (number, identity), group in groupby(results, key=_experiment_of):
            told = list(group)
            experiment = self._registry.find(number, identity)
            if experiment is None:
                text = f"lease.experiment is {number}, identity {identity:016x}; no such experiment is here"
                refused += [RefusedResult(key, Refusal.UNKNOWN, text) for key, _ in told]
            else:
                refused += self._tell(session, experiment, told)
                numbers.add(number)
        self._metrics.count_refused([refusal.code for refusal in refused])
        acknowledge = partial(session.orders.put_nowait, Acknowledge(sequence, refused))
        self._journal.when_durable(acknowledge, numbers)
        self.send_revocations()
        if self.keeper.conduct() or any(refusal.code in _UNSCORED for refusal in refused):
            self.lend_all()

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
        return refused

    def epoch_report(self, session: Session, report: Report) -> None:
        """A worker says where its centre stands."""
        if self.keeper.report(session, report):
            self.send_revocations()
            self.lend_all()

    def heartbeat(self, session: Session, busy_share: float, frames: int, slots: int) -> None:
        """A worker is alive."""
        self.fleet.resize(session, slots)
        now = self._clock()
        session.busy_share = busy_share if 0 <= busy_share <= 1 else 0.0
        session.frames_per_second = frames / max(now - session.beat, 1e-3)
        session.beat = now

    def rejection(self, session: Session, number: int, reason: str, identity: int = 0) -> None:
        """A worker can never play an experiment: others get its work."""
        experiment = self._registry.find(number, identity)
        if experiment is None:
            return
        worker_id = session.identity.worker_id
        experiment.rejections[worker_id] = reason[:_LONGEST_REASON]
        returned = experiment.pending_work.give_back(worker_id)
        logger.warning(
            "worker %s cannot play experiment %s, %d leases come back: %s",
            worker_id, experiment.settings.name, returned, reason,
        )  # fmt: skip
        trouble = self.trouble(experiment)
        if trouble:
            logger.error("experiment %s: %s", experiment.settings.name, trouble)
        self.lend_all()

    def goodbye(
        self, session: Session, reason: str, returned: Sequence[Key], suspected: Sequence[Key] = ()
    ) -> None:
        """A worker leaves; its leases go to others at once, with a doubt about those that may be why."""
        if not self.fleet.leave(session, for_good=True):
            return
        worker_id = session.identity.worker_id
        self.keeper.lose(worker_id)
        count = self._lose(worker_id, reason, suspected)
        logger.info("worker %s leaves: %s; %d leases come back", worker_id, reason, count)
        self.send_revocations()
        self.lend_all()

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

    # Lending

    def lend(self, session: Session) -> None:
        """Give a worker as much work as it has room for.

        What one experiment cannot use, because its epoch waits for its last pairs, the others get. If nobody
        has work for a worker that holds none, it gets a tail's work a second time.
        """
        if self._draining or session.credit <= 0 or self._journal.is_overfull:
            return
        worker_id = session.identity.worker_id
        running = (e for e in self._registry.running() if not self._journal.is_held_up(e.number))
        experiments = [e for e in running if worker_id not in e.rejections]
        if self._is_for_trial(session, experiments):
            return
        reserve = min(self.fleet.slots // _RESERVE_SHARE, _MAX_RESERVE) // max(len(experiments), 1)
        hungry = experiments
        while session.credit > 0 and hungry:
            claims = [Claim(experiment.claimed, experiment.settings.share) for experiment in hungry]
            parts = zip(hungry, divide(session.credit, claims), strict=True)
            hungry = [e for e, n in parts if n == 0 or self._lend_some(session, e, n, reserve)]
        if session.credit > 0 and not any(e.pending_work.tickets_of(worker_id) for e in experiments):
            for experiment in experiments:
                session.lend(experiment, experiment.lend_twins(worker_id, session.credit))

    def _lend_some(self, session: Session, experiment: Experiment, n: int, reserve: int) -> bool:
        """Lend a worker work of about n evaluations; False if the experiment has none.

        Less is no sign that nothing is left: a centre's measurement counts for less than a slice.
        """
        crew = self._crew(experiment) if len(experiment.pending_work.retries) else ()
        work = experiment.lend(session.identity.worker_id, n, session.known.keys(), reserve, crew)
        session.lend(experiment, work)
        return bool(work)

    def _is_for_trial(self, session: Session, experiments: Sequence[Experiment]) -> bool:
        """Whether a worker is to play nothing but work that others were lost with.

        It gets such work when it holds nothing. If all are busy, one of them is not lent any more until it is
        through with what it holds.
        """
        doubtful = [e for e in experiments if e.pending_work.retries.has_trials]
        if not doubtful:
            return False
        worker_id = session.identity.worker_id
        if any(e.pending_work.is_on_trial(worker_id) for e in doubtful):
            return True
        crews = {e: self._crew(e) for e in doubtful}
        wanted = [e for e in doubtful if e.pending_work.retries.wants_trial(worker_id, crews[e])]
        if wanted and any(e.pending_work.leases.has(worker_id) for e in self._registry):
            if self.fleet.find(self._emptied) is None:
                self._emptied = worker_id
            return self._emptied == worker_id
        if self._emptied == worker_id:
            self._emptied = ""
        for experiment in wanted[:1]:
            session.lend(experiment, experiment.lend_trial(worker_id, session.slots, crews[experiment]))
        return bool(wanted)

    def _crew(self, experiment: Experiment) -> list[str]:
        """The workers that are connected and play an experiment."""
        names = (session.identity.worker_id for session in self.fleet)
        return [name for name in names if name not in experiment.rejections]

    def lend_all(self) -> None:
        """Give every worker with room what there is: work came back, or an experiment began."""
        for session in self.fleet:
            self.lend(session)

    def send_revocations(self) -> None:
        """Tell workers which of their leases are not wanted any more."""
        for experiment in self._registry:
            if experiment.pending_work.revoked:
                by_worker: dict[str, list[Key]] = {}
                for lease in experiment.pending_work.revoked:
                    key = Key(experiment.number, lease.ticket, lease.attempt, experiment.identity)
                    by_worker.setdefault(lease.worker, []).append(key)
                experiment.pending_work.revoked.clear()
                for worker_id, keys in by_worker.items():
                    session = self.fleet.find(worker_id)
                    if session is not None:
                        session.orders.put_nowait(Revoke(keys))

    @property
    def leased(self) -> int:
        """Work that is lent now."""
        return sum(len(experiment.pending_work.leases) for experiment in self._registry)

    def gauges(self) -> Iterator[GaugeMetricFamily]:
        """What the metrics show of this moment."""
        running = self._registry.running()
        sessions = list(self.fleet)
        busy = sum(s.busy_share * s.slots for s in sessions) / max(sum(s.slots for s in sessions), 1)
        for name, text, value in (
            ("germline_workers", "Workers that are connected.", len(sessions)),
            ("germline_worker_slots", "Evaluations that they play at a time.", self.fleet.slots),
            ("germline_worker_busy_ratio", "Share of time in which they play, weighted by slots.", busy),
            ("germline_leases_active", "Work that is lent.", self.leased),
            (
                "germline_queue_depth",
                "Work that waits for a worker.",
                sum(e.pending_work.waiting for e in running),
            ),
            (
                "germline_credit",
                "Room for work that workers have and do not get.",
                sum(s.credit for s in sessions),
            ),
            ("germline_experiments_running", "Experiments that want work done.", len(running)),
            (
                "germline_set_aside",
                "Individuals that could not be scored, of all experiments.",
                sum(e.progress.failed for e in self._registry),
            ),
            (
                "germline_store_failing",
                "1 while the store does not take the journal.",
                bool(self._journal.trouble),
            ),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))

    # Time

    def tick(self) -> None:
        """About once a second: take work back from workers that are gone, and end what is over."""
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
            expired = experiment.pending_work.expire()
            if expired:
                logger.warning("experiment %s: %d leases ran out", experiment.settings.name, expired)
                self._metrics.count_expired(expired)
            came_back += expired
        self.send_revocations()
        self.keeper.conduct()
        self.lend_all()

    def drain(self, reason: str) -> None:
        """Lend no more; tell the workers so."""
        self._draining = reason
        for session in self.fleet:
            session.orders.put_nowait(Drain(reason))

    def end_streams(self) -> None:
        """End every stream politely, after what is queued on it."""
        for session in self.fleet:
            session.orders.put_nowait(End(None))

    def trouble(self, experiment: Experiment) -> str:
        """What keeps an experiment from going on, or made it pause, for people; empty if nothing does."""
        if experiment.trouble:
            return experiment.trouble
        if not experiment.is_running:
            return ""
        reasons, workers = self.rejections(experiment), len(self.fleet)
        if workers and len(reasons) == workers:
            return f"none of {workers} workers can play it; the last says: {reasons[-1]}"
        return self._journal.trouble_of(experiment.number)

    def rejections(self, experiment: Experiment) -> list[str]:
        """Why workers that are connected cannot play an experiment, one sentence from each."""
        rejections = experiment.rejections
        return [rejections[s.identity.worker_id] for s in self.fleet if s.identity.worker_id in rejections]

    def worker_trouble(self, worker_id: str) -> str:
        """Which running experiments a worker cannot play, and why; empty if there are none."""
        refused = [(e.settings.name, e.rejections.get(worker_id)) for e in self._registry.running()]
        return "; ".join(f"cannot play {name}: {reason}" for name, reason in refused if reason)

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

    def _renew(self, worker_id: str, held: Iterable[Key]) -> set[Key]:
        kept = set()
        for key in held:
            experiment = self._registry.find(key.experiment, key.identity)
            if experiment is not None and experiment.pending_work.renew(worker_id, key.ticket, key.attempt):
                kept.add(key)
        return kept

    def _give_back_all_but(self, worker_id: str, kept: set[Key]) -> int:
        """Take back what a worker was lent and does not hold: it never arrived, or the process began anew."""
        lost = 0
        for experiment in self._registry:
            tickets = {key.ticket for key in kept if key.experiment == experiment.number}
            lost += experiment.pending_work.give_back(
                worker_id, experiment.pending_work.tickets_of(worker_id) - tickets
            )
        return lost

    def _begin_anew(self, worker_id: str) -> None:
        """A worker's process began anew: what it held may be why, and it may be able to play more now."""
        lost = self._lose(worker_id, "the worker's process ended while it held this")
        for experiment in self._registry:
            experiment.rejections.pop(worker_id, None)
        if lost:
            logger.warning("worker %s began anew; %d leases are lent again", worker_id, lost)

    def _take_back(self, worker_id: str) -> int:
        count = self._lose(worker_id, f"the worker was away for {self.fleet.away_s:g} s while it held this")
        logger.warning("worker %s has been away too long; %d leases are lent again", worker_id, count)
        return count

    def _lose(self, worker_id: str, reason: str, suspected: Collection[Key] | None = None) -> int:
        """A worker was lost, and all that it holds goes to others; what it was lost with may be why.

        Args:
            worker_id: the worker.
            reason: what happened, for people.
            suspected: what it was lost with; None for all that it holds.

        Returns:
            How many leases came back.
        """
        lost = {e: _held_in(e, worker_id, suspected) for e in self._registry}
        count = sum(map(len, lost.values()))
        for experiment, tickets in lost.items():
            experiment.lose(worker_id, reason, tickets, count)
        return count + self._give_back_all(worker_id)

    def _give_back_all(self, worker_id: str) -> int:
        return sum(experiment.pending_work.give_back(worker_id) for experiment in self._registry)


def _held_in(experiment: Experiment, worker_id: str, among: Collection[Key] | None) -> set[int]:
    """The tickets that a worker holds in one experiment; only those among these leases, if there are some."""
    held = experiment.pending_work.tickets_of(worker_id)
    if among is None:
        return held
    mine = (key for key in among if key.experiment == experiment.number)
    return held.intersection(key.ticket for key in mine if key.identity in (0, experiment.identity))


def _experiment_of(told: tuple[Key, Result]) -> tuple[int, int]:
    return told[0].experiment, told[0].identity
