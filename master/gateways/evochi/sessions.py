"""The workers of evochi that are here: who they are, what they are to hear, and how long they take."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from germline.algorithms.own_orders import Kind, Order
from germline.peers import evochi_pb2 as pb
from germline.v1 import spec_pb2
from master.errors import (
    ConflictError,
    DrainingError,
    FullError,
    InvalidFieldError,
    NotAllowedError,
    UnknownNameError,
)
from master.experiments.experiment import Experiment
from master.experiments.own import OwnWork
from master.experiments.registry import Registry
from master.gateways.evochi.config import EvochiConfig
from master.gateways.evochi.messages import MOST_BYTES_OF_CLIENT, write_hello, write_order

logger = logging.getLogger(__name__)


class SentAwayError(Exception):
    """The stream ends as evochi's server ends one: with CANCELLED, at which a client leaves in peace."""


class Session:
    """One worker, from its Subscribe to the end of that stream.

    Attributes:
        worker: its name, a UUID.
        token: what it shows with every other call.
        experiment: what it trains.
        own: the same, as far as it knows it.
        due_s: when its task has taken too long; infinite while it has none.
    """

    def __init__(self, experiment: Experiment, own: OwnWork, config: EvochiConfig) -> None:
        self.worker = str(uuid.uuid4())
        self.token = secrets.token_urlsafe(24)
        self.experiment = experiment
        self.own = own
        self.due_s = math.inf
        self._config = config
        self._events: asyncio.Queue[pb.SubscribeResponse | Exception] = asyncio.Queue()

    def hear(self, order: Order) -> None:
        """Put an order on the stream, with what is true of it now."""
        event = self._hello() if order.kind is Kind.WELCOME else write_order(order, self._returns(order))
        if event.ByteSize() > MOST_BYTES_OF_CLIENT:
            logger.warning(
                "worker %s of experiment %s is sent %d bytes at once; its channel needs the option "
                "grpc.max_receive_message_length to take more than %d",
                self.worker, self.experiment.settings.name, event.ByteSize(), MOST_BYTES_OF_CLIENT,
            )  # fmt: skip
        self._events.put_nowait(event)
        if order.kind is Kind.STOP:
            self.end(SentAwayError(f"experiment {self.experiment.settings.name} is over"))

    def end(self, error: Exception) -> None:
        """End the stream after what is on it."""
        self._events.put_nowait(error)

    async def events(self) -> AsyncIterator[pb.SubscribeResponse]:
        """What the worker is to hear, until its stream ends with an error that says why."""
        while True:
            event = await self._events.get()
            if isinstance(event, Exception):
                raise event
            yield event

    def _hello(self) -> pb.SubscribeResponse:
        epochs = epochs_of(self.experiment)
        population, heartbeat_s = self.own.run.population, self._config.heartbeat_s
        return write_hello(self.worker, self.token, self.own.state, population, heartbeat_s, epochs)

    def _returns(self, order: Order) -> list[float]:
        return self.own.run.open.returns.tolist() if order.kind is Kind.OPTIMISE else []


class Sessions:
    """All workers of the gateway."""

    def __init__(self, registry: Registry, config: EvochiConfig, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._config = config
        self._clock = clock
        self._open: dict[str, Session] = {}
        self._is_closed = False

    def find_experiment(self) -> tuple[Experiment, OwnWork]:
        """What clients train here; it is made if there is none of this name.

        Raises MasterError: the one of this name is of another kind or population, or is damaged; or the name
        is not allowed.
        """
        name, population = self._config.evochi_experiment, self._config.evochi_population_size
        try:
            experiment = self._registry.named(name)
        except UnknownNameError:
            experiment = self._registry.create(_spec(self._config))
        own = experiment.own
        if own is None or own.run.population != population:
            kind = "no own one" if own is None else f"one of a population of {own.run.population}"
            raise ConflictError(
                f"the experiment {name!r} is {kind}, and EVOCHI_POPULATION_SIZE is {population}; name "
                "another one with EVOCHI_EXPERIMENT"
            )
        own.run.most_slices = self._config.evochi_max_slices_per_eval
        return experiment, own

    def open(self, cores: int) -> Session:
        """A worker comes that takes so many members at a time. Raises MasterError if it may not."""
        if self._is_closed:
            raise DrainingError("the master is about to stop")
        if cores < 1:
            raise InvalidFieldError(f"cores is {cores}; allowed: 1 or more")
        most = self._config.evochi_max_workers
        if most and len(self._open) >= most:
            raise FullError(f"max workers reached ({most})")
        experiment, own = self.find_experiment()
        session = Session(experiment, own, self._config)
        self._open[session.worker] = session
        own.join(session.worker, cores, lambda order: self._hear(session, order))
        logger.info("worker %s of evochi joins experiment %s", session.worker, experiment.settings.name)
        return session

    def close(self, session: Session) -> None:
        """Its stream is over, however that came; closing it twice is closing it once."""
        if self._open.pop(session.worker, None) is not None:
            session.own.leave(session.worker)
            logger.info("worker %s of evochi is gone", session.worker)

    def of_call(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> Session:
        """The worker that calls; it may show the master's own token beside the one that it was given.

        Raises NotAllowedError if nobody who is here has it.
        """
        shown = [str(value) for name, value in metadata or () if name == "authorization"]
        return self.of_token([each.removeprefix("Bearer ") for each in shown])

    def of_token(self, shown: Sequence[str]) -> Session:
        """Who shows one of these tokens as its own. Raises NotAllowedError if nobody who is here has it."""
        for session in self._open.values():
            if any(hmac.compare_digest(session.token.encode(), token.encode()) for token in shown):
                return session
        sentence = "worker not found" if any(shown) else "token is empty"
        raise NotAllowedError(f"failed to authenticate worker: {sentence}")

    def tick(self) -> None:
        """About once a second: send away who takes too long for its task."""
        for session in list(self._open.values()):
            if self._clock() > session.due_s:
                self.close(session)
                session.end(SentAwayError(f"the task took more than {self._config.evochi_task_timeout}"))

    def end_all(self) -> None:
        """The master stops: what is kept is kept, and clients that come again go on."""
        self._is_closed = True
        for session in list(self._open.values()):
            self.close(session)
            session.end(DrainingError("the master is about to stop"))

    def answered(self, session: Session) -> None:
        """A worker has answered what it was told last, unless it was told more meanwhile."""
        member = session.own.run.members.get(session.worker)
        if member is None or member.task is None:
            session.due_s = math.inf

    def _hear(self, session: Session, order: Order) -> None:
        session.due_s = self._clock() + self._config.task_timeout_s if order.task else math.inf
        session.hear(order)


def epochs_of(experiment: Experiment) -> int:
    """Epochs after which an own experiment is complete, as clients are told; 0 for ever."""
    evaluations = experiment.settings.stop.evaluations
    population = experiment.settings.spec.algorithm.own.population
    return 0 if math.isinf(evaluations) else min(math.ceil(evaluations / population), 2**31 - 1)


def _spec(config: EvochiConfig) -> spec_pb2.ExperimentSpec:
    spec = spec_pb2.ExperimentSpec(name=config.evochi_experiment, policy=spec_pb2.Policy(name="own"))
    spec.task.own.SetInParent()
    spec.algorithm.own.population = config.evochi_population_size
    if config.evochi_max_epochs:
        spec.stop.evaluations = config.evochi_max_epochs * config.evochi_population_size
    return spec
