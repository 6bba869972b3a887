"""The nodes that are up, and what is offered of them: who is new is announced before who leaves is closed."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from germline import machine_share
from germline.models.announcements import Announced, Report
from worker.serving.isolated import IsolatedNode, Order
from worker.serving.node import Node, NodeError, Protection
from worker.serving.orchestrator import Orchestrator
from worker.serving.recipe import Recipe
from worker.serving.telling import Offer

logger = logging.getLogger(__name__)

LINGER_S = 2.0
"""For which a model that leaves is announced beside who is new, and then takes calls unannounced."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model that is to be served.

    Attributes:
        model_id: who it is; the same id is the same model for ever.
        experiment: that it is of, by which clients ask for it.
        build: makes the policy.
        infos: what clients are told of it.
        recipe: of the policy, for a process of its own.
    """

    model_id: str
    experiment: str
    build: Callable[[], object]
    infos: Mapping[str, str] = field(default_factory=dict)
    recipe: Recipe | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where nodes listen.

    Attributes:
        host: all of them.
        first_port: of the first; others take the next ones. 0 takes free ones.
        most: how many there may be.
    """

    host: str
    first_port: int = 0
    most: int = 1_000


class Fleet:
    """Opens and closes nodes so that what is wanted is served."""

    def __init__(
        self,
        place: Place,
        kind: Callable[..., object] | None = None,
        protection: Protection | None = None,
        isolated: Order | None = None,
    ) -> None:
        """Nothing is served yet.

        Args:
            place: where nodes listen.
            kind: a class of the user's own around each policy.
            protection: what callers have to show.
            isolated: how processes are to serve that have one model each; None has all of them here.
        """
        self._place, self._kind, self._protection = place, kind, protection or Protection()
        self._isolated = isolated
        self._nodes: dict[str, tuple[Node | IsolatedNode, Served]] = {}
        self._failed: set[str] = set()
        self._suspects: set[str] = set()
        self._orchestrator: Orchestrator | None = None

    def announce_by(self, orchestrator: Orchestrator) -> None:
        """Have clients told of what is served."""
        self._orchestrator = orchestrator
        self._announce()

    @property
    def served(self) -> list[str]:
        """The ids of those that are served, the longest first."""
        return list(self._nodes)

    async def serve(self, wanted: Sequence[Served]) -> None:
        """Serve these and no others. Who cannot be served is logged, once, and is left out.

        Who leaves stays for a while beside who is new, and then for a while unannounced: clients end calls
        that are under way when they hear that a model leaves, and may not have heard of it when they call.
        """
        ids = {each.model_id for each in wanted}
        new = [each for each in wanted if each.model_id not in self._nodes.keys() | self._failed]
        await self._open_all(new)
        if new:
            self._announce()
        if new and self._nodes.keys() - ids:
            await asyncio.sleep(LINGER_S)
        gone = [self._nodes.pop(name)[0] for name in list(self._nodes) if name not in ids]
        self._failed &= ids
        if gone:
            self._announce()
        for node in gone:
            logger.info("%s is served no more", node.model_id)
        if gone and wanted:
            await asyncio.sleep(LINGER_S)
        await asyncio.gather(*(node.close() for node in gone))

    def given_up(self, report: Report) -> None:
        """A client gave a model up; one that hangs is then started over by :meth:`tend`."""
        if report.model_id in self._nodes:
            self._suspects.add(report.model_id)

    async def tend(self) -> None:
        """Start models over whose process has ended; and own ones that hang, once a client gave them up."""
        self._suspects &= self._nodes.keys()
        for name, (node, _) in list(self._nodes.items()):
            hangs = name in self._suspects and node.trouble and self._kind is not None
            if not (hangs or node.is_dead):
                continue
            self._suspects.discard(name)
            logger.warning("%s is started over: %s", name, node.trouble or "its process has ended")
            if not await node.renew():
                logger.error("%s is served no more: it cannot be started over, or was too often", name)
                del self._nodes[name]
                self._failed.add(name)
                await node.close()
            self._announce()

    async def close(self) -> None:
        """Serve nobody."""
        await self.serve(())

    async def _open_all(self, new: Sequence[Served]) -> None:
        """Open nodes, some at a time; they are served in the order in which they are wanted."""
        room = max(0, self._place.most - len(self._nodes))
        if len(new) > room:
            logger.warning("%d models are not served: %d are", len(new) - room, self._place.most)
        ports = self._free_ports()
        gate = asyncio.Semaphore(machine_share.cores())
        opened = await asyncio.gather(*(self._open(each, next(ports), gate) for each in new[:room]))
        for node, served in zip(opened, new, strict=False):
            if node is not None:
                self._nodes[served.model_id] = (node, served)
            else:
                self._failed.add(served.model_id)

    async def _open(self, served: Served, port: int, gate: asyncio.Semaphore) -> Node | IsolatedNode | None:
        """A node that serves; None, which is logged, for one that cannot."""
        node = self._node(served)
        async with gate:
            try:
                await node.open(self._place.host, port)
            except NodeError as error:
                logger.error("%s", error)
                return None
        logger.info("%s is served on %s:%d", served.model_id, self._place.host, node.port)
        return node

    def _node(self, served: Served) -> Node | IsolatedNode:
        if self._isolated is not None and served.recipe is not None:
            return IsolatedNode(served.model_id, served.recipe, self._isolated)
        return Node(served.model_id, served.build, self._kind, self._protection)

    def _free_ports(self) -> Iterator[int]:
        """Ports for nodes that come; 0 stands for any."""
        if not self._place.first_port:
            return itertools.repeat(0)
        used = {node.port for node, _ in self._nodes.values()}
        return (port for port in range(self._place.first_port, 65_536) if port not in used)

    def _announce(self) -> None:
        if self._orchestrator is not None:
            self._orchestrator.offers = _Offers(self._nodes)
            self._orchestrator.changed()


class _Offers(Mapping[str, Offer]):
    """What is offered of some nodes, as they are when somebody looks: troubles come and go."""

    def __init__(self, nodes: Mapping[str, tuple[Node | IsolatedNode, Served]]) -> None:
        self._nodes = nodes

    def __getitem__(self, name: str) -> Offer:
        node, served = self._nodes[name]
        announced = Announced(
            model_id=name,
            deployment_id=node.deployment_id,
            name=served.experiment,
            host="",
            port=node.port,
            infos=served.infos,
        )
        return Offer(announced, served.experiment, node.trouble)

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)
