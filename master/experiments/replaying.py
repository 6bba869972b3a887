"""An experiment from its snapshot and the journal entries behind it, as far as they can be read."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from master.errors import ConflictError, JournalLostError, StoreFailingError
from master.experiments import recovery
from master.experiments.events import Created
from master.experiments.experiment import Experiment
from master.journal.journal import Journal

Make = Callable[[Created], Experiment]


class Reached:
    """How far a replay came.

    Attributes:
        last: number of the entry behind which it is to stop.
        entry: number of the last entry that is replayed whole.
        has_begun: whether anything is.
    """

    def __init__(self, last: float = math.inf) -> None:
        self.last = last
        self.entry = 0
        self.has_begun = False

    @property
    def is_there(self) -> bool:
        """Whether nothing more is to be replayed."""
        return self.has_begun and self.entry >= self.last

    def come_to(self, entry: int) -> None:
        """That entry, and all before it, are replayed."""
        self.entry, self.has_begun = entry, True


async def replay(journal: Journal, number: int, make: Make, reached: Reached) -> Experiment:
    """Bring an experiment back; `reached` says how far that came, also if it ends with an error.

    Raises what :meth:`Journal.load` raises, and whatever damaged events do.
    """
    snapshot, entries = await journal.load(number)
    experiment = None
    if snapshot is not None:
        experiment = make(snapshot.created)
        recovery.restore(experiment, snapshot)
        reached.come_to(snapshot.position)
    while not reached.is_there:  # and look no further: what follows may be damaged
        try:
            position, events = await anext(entries)
        except StopAsyncIteration:
            break
        for event in events:
            if isinstance(event, Created):
                experiment = make(event)
            elif experiment is not None:
                recovery.replay(experiment, event)
        reached.come_to(position)
        await asyncio.sleep(0)
    if experiment is None:
        raise JournalLostError(f"experiment {number} has neither a snapshot nor a beginning in the journal")
    recovery.want_checkpoints(experiment)
    return experiment


async def readable(journal: Journal, number: int, make: Make) -> int:
    """The number of the last entry up to which an experiment replays.

    Raises:
        ConflictError: nothing of it does.
        StoreFailingError: the store does not answer.
    """
    reached = Reached()
    try:
        await replay(journal, number, make, reached)
    except StoreFailingError:
        raise
    except Exception as error:
        if not reached.has_begun:
            raise ConflictError(f"nothing of it can be read: {error}") from None
    return reached.entry
