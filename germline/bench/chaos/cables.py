"""Cables on which things go wrong, and the count of what did."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque

from germline.bench.cable import Cable

_PLANNED = 3  # troubles that wait for something to go through; a silent cable takes no more
LOST, REFUSED = "dropped", "refused"


class TroubledCable(Cable):
    """Delays, drops, cuts and refuses as it is told, and counts what came of it."""

    def __init__(self, host: str, port: int, listen: str, happened: Counter[str]) -> None:
        """Lead to a server; each trouble that befell something is counted by its kind."""
        super().__init__(host, port, listen)
        self._happened = happened
        self._planned: deque[tuple[str, float]] = deque()
        self._refusals = 0

    @property
    def is_used(self) -> bool:
        """Whether there is a connection."""
        return bool(self._carriers)

    def plan(self, kind: str, seconds: float = 0.0) -> None:
        """Let this befall what goes through next: be lost with its connection, or wait for so long."""
        if len(self._planned) < _PLANNED:
            self._planned.append((kind, seconds))

    def refuse(self) -> None:
        """Turn the next connection away."""
        self._refusals = 1

    def cut_one(self, chance: random.Random) -> None:
        """Break one of the connections, if there are any."""
        if self._carriers:
            chance.choice(list(self._carriers)).cancel()
            self._happened["cut"] += 1

    async def hold_for(self, seconds: float) -> None:
        """Let nothing through for so long, and nobody know; then cut what was held."""
        if not self.is_used:
            return
        self._happened["held"] += 1
        self.hold()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.let_go()

    async def _admit(self) -> None:
        if self._refusals:
            self._refusals = 0
            self._happened[REFUSED] += 1
            raise ConnectionRefusedError("refused")
        await super()._admit()

    async def _pass(self) -> None:
        if self._planned:
            kind, seconds = self._planned.popleft()
            self._happened[kind] += 1
            if kind == LOST:
                raise ConnectionAbortedError(LOST)
            await asyncio.sleep(seconds)
        await super()._pass()
