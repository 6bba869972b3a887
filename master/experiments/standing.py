"""Where an experiment stands: running, paused or over; and who is told when that is durable."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from master.errors import ConflictError
from master.experiments.events import State


class Standing:
    """The state of an experiment, as it is and as people know it.

    Attributes:
        state: where it stands.
        known: what people are told of that: it is durable.
        trouble: why it paused by itself; empty if it did not.
    """

    def __init__(self) -> None:
        self.state = self.known = State.RUNNING
        self.trouble = ""
        self._changed = asyncio.Event()

    def check_not_over(self, name: str, done: str) -> None:
        """Raise ConflictError if the experiment of this name is over, and so cannot be `done`."""
        if self.state.is_final:
            raise ConflictError(
                f"experiment {name} is {self.state.name.lower()} and cannot be {done}; "
                "allowed: a running or paused one, or extend it"
            )

    def make_known(self, state: State) -> None:
        """A state is durable: people are told of it."""
        self.known = state
        self.tell_watchers()

    def tell_watchers(self) -> None:
        """Wake those who wait for a change; whoever looks after that waits for the next one."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self, timeout_s: float) -> None:
        """Wait until the state or the stop conditions change, but not longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
