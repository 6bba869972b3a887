"""Keeps up with the models that are announced, and calls all of them at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Self

from germline.connection import Options, Security, options_for
from germline.models.announcements import Announced, Report, write_report
from germline.models.answers import Answer, Given, Model
from germline.models.listening import Listener
from germline.models.membership import Membership
from germline.models.node_client import NodeClient, call_request, setup_request
from germline.peers.model_runner_pb2 import CallRequest

DEADLINE_S = 2.0
"""For each model's answer, unless a call says something else."""
_LONGEST_S = 3_600.0
_SETTLE_S = 2.0  # for the models that are announced at first; who needs longer joins later


class ModelsError(Exception):
    """Nobody says which models there are; the sentence says why."""


class AsyncModels:
    """The models of one experiment, or of all, for as long as the context lasts.

    Example::

        async with AsyncModels("localhost:9091", "pong") as models:
            answers = await models.call("act", observation, deadline_s=0.5)
    """

    def __init__(
        self,
        address: str = "localhost:9091",
        experiment: str = "all",
        *,
        class_name: str = "Model",
        given: Given | None = None,
        security: Security | None = None,
        patience_s: float = 10.0,
    ) -> None:
        """Prepare; entering the context connects.

        Args:
            address: where models are announced, host:port.
            experiment: whose models; of other orchestrators, the id of a crunch.
            class_name: what nodes are told that a model is.
            given: arguments of that class.
            security: token, TLS and certificates; nothing is shown and nothing encrypted by default.
            patience_s: how long to wait for the first word, and for one attempt to set a model up, in
                seconds.

        Raises:
            ValueError: for an address that is none.
            VariantError: for arguments that cannot travel.
        """
        self._host, _, port = address.rpartition(":")
        if not (self._host and port.isascii() and port.isdigit()):
            raise ValueError(f"address is {address!r}; allowed: host:port")
        self._address, self._experiment = address, experiment
        self._security = security or Security()
        self._setup = setup_request(class_name, given or Given())
        self._patience_s = patience_s
        self._members = Membership(self._node, patience_s)
        self._listener = Listener(address, experiment, self._security, self._members.apply)
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect, and wait for the models that are announced; those that are slow to come follow later.

        Raises:
            ModelsError: nobody says which models there are.
        """
        self._listening = asyncio.create_task(self._listener.listen())
        try:
            async with asyncio.timeout(self._patience_s):
                await self._listener.heard.wait()
            await self._members.settled(min(_SETTLE_S, self._patience_s))
        except TimeoutError:
            await self.close()
            raise ModelsError(f"{self._address} announces no models: {self._listener.trouble}") from None
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give all connections up."""
        await self.close()

    async def close(self) -> None:
        """Give all connections up."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
        await self._members.close()

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that can be called now."""
        return tuple(node.model for node in self._members.ready.values())

    @property
    def waiting(self) -> Mapping[str, str]:
        """The models that are announced and cannot be called yet, by id, with the reason."""
        return dict(self._members.waiting)

    @property
    def trouble(self) -> str:
        """Why announcements do not arrive now; empty if they do. Models that are known can be called."""
        return self._listener.trouble

    async def until(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait until so many models, or more, can be called. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._members.until(count)

    async def call(
        self,
        method: str,
        *arguments: object,
        deadline_s: float = DEADLINE_S,
        only: Collection[str] | None = None,
        **named: object,
    ) -> dict[str, Answer]:
        """Call a method of all models at once, with the same arguments.

        Args:
            method: its name.
            arguments: by place.
            deadline_s: how long each model may take, in seconds.
            only: ids of models; all by default.
            named: arguments by name; for one called deadline_s or only, there is :meth:`call_each`.

        Returns:
            What came from each model, by its id. A model that goes wrong is an answer, and no exception.

        Raises:
            VariantError: for arguments that cannot travel.
            ValueError: for a deadline that is none.
        """
        request = call_request(method, Given(*arguments, **named))
        return await _all(dict.fromkeys(self._chosen(only), request), deadline_s)

    async def call_each(
        self,
        method: str,
        given_for: Callable[[Model], Given],
        *,
        deadline_s: float = DEADLINE_S,
        only: Collection[str] | None = None,
    ) -> dict[str, Answer]:
        """Call a method of all models at once, each with arguments of its own. See :meth:`call`."""
        requests = {node: call_request(method, given_for(node.model)) for node in self._chosen(only)}
        return await _all(requests, deadline_s)

    async def report(self, model_id: str, code: str = "MULTIPLE_TIMEOUT", reason: str = "") -> bool:
        """Say that a model is of no use; false if nobody can be told now.

        `germline serve` starts one over that hangs, and announces it again after a while. crunchdao's
        orchestrator stops the model, for everybody.
        """
        node = self._members.ready.get(model_id)
        host = node.announced.host if node else ""
        return await self._listener.send(write_report(Report(model_id, code, reason), host))

    def _chosen(self, only: Collection[str] | None) -> list[NodeClient]:
        return [node for name, node in self._members.ready.items() if only is None or name in only]

    def _node(self, announced: Announced) -> NodeClient:
        """A client of a node, whose certificate is that of the address where it was announced."""
        named: Options = (("grpc.ssl_target_name_override", self._host.strip("[]")),)
        more = named if self._security.credentials() is not None else ()
        return NodeClient(
            announced, self._setup, self._security, (*more, *options_for(f"{announced.host}:0"))
        )


async def _all(requests: Mapping[NodeClient, CallRequest], deadline_s: float) -> dict[str, Answer]:
    """What comes from each node; the slowest one ends the waiting, at its deadline."""
    if not 0 < deadline_s <= _LONGEST_S or math.isnan(deadline_s):
        raise ValueError(f"deadline_s is {deadline_s}; allowed: above 0, up to {_LONGEST_S:g}")
    answers = await asyncio.gather(*(node.call(request, deadline_s) for node, request in requests.items()))
    return {answer.model.model_id: answer for answer in answers}
