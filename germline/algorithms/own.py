"""Evolution whose arithmetic is its user's own: who evaluates, who optimises, and whose state goes on.

Workers bring `initialise`, `evaluate`, `optimise` and the state that these make and change; here is only the
order of things. One worker makes the first state. An epoch lends each member of the population to one worker;
when all are told, every worker applies the same returns to the same state; then one of them shows what came
of it, and that is stored before anybody goes on. Workers come and go at any moment. No I/O, no clock: what
happens goes in, and orders come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from germline.algorithms.base import JsonValue
from germline.algorithms.own_epoch import OwnEpoch, Part, Slice, check_parts
from germline.algorithms.own_orders import Kind, Member, Order, Phase, UnknownTaskError


class OwnRun:
    """The order of things in one run.

    Promises, for workers that come and go in any order:

    - While there is a worker that answers, the run goes on.
    - In an epoch, every member is lent to one living worker at a time, and told once.
    - A worker optimises an epoch at most once, with the state that the epoch began with, and everybody with
      the same returns. Whoever comes in between is welcomed when the next state is there, or at once where
      nobody is left.
    - What is kept (:meth:`snapshot`) is the number of updates and what is told of the open epoch; not who was
      there.

    Attributes:
        population: members of an epoch.
        updates: updates in the stored state; -1 before there is one.
        phase: what it waits for.
        open: the epoch.
        is_over: whether everybody is sent home.
        is_held: whether nothing more is evaluated for now.
    """

    def __init__(self, population: int, most_slices: int = 0) -> None:
        """Begin before the first state. An order has at most so many slices; 0: any number."""
        self.population = population
        self.most_slices = most_slices
        self.updates = -1
        self.phase = Phase.INITIALISE
        self.open = OwnEpoch(population)
        self._last: npt.NDArray[np.float64] | None = None
        self.is_over = self.is_held = False
        self._members: dict[str, Member] = {}
        self._waiting: dict[str, int] = {}  # workers that are not welcomed yet, and their room
        self._tasks = 0
        self._orders: list[Order] = []

    @property
    def latest(self) -> npt.NDArray[np.float64]:
        """The returns of the last epoch of which all are told, or those of the open one before that."""
        return self.open.returns if self._last is None or self.open.is_complete else self._last

    # Who is there

    @property
    def members(self) -> dict[str, Member]:
        """The workers that were welcomed, in the order in which they were."""
        return self._members

    @property
    def waiting(self) -> dict[str, int]:
        """The workers that wait to be welcomed, and their room."""
        return self._waiting

    def join(self, worker: str, room: int) -> None:
        """A worker comes that takes so many members at a time.

        Raises:
            ValueError: it is there already, or has no room.
        """
        if worker in self._members or worker in self._waiting or room < 1:
            raise ValueError(f"worker {worker} with room for {room} cannot join; allowed: once, 1 or more")
        if self.is_over:
            self._orders += [Order(worker, Kind.WELCOME, epoch=self.updates), Order(worker, Kind.STOP)]
            return
        self._waiting[worker] = room
        self._go_on()

    def leave(self, worker: str) -> None:
        """A worker is gone; what it held goes to others."""
        self._waiting.pop(worker, None)
        member = self._members.pop(worker, None)
        if member is not None and member.task is not None and member.task.kind is Kind.EVALUATE:
            self.open.give_back(member.task.slices)
        self._go_on()

    def hold(self, is_held: bool) -> None:
        """From now on nothing more is evaluated, or it is again; what is under way comes to its end."""
        self.is_held = is_held
        self._go_on()

    def end(self) -> None:
        """Everybody is sent home."""
        self.is_over = True
        self._orders += [Order(worker, Kind.STOP) for worker in (*self._members, *self._waiting)]
        for member in self._members.values():
            if member.task is not None and member.task.kind is Kind.EVALUATE:
                self.open.give_back(member.task.slices)
        self._members.clear()
        self._waiting.clear()
        if self.phase is not Phase.STORE:
            self._rest()

    def reopen(self) -> None:
        """Go on after the end with whoever comes."""
        self.is_over = False

    def take_orders(self) -> list[Order]:
        """What workers are to be told since the last call, in order."""
        orders, self._orders = self._orders, []
        return orders

    # What workers answer; to anything but what a worker was told last, an answer is late and changes nothing

    def initialise(self, worker: str, task: int) -> bool:
        """A worker has made the first state; True: store it, then call :meth:`stored`."""
        return self._takes_state(worker, task, Kind.INITIALISE)

    def share(self, worker: str, task: int) -> bool:
        """A worker shows the state after an epoch; True: store it, then call :meth:`stored`."""
        return self._takes_state(worker, task, Kind.SHARE)

    def tell(self, worker: str, task: int, parts: Sequence[Part]) -> bool:
        """A worker tells the returns of its slices; True if they count.

        Raises:
            UnknownTaskError: it was never told to.
            ValueError: they are not those of its slices; nothing has changed.
        """
        member = self._answering(worker, task, Kind.EVALUATE)
        if member is None or member.task is None:
            return False
        check_parts(member.task.slices, parts)
        for part in parts:
            self.open.tell(part)
        member.task = None
        self._go_on()
        return True

    def optimise(self, worker: str, task: int) -> bool:
        """A worker has applied the returns; True if it was waited for."""
        member = self._answering(worker, task, Kind.OPTIMISE)
        if member is None:
            return False
        member.task = None
        self._go_on()
        return True

    def stored(self, *, is_last: bool = False) -> None:
        """The state is in the store: another epoch begins, unless that was the last one."""
        self.advance()
        if is_last:
            self.end()
        self._go_on()

    # What is kept

    def advance(self) -> None:
        """A state was stored, live or in a replay: the epoch that it ends is over."""
        if self.updates >= 0:
            self._last = self.open.returns
            self.open = OwnEpoch(self.population)
        self.updates += 1
        self.phase = Phase.EVALUATE

    def recall(self, parts: Sequence[Part]) -> None:
        """Replay: this was told. Raises ValueError if it is not of this population."""
        self.open.recall(parts)

    def snapshot(self) -> dict[str, JsonValue]:
        """What is kept, as JSON values; a return may be NaN or infinite."""
        told: list[JsonValue] = [[part.start, list(part.returns)] for part in self.open.told()]
        return {"updates": self.updates, "told": told}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Become what a snapshot says, without any worker.

        Raises:
            ValueError: it is not of this population.
        """
        if not isinstance(snapshot["updates"], int) or snapshot["updates"] < -1:
            raise ValueError(f"updates is {snapshot['updates']}; allowed: -1, or how many there were")
        self.updates = snapshot["updates"]
        self.phase = Phase.INITIALISE if self.updates < 0 else Phase.EVALUATE
        self.open = OwnEpoch(self.population)
        try:
            told = [Part(start, tuple(map(float, returns))) for start, returns in snapshot["told"]]
        except OverflowError as error:
            raise ValueError(f"told holds no returns: {error}") from None
        self.open.recall(told)

    # Inside

    def _rest(self) -> None:
        """Nobody is there: whoever comes next begins with the stored state."""
        self.phase = Phase.INITIALISE if self.updates < 0 else Phase.EVALUATE

    def _go_on(self) -> None:
        """Tell workers whatever can be told now."""
        if self.is_over:
            return
        if not self._members and self.phase is not Phase.STORE:
            self._rest()
        if self.phase is Phase.INITIALISE:
            self._want_first_state()
        if self.phase is Phase.EVALUATE:
            self._welcome_all()
            self._lend()
        if self.phase in (Phase.OPTIMISE, Phase.SHARE) and not any(m.task for m in self._members.values()):
            self.phase = Phase.SHARE
            self._tell(next(iter(self._members)), Kind.SHARE)

    def _want_first_state(self) -> None:
        """One makes it, and the others wait."""
        if not self._members and self._waiting:
            worker = next(iter(self._waiting))
            self._welcome(worker)
            self._tell(worker, Kind.INITIALISE)

    def _welcome_all(self) -> None:
        for worker in list(self._waiting):
            self._welcome(worker)

    def _welcome(self, worker: str) -> None:
        self._members[worker] = Member(self._waiting.pop(worker))
        self._orders.append(Order(worker, Kind.WELCOME, epoch=self.updates))

    def _lend(self) -> None:
        """Give the idle what is free; when all is told, everybody optimises."""
        if self._members and self.open.is_complete:
            self.phase = Phase.OPTIMISE
            for worker in self._members:
                self._tell(worker, Kind.OPTIMISE)
            return
        for worker, member in self._members.items():
            if member.task is None and self.open.free and not self.is_held:
                self._tell(worker, Kind.EVALUATE, self.open.take(member.room, self.most_slices))

    def _tell(self, worker: str, kind: Kind, slices: tuple[Slice, ...] = ()) -> None:
        self._tasks += 1
        member = self._members[worker]
        member.task = Order(worker, kind, self._tasks, max(self.updates, 0), slices)
        member.last_task = self._tasks
        self._orders.append(member.task)

    def _takes_state(self, worker: str, task: int, kind: Kind) -> bool:
        member = self._answering(worker, task, kind)
        if member is None:
            return False
        member.task = None
        self.phase = Phase.STORE
        return True

    def _answering(self, worker: str, task: int, kind: Kind) -> Member | None:
        """Who answers what it was told last; None if the answer is late.

        Raises UnknownTaskError if this worker was never told so.
        """
        member = self._members.get(worker)
        if member is None or 0 < task < member.last_task or (task == member.last_task and not member.task):
            return None
        if member.task is None or member.task.task != task or member.task.kind is not kind:
            raise UnknownTaskError(f"task {task} is none that this worker was given to {kind.value}")
        return member
