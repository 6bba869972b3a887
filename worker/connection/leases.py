"""What a worker holds, what it has told, and how much more it may be lent: bookkeeping without a network.

Promises, whatever the network does:

- a score is forgotten only when its message is acknowledged, and is told on every stream until then;
- a message keeps its sequence number and its scores for ever, so that the master can tell a repeat;
- leases held and credit given on one stream never exceed the room together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import accumulate, chain, islice
from typing import NamedTuple

from worker.playing.lease_work import ExperimentKey, LeaseKey, Score

MAX_BATCH = 4096  # scores in one message; the contract's limit
MAX_RETURNS = 1 << 18  # in one message, 2 MiB, unless a single score has more
MAX_UNACKNOWLEDGED = 16_384  # scores; beyond it the worker takes no more work until the master catches up


class Batch(NamedTuple):
    """The scores of one message, under the number that names it for ever."""

    sequence: int
    scores: tuple[Score, ...]


class LeaseBook:
    """The leases and scores of one worker's life; it outlives every stream."""

    def __init__(self, room: int) -> None:
        """Start with empty hands and `room` evaluations that may be lent at a time."""
        self.room = room
        self.came = 0
        """Leases that ever came."""
        self._unplayed: dict[LeaseKey, int] = {}  # what each lease counts for, in evaluations
        self._lent = 0
        self._untold: deque[Score] = deque()
        self._unacknowledged: dict[int, Batch] = {}
        self._waiting = 0
        self._sequence = 0
        self._granted = 0
        self.evaluations = 0
        self.play_s = 0.0

    def begin_stream(self) -> None:
        """Forget the credit of the stream before; a new one starts with none."""
        self._granted = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to play and no score to tell."""
        return not self._unplayed and not self.owed()

    def unplayed(self) -> list[LeaseKey]:
        """The leases without a score, in the order they came."""
        return list(self._unplayed)

    def held(self) -> list[LeaseKey]:
        """Every lease that a new stream must speak for: unplayed, played, or told and not acknowledged."""
        batches = chain.from_iterable(batch.scores for batch in self._unacknowledged.values())
        return self.unplayed() + [score.key for score in chain(self._untold, batches)]

    def lend(self, keys: Iterable[LeaseKey], evaluations: int = 1) -> None:
        """Take leases of so many evaluations each, which use up credit; the last may take more than that."""
        for key in keys:
            self._lent += evaluations - self._unplayed.get(key, 0)
            self._unplayed[key] = evaluations
            self.came += 1
            self._granted = max(0, self._granted - evaluations)

    def revoke(self, keys: Iterable[LeaseKey]) -> None:
        """Drop leases that nobody wants any more; scores that were already played are told all the same."""
        for key in keys:
            self._lent -= self._unplayed.pop(key, 0)

    def drop_experiment(self, experiment: ExperimentKey) -> None:
        """Drop all unplayed leases of one experiment."""
        self.revoke([key for key in self._unplayed if key.experiment == experiment])

    def score(self, scores: Iterable[Score]) -> int:
        """Note what was played and return how many count: scores of leases dropped meanwhile are not told."""
        wanted = [score for score in scores if score.key in self._unplayed]
        self.evaluations += sum(self._unplayed[score.key] for score in wanted)
        self.play_s += sum(score.play_s for score in wanted)
        self.revoke(score.key for score in wanted)
        self._untold.extend(wanted)
        return len(wanted)

    def next_batch(self) -> Batch | None:
        """Put scores that were not told yet under the next number; None if there are none."""
        if not self._untold:
            return None
        next_ones = islice(self._untold, MAX_BATCH)
        sizes = accumulate(len(score.returns) + len(score.failure) for score in next_ones)
        count = max(1, sum(size <= MAX_RETURNS for size in sizes))
        self._sequence += 1
        batch = Batch(self._sequence, tuple(self._untold.popleft() for _ in range(count)))
        self._unacknowledged[batch.sequence] = batch
        self._waiting += count
        return batch

    def unacknowledged(self) -> list[Batch]:
        """The batches to repeat on a new stream, oldest first."""
        return list(self._unacknowledged.values())

    def acknowledge(self, sequence: int) -> Batch | None:
        """Forget a batch that is durable; None if the number was acknowledged before or never used."""
        batch = self._unacknowledged.pop(sequence, None)
        if batch is not None:
            self._waiting -= len(batch.scores)
        return batch

    def owed(self) -> int:
        """How many scores the master has not made durable yet."""
        return len(self._untold) + self._waiting

    def grant(self) -> int:
        """The credit to give now so that the room is used; 0 if there is none to give. Counts it as given."""
        if self.owed() >= MAX_UNACKNOWLEDGED:
            return 0
        credit = max(0, self.room - self._lent - self._granted)
        self._granted += credit
        return credit
