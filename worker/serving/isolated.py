"""A node in a process of its own: a model that ends its process ends nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass, field

from worker.serving.node import MAX_RENEWALS, NodeError, deployment
from worker.serving.recipe import Recipe

logger = logging.getLogger(__name__)

START_S = 120.0
"""How long a process may take to begin to serve."""
_END_S = 10.0


@dataclass(frozen=True, slots=True)
class Order:
    """How a process is to serve: what of :class:`.service.ServingSettings` is said to it.

    Attributes:
        kind: import path of a class around the policy; empty for none.
        token: callers have to show it; empty for none.
        files: paths of the settings that name files.
    """

    kind: str = ""
    token: str = field(default="", repr=False)
    files: dict[str, str] = field(default_factory=dict)


class IsolatedNode:
    """Serves one model, as :class:`.node.Node` does, in another process.

    Attributes:
        model_id: who is served.
        deployment_id: this time that it is; another one after it was started over.
        port: where; 0 until it is open.
        trouble: why it should not be announced now; empty if it may be.
    """

    def __init__(self, model_id: str, recipe: Recipe, order: Order) -> None:
        """Prepare a node."""
        self.model_id, self.deployment_id, self.port, self.trouble = model_id, deployment(model_id), 0, ""
        self._recipe, self._order, self._host = recipe, order, ""
        self._renewals = itertools.count(1)
        self._process: Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def is_dead(self) -> bool:
        """Whether its process has ended by itself."""
        return self._process is not None and self._process.returncode is not None

    async def open(self, host: str, port: int = 0) -> None:
        """Start the process, and wait until it serves. Raises NodeError."""
        self._host = host
        command = (sys.executable, "-m", "worker.serving.child")
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, start_new_session=True
        )  # Ctrl-C is for this process, which then ends the other one
        said = await self._first_word(self._process, host, port)
        if "port" not in said:
            await self._end()
            raise NodeError(str(said.get("error", f"{self.model_id} cannot be served: its process ended")))
        self.port = int(str(said["port"]))
        self.trouble = ""
        self._watching = asyncio.create_task(self._watch(self._process))

    async def close(self) -> None:
        """Have the process finish its calls and end."""
        await self._end()

    async def renew(self) -> bool:
        """Start over on the same port; false if it was done too often, or did not work."""
        await self._end(at_once=True)
        if next(self._renewals) > MAX_RENEWALS:
            return False
        try:
            await self.open(self._host, self.port)
        except NodeError as error:
            logger.warning("%s cannot be started over: %s", self.model_id, error)
            return False
        self.deployment_id = deployment(self.model_id)
        return True

    async def _first_word(self, process: Process, host: str, port: int) -> dict[str, object]:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        order = {
            **{"model_id": self.model_id, "host": host, "port": port, "kind": self._order.kind},
            **{"token": self._order.token, "files": self._order.files},
        }
        try:
            process.stdin.write(f"{self._recipe.write()}\n{json.dumps(order)}\n".encode())
            async with asyncio.timeout(START_S):
                await process.stdin.drain()
                line = await process.stdout.readline()
        except (TimeoutError, ConnectionError):
            line = b""
        found: dict[str, object] = json.loads(line) if line else {}
        return found

    async def _watch(self, process: Process) -> None:
        """Hear of troubles until the process ends."""
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        while line := await process.stdout.readline():
            self.trouble = str(json.loads(line).get("trouble", ""))
        await process.wait()
        self.trouble = "its process has ended"

    async def _end(self, *, at_once: bool = False) -> None:
        process, watching = self._process, self._watching
        self._process = self._watching = None
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if at_once:
                process.kill()
            elif process.stdin is not None:
                process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), _END_S)
            except TimeoutError:
                process.kill()
                await process.wait()
