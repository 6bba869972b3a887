"""What workers say that their centre is, and which of them are believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

KEPT_EPOCHS = 64  # whose digests are compared; a worker that differs once differs from then on


class Agreement:
    """Compares the centres of all workers of one experiment, epoch by epoch. No weights, only digests.

    Who is right: the digest that most workers report. Where none leads although everybody has reported (two
    workers differ), nobody is believed: all of them start over from the scores, and what they report then is
    the truth. The master holds no weights and could not know better.

    A worker that starts over reports epoch 0 first. What it says before that was on its way when it was told
    so, and is passed over.
    """

    def __init__(self) -> None:
        self._reports: dict[int, dict[str, str]] = {}  # epoch, worker, digest
        self._latest: dict[str, int] = {}  # worker, epoch of its last report
        self._starting_over: set[str] = set()
        self._joining: dict[str, int] = {}  # worker, where the others were when it began behind them

    def report(self, worker: str, epoch: int, digest: str, workers: int = 0) -> list[str]:
        """Note a report; return the workers, of so many `workers`, whose centre is not the others'."""
        if worker in self._starting_over and epoch:
            return []
        self._starting_over.discard(worker)
        self._latest[worker] = epoch
        if epoch >= self._joining.get(worker, 0):
            self._joining.pop(worker, None)
        reports = self._reports.setdefault(epoch, {})
        reports[worker] = digest
        while len(self._reports) > KEPT_EPOCHS:
            del self._reports[min(self._reports)]
        wrong = _minority(reports, workers)
        for name in wrong:
            self.forget(name)
        return wrong

    def join(self, worker: str, epoch: int) -> None:
        """This worker begins while the others are so far: until it has caught up, nobody waits for it."""
        self._joining[worker] = epoch

    def start_over(self, worker: str) -> None:
        """This worker has been told to start over."""
        self._starting_over.add(worker)

    def lose(self, worker: str) -> None:
        """This worker's stream is over; a new one begins with what it is then."""
        self._starting_over.discard(worker)
        self._latest.pop(worker, None)
        self._joining.pop(worker, None)

    def forget(self, worker: str) -> None:
        """Believe nothing of what this worker said."""
        self._latest.pop(worker, None)
        for reports in self._reports.values():
            reports.pop(worker, None)

    def agreed(self, epoch: int) -> str:
        """The digest after so many updates; empty while nobody reported it."""
        common = Counter(self._reports.get(epoch, {}).values()).most_common(1)
        return common[0][0] if common else ""

    def lag(self, epoch: int) -> int:
        """How far behind so many updates the slowest is of those that have caught up; 0 without any."""
        here = [latest for worker, latest in self._latest.items() if worker not in self._joining]
        return max(0, epoch - min(here, default=epoch))

    def is_settled(self, epoch: int, workers: Collection[str]) -> bool:
        """Whether all of these workers have been so far, and nobody said anything else than the others.

        Those that are still on their way to where the others were when they joined are not waited for, as
        long as there are others: somebody always joins a large fleet.
        """
        said = set(self._reports.get(epoch, {}).values())
        heard = [worker for worker in workers if worker not in self._joining] or workers
        return len(said) <= 1 and all(self._latest.get(worker, -1) >= epoch for worker in heard)


def _minority(reports: dict[str, str], workers: int) -> list[str]:
    """The workers that are not believed; none while more reports may still decide it."""
    common = Counter(reports.values()).most_common(2)
    if len(common) == 1:
        return []
    (most, votes), (_, others) = common
    if votes == others and len(reports) < workers:
        return []
    return [name for name, said in reports.items() if said != most or votes == others]
