"""The nodes that are up, and what is offered of them: who is new is announced before who leaves is closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from germline.models.announcements import Announced, Report
from worker.serving.node import STUCK_S, Node, NodeError, Protection
from worker.serving.orchestrator import Orchestrator
from worker.serving.telling import Offer

logger = logging.getLogger(__name__)

LINGER_S = 2.0
"""For which a node that leaves still takes calls: its clients may not have heard of it yet."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model that is to be served.

    Attributes:
        model_id: who it is; the same id is the same model for ever.
        experiment: that it is of, by which clients ask for it.
        build: makes the policy.
        infos: what clients are told of it.
    """

    model_id: str
    experiment: str
    build: Callable[[], object]
    infos: Mapping[str, str] = field(default_factory=dict)


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
        self, place: Place, kind: Callable[..., object] | None = None, protection: Protection | None = None
    ) -> None:
        """Nothing is served yet; `kind` is a class of the user's own around each policy."""
        self._place, self._kind, self._protection = place, kind, protection or Protection()
        self._nodes: dict[str, tuple[Node, Served]] = {}
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
        """Serve these and no others. Who cannot be served is logged, once, and is left out."""
        ids = {each.model_id for each in wanted}
        new = [each for each in wanted if each.model_id not in self._nodes.keys() | self._failed]
        for each in new:
            await self._open(each)
        gone = [self._nodes.pop(name)[0] for name in list(self._nodes) if name not in ids]
        self._failed &= ids
        if new or gone:
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
        """Start models of the user's own class over that hang, and that clients gave up for it."""
        for name in [name for name in self._suspects if name not in self._nodes or self._kind is None]:
            self._suspects.discard(name)
        for name in list(self._suspects):
            node = self._nodes[name][0]
            if not node.trouble:
                continue  # it may be on its way to hang
            self._suspects.discard(name)
            if await node.renew():
                logger.warning("%s hung for more than %g s and was started over", name, STUCK_S)
                self._announce()

    async def close(self) -> None:
        """Serve nobody."""
        await self.serve(())

    async def _open(self, served: Served) -> None:
        if len(self._nodes) >= self._place.most:
            logger.warning("%s is not served: %d models are", served.model_id, len(self._nodes))
            return
        node = Node(served.model_id, served.build, self._kind, self._protection)
        try:
            await node.open(self._place.host, self._free_port())
        except NodeError as error:
            logger.error("%s", error)
            self._failed.add(served.model_id)
            return
        self._nodes[served.model_id] = (node, served)
        logger.info("%s is served on %s:%d", served.model_id, self._place.host, node.port)

    def _free_port(self) -> int:
        if not self._place.first_port:
            return 0
        used = {node.port for node, _ in self._nodes.values()}
        return next(port for port in range(self._place.first_port, 65_536) if port not in used)

    def _announce(self) -> None:
        if self._orchestrator is not None:
            self._orchestrator.offers = _Offers(self._nodes)
            self._orchestrator.changed()


class _Offers(Mapping[str, Offer]):
    """What is offered of some nodes, as they are when somebody looks: troubles come and go."""

    def __init__(self, nodes: Mapping[str, tuple[Node, Served]]) -> None:
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
