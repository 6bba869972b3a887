"""An evolution strategy's centre as its master knows it: epochs, digests and checkpoints; never weights.

The centre itself lives on the workers. The master keeps what a worker needs to get it: the newest checkpoint
and the scores of every epoch since, or the scores of all epochs. The bytes of checkpoints are the journal's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from germline.algorithms.slices import EpochClosed
from germline.limits import MAX_PARTS, PART_BYTES
from master.centres.agreement import Agreement
from master.experiments.events import CheckpointStored, Told

_MAX_RELOADS = 3
_MOST_EPOCHS = 1_000  # since the newest checkpoint, whose scores are kept: a late joiner replays them
_MOST_SCORES = 1 << 22  # in them, 32 MiB


class Checkpoint(NamedTuple):
    """A centre and its optimiser's memory after `epoch` updates, as a worker sent it."""

    epoch: int
    digest: str
    data: bytes

    @property
    def parts(self) -> int:
        """In how many parts it travels."""
        return -(-len(self.data) // PART_BYTES)

    def part(self, number: int) -> bytes:
        """One of them."""
        return self.data[number * PART_BYTES : (number + 1) * PART_BYTES]


class Centre:
    """What is known of one experiment's centre.

    Attributes:
        epochs: closed epochs that everybody may know of: they are durable.
        updates: those since the newest checkpoint.
        newest: the checkpoint that a late joiner starts from.
        best: that of the best measured centre.
        digests: what workers report.
        closed: closed epochs that nobody was told of yet.
        told: what counts so far in the open epoch, by ticket.
    """

    def __init__(self, checkpoint_epochs: int) -> None:
        self.epochs = 0
        self.updates: list[EpochClosed] = []
        self.newest: CheckpointStored | None = None
        self.best: CheckpointStored | None = None
        self.agreement = Agreement()
        self.closed: list[EpochClosed] = []
        self.told: dict[int, Told] = {}
        self._checkpoint_epochs = checkpoint_epochs
        self._wanted_newest = self._wanted_best = -1
        self._asked: dict[int, str] = {}  # wanted epoch, worker
        self._refused: set[tuple[int, str]] = set()
        self._storing: set[int] = set()
        self._replayed: set[tuple[int, str]] = set()  # who had to come to a wanted epoch again
        self._incoming: dict[str, list[bytes]] = {}
        self._reloads: Counter[str] = Counter()
        self._handed_out = 0  # closed epochs that somebody takes care to announce

    # Epochs

    def close(self, closed: EpochClosed) -> None:
        """An epoch closed; it is not durable yet."""
        self.closed.append(closed)
        self.told.clear()

    def announce(self, closed: EpochClosed) -> None:
        """An epoch is durable: from now on, late joiners are told of it."""
        if closed.epoch == self.epochs:
            self.epochs += 1
            self.closed = self.closed[1:]
            self._handed_out = max(self._handed_out, self.epochs)
            self.updates.append(closed)
            due = self._checkpoint_epochs and self.epochs % self._checkpoint_epochs == 0
            if (due or self._is_overgrown) and self._wanted_newest not in self._asked:  # one on its way comes
                self._wanted_newest = self.epochs

    def unannounced(self) -> list[EpochClosed]:
        """The closed epochs that nobody was asked to announce yet; asking once is enough."""
        fresh = self.closed[self._handed_out - self.epochs :]
        self._handed_out += len(fresh)
        return fresh

    @property
    def closed_epochs(self) -> int:
        """All closed epochs, also those that nobody was told of yet."""
        return self.epochs + len(self.closed)

    @property
    def digest(self) -> str:
        """Of the centre after the last closed epoch; empty while no worker reported it."""
        known = {kept.epoch: kept.digest for kept in (self.best, self.newest) if kept}
        return self.agreement.agreed(self.closed_epochs) or known.get(self.closed_epochs, "")

    def may_reload(self, worker: str) -> bool:
        """Count a reload; False if this worker had its chances."""
        self._reloads[worker] += 1
        return self._reloads[worker] <= _MAX_RELOADS

    # Checkpoints

    def want_best(self, epoch: int | None) -> None:
        """The best measured centre is the one after so many updates: its checkpoint is to be kept."""
        self._wanted_best = -1 if epoch is None or self.has(epoch) else epoch

    def want_newest(self) -> None:
        """Want again what was wanted before a restart for late joiners."""
        every = self._checkpoint_epochs
        due = self.epochs - self.epochs % every if every else 0
        if self._is_overgrown:
            due = self.epochs
        if due > (self.newest.epoch if self.newest else 0):
            self._wanted_newest = due

    def want_last(self) -> None:
        """The experiment is over: keep the centre as it is after the last closed epoch."""
        if self.newest is None or self.newest.epoch < self.closed_epochs:
            self._wanted_newest = self.closed_epochs

    def want_last_no_more(self) -> None:
        """The experiment goes on after its end: only checkpoints at their intervals are to be kept."""
        self._wanted_newest = -1
        self.want_newest()

    @property
    def _is_overgrown(self) -> bool:
        """Whether so many scores are kept since the newest checkpoint that another one is wanted anyway."""
        scores = len(self.updates) * len(self.updates[-1].fitness) if self.updates else 0
        return len(self.updates) >= _MOST_EPOCHS or scores >= _MOST_SCORES

    def has(self, epoch: int | None) -> bool:
        """Whether this is the best measured centre whose checkpoint is kept."""
        return self.best is not None and self.best.epoch == epoch

    @property
    def wanted(self) -> set[int]:
        """Epochs whose checkpoints are to be kept and not here yet."""
        return {epoch for epoch in (self._wanted_best, self._wanted_newest) if epoch >= 0}

    def to_ask(self, workers: Collection[str]) -> list[tuple[int, str]]:
        """The checkpoint to ask one of these workers for now: (epoch, worker), if there is one.

        One that all of them have come to, and that nobody doubts: later joiners start from it. One at a time,
        the earliest first: it can be had from the scores until a later one is kept.
        """
        epoch = self._next_wanted(workers)
        worker = next((name for name in workers if (epoch, name) not in self._refused), None)
        return [] if epoch < 0 or worker is None else [self._ask(epoch, worker)]

    def to_replay(self, workers: Collection[str]) -> list[tuple[int, str]]:
        """Who has to come to a wanted centre again, because nobody has it any more: (epoch, worker).

        Given up are a best centre that the kept scores do not lead to, and one for late joiners where a later
        one serves them as well.
        """
        epoch = self._next_wanted(workers)
        if epoch < 0 or not all((epoch, name) in self._refused for name in workers):
            return []
        worker = next((name for name in workers if (epoch, name) not in self._replayed), None)
        is_passed = self.newest is not None and self.newest.epoch > epoch
        if worker is None or is_passed or self._wanted_best != epoch < self.epochs:
            self._give_up(epoch)
            return []
        self._replayed.add((epoch, worker))
        return [self._ask(epoch, worker)]

    def _next_wanted(self, workers: Collection[str]) -> int:
        """The earliest wanted checkpoint, if it can be asked for and is not; otherwise -1."""
        wanted = self.wanted - self._storing
        self._asked = {epoch: worker for epoch, worker in self._asked.items() if epoch in wanted}
        epoch = min(wanted, default=-1)
        can = epoch <= self.epochs and workers and self.agreement.is_settled(epoch, workers)
        return epoch if can and epoch not in self._asked else -1

    def _ask(self, epoch: int, worker: str) -> tuple[int, str]:
        self._asked[epoch] = worker
        return epoch, worker

    def _give_up(self, epoch: int) -> None:
        """Nobody can come to this centre: the next wanted one is another."""
        if self._wanted_best == epoch:
            self._wanted_best = -1
        if self._wanted_newest == epoch:
            self._wanted_newest = -1

    def lose(self, worker: str) -> None:
        """A worker is gone: what it was asked for is asked of another."""
        self.agreement.lose(worker)
        self._incoming.pop(worker, None)
        self._asked = {epoch: name for epoch, name in self._asked.items() if name != worker}

    def take_part(self, worker: str, epoch: int, part: int, parts: int, data: bytes) -> bytes | None:
        """Take a part of a checkpoint that this worker was asked for; the whole file with its last part.

        A worker that has not the file, or whose parts are too many, too large or in disorder, is not asked
        for it again.
        """
        if self._asked.get(epoch) != worker or epoch not in self.wanted:
            return None
        held = [] if part == 0 else self._incoming.get(worker, [])
        if not part == len(held) < parts <= MAX_PARTS or len(data) > PART_BYTES:
            self.refuse(worker, epoch)
            return None
        held.append(data)
        self._incoming[worker] = held
        return b"".join(self._incoming.pop(worker)) if part + 1 == parts else None

    def refuse(self, worker: str, epoch: int) -> None:
        """A worker has not this checkpoint, or a wrong one: another is asked."""
        self._refused.add((epoch, worker))
        self._asked.pop(epoch, None)
        self._incoming.pop(worker, None)

    def begin_to_store(self, epoch: int) -> None:
        """A checkpoint is here, and on its way to the store: it is not asked for again."""
        self._storing.add(epoch)

    def store(self, checkpoint: Checkpoint) -> CheckpointStored:
        """A wanted checkpoint has come into the store."""
        self._storing.discard(checkpoint.epoch)
        is_best = checkpoint.epoch == self._wanted_best
        stored = CheckpointStored(checkpoint.epoch, checkpoint.digest, len(checkpoint.data), is_best)
        self.keep(stored)
        return stored

    def keep(self, stored: CheckpointStored) -> None:
        """A checkpoint is in the store: live, and in a replay. Only the newest and the best are kept."""
        if stored.is_best:
            self.best = stored
        if stored.epoch == self._wanted_best:
            self._wanted_best = -1
        if self.newest is None or stored.epoch >= self.newest.epoch:
            self.newest = stored
            self.updates = [closed for closed in self.updates if closed.epoch >= stored.epoch]
        if stored.epoch >= self._wanted_newest:
            self._wanted_newest = -1
        self._refused = {(epoch, name) for epoch, name in self._refused if epoch > stored.epoch}
        self._replayed = {(epoch, name) for epoch, name in self._replayed if epoch > stored.epoch}

    def kept(self) -> list[CheckpointStored]:
        """The checkpoints that are kept."""
        kept = [stored for stored in (self.newest, self.best) if stored is not None]
        return list({stored.epoch: stored._replace(is_best=stored is self.best) for stored in kept}.values())

    def restore(self, epochs: int, updates: Iterable[EpochClosed], told: Iterable[Told]) -> None:
        """Become what a snapshot says: so many closed epochs, the last of them with their scores."""
        self.told = {each.result.ticket: each for each in told}
        self.epochs = epochs
        self.updates = list(updates)
        self._handed_out = epochs
