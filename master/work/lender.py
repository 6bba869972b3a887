"""Lending: who gets which work, and what is not wanted any more."""

from __future__ import annotations

from collections.abc import Sequence

from master.experiments.experiment import Experiment
from master.experiments.registry import Registry
from master.journal.journal import Journal
from master.work import custody
from master.work.fair_share import Claim, divide
from master.work.fleet import Fleet, Revoke, Session
from master.work.leases import Key
from master.work.lendings import Lease

_MAX_RESERVE = 1_024
_RESERVE_SHARE = 4  # asked beyond what is lent: a quarter of what the fleet plays


class Lender:
    """Lends the experiments' work to the workers that have room for it.

    Attributes:
        is_closed: whether nothing more is lent.
    """

    def __init__(self, registry: Registry, fleet: Fleet, journal: Journal) -> None:
        self.is_closed = False
        self._registry = registry
        self._fleet = fleet
        self._journal = journal
        self._emptied = ""  # a worker that is not lent any more until it holds nothing

    def lend(self, session: Session) -> None:
        """Give a worker as much work as it has room for.

        What one experiment cannot use, because its epoch waits for its last pairs, the others get. If nobody
        has work for a worker that holds none, it gets a tail's work a second time.
        """
        if self.is_closed or session.credit <= 0 or self._journal.is_overfull:
            return
        worker_id = session.identity.worker_id
        if worker_id in self._registry.quarantined:
            return
        running = (e for e in self._registry.running() if not self._journal.is_held_up(e.number))
        experiments = [e for e in running if worker_id not in e.rejections]
        if self._is_for_trial(session, experiments):
            return
        reserve = min(self._fleet.slots // _RESERVE_SHARE, _MAX_RESERVE) // max(len(experiments), 1)
        hungry = experiments
        while session.credit > 0 and hungry:
            claims = [Claim(experiment.claimed, experiment.settings.share) for experiment in hungry]
            parts = zip(hungry, divide(session.credit, claims), strict=True)
            hungry = [e for e, n in parts if n == 0 or self._lend_some(session, e, n, reserve)]
        if session.credit > 0 and not any(e.pending_work.tickets_of(worker_id) for e in experiments):
            for experiment in experiments:
                session.lend(experiment, experiment.lend_twins(worker_id, session.credit))

    def lend_all(self) -> None:
        """Give every worker with room what there is: work came back, or an experiment began."""
        for session in self._fleet:
            self.lend(session)

    def send_revocations(self) -> None:
        """Tell workers which of their leases are not wanted any more."""
        for experiment in self._registry:
            for book in experiment.lent:
                if book.revoked:
                    revoked, book.revoked = book.revoked, []
                    self._revoke(experiment, revoked)

    def _revoke(self, experiment: Experiment, leases: Sequence[Lease]) -> None:
        by_worker: dict[str, list[Key]] = {}
        for lease in leases:
            key = Key(experiment.number, lease.ticket, lease.attempt, experiment.identity)
            by_worker.setdefault(lease.worker, []).append(key)
        for worker_id, keys in by_worker.items():
            session = self._fleet.find(worker_id)
            if session is not None:
                session.orders.put_nowait(Revoke(keys))

    def _lend_some(self, session: Session, experiment: Experiment, n: int, reserve: int) -> bool:
        """Lend a worker work of about n evaluations, checks first; False if the experiment has none.

        Less is no sign that nothing is left: a centre's measurement counts for less than a slice.
        """
        crew = self._crew(experiment) if len(experiment.pending_work.retries) else ()
        worker_id = session.identity.worker_id
        work = experiment.checks.lend(worker_id, n) if experiment.checks.waiting else []
        if n > len(work):
            work += experiment.lend(worker_id, n - len(work), session.known.keys(), reserve, crew)
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
        if wanted and custody.holds_anything(self._registry, worker_id):
            if self._fleet.find(self._emptied) is None or self._emptied in self._registry.quarantined:
                self._emptied = worker_id
            return self._emptied == worker_id
        if self._emptied == worker_id:
            self._emptied = ""
        for experiment in wanted[:1]:
            session.lend(experiment, experiment.lend_trial(worker_id, session.slots, crews[experiment]))
        return bool(wanted)

    def _crew(self, experiment: Experiment) -> list[str]:
        """The workers that are connected and play an experiment."""
        names = (session.identity.worker_id for session in self._fleet)
        out = experiment.rejections.keys() | self._registry.quarantined.keys()
        return [name for name in names if name not in out]
