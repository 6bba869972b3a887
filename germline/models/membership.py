"""The models that are announced: each is set up in its own time, and can be called from then on."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress

from germline.models.announcements import Announced, Event
from germline.models.node_client import NodeClient, SetupError

logger = logging.getLogger(__name__)

MOST_MODELS = 10_000
"""Announced to one client."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 30.0


class Membership:
    """Who can be called, and who is on the way there. No model waits for another one.

    Attributes:
        ready: clients of the models that can be called, by id.
        waiting: why others cannot be called yet, by id.
    """

    def __init__(self, make: Callable[[Announced], NodeClient], setup_s: float) -> None:
        """Nobody is announced yet; `make` makes the client of a node, `setup_s` bounds one attempt."""
        self.ready: dict[str, NodeClient] = {}
        self.waiting: dict[str, str] = {}
        self._make, self._setup_s = make, setup_s
        self._joining: dict[str, tuple[Announced, asyncio.Task[None]]] = {}
        self._untried: set[str] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    def apply(self, event: Event, models: list[Announced]) -> None:
        """Do as announced: `init` names all that there are, `update` those that changed."""
        for model in models:
            if model.state == "RUNNING":
                self._join(model)
            elif self._deployment(model.model_id) in (model.deployment_id, None) or not model.deployment_id:
                self._leave(model.model_id)
        if event == "init":
            named = {model.model_id for model in models}
            for model_id in [*self.ready, *self._joining]:
                if model_id not in named:
                    self._leave(model_id)

    async def settled(self, timeout_s: float) -> None:
        """Wait until each one was tried once, but not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: not self._untried)

    async def until(self, count: int) -> None:
        """Wait until so many can be called."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.ready) >= count)

    async def close(self) -> None:
        """Leave everybody."""
        for model_id in [*self.ready, *self._joining]:
            self._leave(model_id)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _deployment(self, model_id: str) -> str | None:
        if model_id in self._joining:
            return self._joining[model_id][0].deployment_id
        return self.ready[model_id].announced.deployment_id if model_id in self.ready else None

    def _join(self, model: Announced) -> None:
        known = self._joining.get(model.model_id)
        here = known[0] if known else None
        if here is None and model.model_id in self.ready:
            here = self.ready[model.model_id].announced
        if here is not None and _place(here) == _place(model):
            return
        if len(self.ready) + len(self._joining) >= MOST_MODELS:
            logger.warning("%.100r is left out: %d models are there", model.model_id, MOST_MODELS)
            return
        if known:
            known[1].cancel()
        self.waiting[model.model_id] = "it is being set up"
        self._untried.add(model.model_id)
        self._joining[model.model_id] = (model, asyncio.create_task(self._set_up(model)))

    async def _set_up(self, model: Announced) -> None:
        """Try until it works; the model of an earlier deployment can be called meanwhile."""
        node, pause_s = self._make(model), _FIRST_PAUSE_S
        try:
            while True:
                try:
                    await node.set_up(self._setup_s)
                    break
                except SetupError as error:
                    self.waiting[model.model_id] = str(error)
                    await self._tried(model.model_id)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - only a pause
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        except asyncio.CancelledError:
            await node.close()
            raise
        await self._joined(model.model_id, node)

    async def _joined(self, model_id: str, node: NodeClient) -> None:
        before = self.ready.get(model_id)
        self.ready[model_id] = node
        self._joining.pop(model_id, None)
        self.waiting.pop(model_id, None)
        if before is not None:
            self._later(before)
        await self._tried(model_id)

    async def _tried(self, model_id: str) -> None:
        self._untried.discard(model_id)
        async with self._changed:
            self._changed.notify_all()

    def _leave(self, model_id: str) -> None:
        joining, node = self._joining.pop(model_id, None), self.ready.pop(model_id, None)
        self.waiting.pop(model_id, None)
        self._untried.discard(model_id)
        if joining is not None:
            joining[1].cancel()
            self._leaving.add(joining[1])
            joining[1].add_done_callback(self._leaving.discard)
        if node is not None:
            self._later(node)

    def _later(self, node: NodeClient) -> None:
        """Close a connection once the calls that are under way have had their time."""
        task = asyncio.create_task(node.close())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def _place(model: Announced) -> tuple[str, str, int]:
    return model.deployment_id, model.host, model.port
