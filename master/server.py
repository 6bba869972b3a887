"""A master, put together: store, journal, experiments, services; and taken apart in the same order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from functools import partial
from time import monotonic
from types import MappingProxyType
from typing import NoReturn

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client.core import GaugeMetricFamily

from germline.limits import MAX_MESSAGE_BYTES
from germline.v1 import (
    experiment_pb2,
    experiment_pb2_grpc,
    own_pb2,
    own_pb2_grpc,
    worker_pb2,
    worker_pb2_grpc,
)
from master import embedded_metrics, pulse
from master.archive.opening import open_archive
from master.config import MasterConfig
from master.experiments.registry import Registry
from master.gateways import GATEWAYS, GatewayError, House
from master.journal.journal import Journal
from master.journal.keys import Keys
from master.journal.store import open_store, patiently
from master.listening import bind, serve_metrics_of
from master.metrics import Metrics
from master.steady_clock import SteadyClock
from master.wire.door import Door
from master.wire.experiment_service import ExperimentService
from master.wire.interceptors import AccessInterceptor, ErrorInterceptor
from master.wire.open_calls import OpenStreams
from master.wire.own_service import OwnService
from master.wire.worker_messages import OrderWriter
from master.wire.worker_service import WorkerService
from master.work.dispatcher import Dispatcher

logger = logging.getLogger(__name__)

_TICK_S = 1.0
_GRACE_S = 2.0
_FIRST_FLUSH_S = 60.0
_LOOK_S = 0.1  # time in which a master that may have been superseded ends its streams
_READING = "this master reads its journal"
_GAUGES_S = 10.0  # longest wait of whoever asks for metrics
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", 4 * MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a port in use is an error, not a second master
    ("grpc.server_max_unrequested_time_in_server", 120),  # seconds; a fleet that comes at once has to queue
    ("grpc.max_concurrent_streams", 1_000),  # of one connection: what it does not read is kept for each
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


class Master:
    """Everything that one master process does; `serving` opens it, `drain` closes it gently.

    Attributes:
        address: where it serves gRPC, host:port.
        metrics_address: where it serves metrics; empty if nowhere.
        gateways: where it serves other projects' protocols, host:port by their names.
        registry: its experiments.
        dispatcher: its workers.
        journal: what it keeps.
        archive: a record of every evaluation; None where none is kept.
    """

    def __init__(
        self, config: MasterConfig, journal: Journal, metrics: Metrics, clock: Callable[[], float],
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.address = config.listen
        self.metrics_address = ""
        self.gateways: dict[str, str] = {}
        self.journal = journal
        self.archive = open_archive(config, journal)
        self.registry = Registry(journal, clock, self.archive)
        self.dispatcher = Dispatcher(
            self.registry, journal, metrics, clock,
            master_id=secrets.token_hex(8), heartbeat_s=config.heartbeat_s, worker_slots=config.worker_slots,
        )  # fmt: skip
        self._own_service = OwnService(self.registry, clock)
        self._config = config
        self._environment = environment
        self._access = config.access
        self._streams = OpenStreams(self._access.tokens)
        self._metrics = metrics
        self._clock = clock
        self._health = health.aio.HealthServicer()
        self._waits_for = _READING
        self._door = Door(self._why_shut)
        self._server: grpc.aio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(
        cls,
        config: MasterConfig,
        clock: Callable[[], float] | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncIterator[Master]:
        """Serve while the context lasts; gateways have settings of their own in the environment.

        Raises:
            StoreError: the journal has no place to live.
            AddressError: an address is in use.
            GatewayError: a gateway cannot be opened.
            StoreFailingError: the store does not give the journal.
        """
        _check_gateways(config)
        async with contextlib.AsyncExitStack() as stack:
            store = await stack.enter_async_context(
                open_store(config.store_url, config.store_folder, config.store_prefix)
            )
            metrics = Metrics()
            journal = Journal(
                store.client, Keys(config.store_prefix),
                snapshot_interval_s=config.snapshot_interval_s,
                observe_commit=metrics.observe_commit,
                revive_store=store.revive,
                own_store=store.is_own,
                address=config.listen,
                ownership_s=config.ownership_s,
            )  # fmt: skip
            master = cls(config, journal, metrics, clock or SteadyClock(), environment)
            await master._open(stack)
            yield master

    async def broken(self) -> NoReturn:
        """Wait until the master cannot go on, and raise why: SupersededError if another one took over."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise RuntimeError("a task of the master has ended")

    async def drain(self, reason: str) -> None:
        """Lend no more, take results for a while, then end the streams and make everything durable."""
        logger.info("draining: %s", reason)
        await self._health.enter_graceful_shutdown()
        self.dispatcher.drain(reason)
        deadline = monotonic() + self._config.drain_s
        while self.dispatcher.overview.leased and len(self.dispatcher.fleet) and monotonic() < deadline:
            await asyncio.sleep(0.05)
        await self.journal.flush(max(deadline - monotonic(), _GRACE_S), with_snapshots=True)
        self.dispatcher.end_streams()
        self._own_service.end_all(reason)
        logger.info(
            "drained; %d pieces of work are still out and will be lent again", self.dispatcher.overview.leased
        )

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        """Own the store, recover, then serve. Who has to wait for the store is healthy meanwhile."""
        ownership = self.journal.ownership
        owner = await patiently(partial(ownership.take, at_once=self._config.take_over))
        if owner is not None:
            self._waits_for = f"this master waits: its store is owned by {owner}"
            await self._serve(stack)
            logger.info("waiting on %s; the store is owned by %s", self.address, owner)
            await ownership.wait()
            self._waits_for = _READING
            logger.info("taking over")
        stack.push_async_callback(ownership.release)
        self._run(self.journal.stay(), stack)
        await self.registry.recover(took_over=owner is not None)
        if self.archive is not None:
            self._run(self.archive.run(), stack)
        self._run(self.journal.run(), stack)
        # A lease of before a restart is told from one after it.
        if not await self.journal.flush(_FIRST_FLUSH_S, with_snapshots=True):
            logger.warning("the first snapshots took longer than %g s; serving meanwhile", _FIRST_FLUSH_S)
        await ownership.settle()
        if self._server is None:
            await self._serve(stack)
        self._waits_for = ""
        await self._open_gateways(stack)
        await self._say_health()
        self._run(self._tick(), stack)
        self._run(pulse.beat(self._metrics.observe_late), stack)
        self._run(self._watch_ownership(), stack)
        if self._config.metrics_emf:
            self._run(self._write_metrics(self._config.metrics_emf), stack)
        logger.info("serving on %s, metrics on %s", self.address, self.metrics_address or "none")

    async def _serve(self, stack: contextlib.AsyncExitStack) -> None:
        """Answer on the ports, if only that this master waits."""
        self._metrics.watch(partial(_read_on, asyncio.get_running_loop(), self._gauges))
        if self._config.metrics_port >= 0:
            tokens = self._access.tokens
            self.metrics_address, close = serve_metrics_of(
                self._metrics.registry, self._config, tokens, self._why_shut
            )
            stack.callback(close)
        self._server = self._make_server()
        await self._say_health()
        await self._server.start()
        stack.push_async_callback(self._server.stop, _GRACE_S)

    async def _open_gateways(self, stack: contextlib.AsyncExitStack) -> None:
        """Serve the protocols of other projects; only the owner of a store does."""
        for name, address in self._config.gateways.items():
            house = House(
                address, self._config, self._environment, self.registry, self.dispatcher, self.journal,
                self._clock, partial(AccessInterceptor, self._access, self._streams), self._door,
                partial(bind, self._config, f"the address of gateway {name}"),
            )  # fmt: skip
            self.gateways[name] = await GATEWAYS[name](house, stack)
            logger.info("serving clients of %s on %s", name, self.gateways[name])

    def _gauges(self) -> Iterator[GaugeMetricFamily]:
        text = "1 where this master owns its store and serves, 0 where it waits."
        yield GaugeMetricFamily("germline_owner", text, value=float(not self._why_shut()))
        yield from self.dispatcher.overview.gauges()

    def _why_shut(self) -> str:
        """Why nobody is served now; empty if everybody is."""
        if self._waits_for or self.journal.ownership.is_held:
            return self._waits_for
        ownership = self.journal.ownership
        return (
            f"this master could not say for {ownership.lasts_s:g} s that it owns its store "
            f"({ownership.trouble or 'it stood still'}): another one may have taken over"
        )

    async def _watch_ownership(self) -> None:
        """Show everybody out when another master may have taken over."""
        was_shut = False
        while True:
            await asyncio.sleep(_LOOK_S)
            is_shut = bool(self._why_shut())
            if is_shut:
                self._door.shut()
            if is_shut is not was_shut:
                was_shut = is_shut
                logger.warning("%s", self._why_shut() or "the store is still owned by this master")
                await self._say_health()

    async def _say_health(self) -> None:
        """Tell probes and balancers whether calls are served: that of a whole master, and of each service."""
        serving = health_pb2.HealthCheckResponse.SERVING
        status = health_pb2.HealthCheckResponse.NOT_SERVING if self._why_shut() else serving
        for name in ("", *_services()):
            await self._health.set(name, status)

    def _run(self, coroutine: Coroutine[None, None, None], stack: contextlib.AsyncExitStack) -> None:
        """Run something until the stack is unwound."""
        task = asyncio.create_task(coroutine)
        self._tasks.append(task)

        async def end() -> None:
            task.cancel()
            await asyncio.wait([task])

        stack.push_async_callback(end)

    def _make_server(self) -> grpc.aio.Server:
        interceptors = [ErrorInterceptor(), AccessInterceptor(self._access, self._streams), self._door]
        server = grpc.aio.server(interceptors=interceptors, options=_OPTIONS)
        workers = WorkerService(self.dispatcher, OrderWriter(), self._clock)
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(workers, server)
        own_pb2_grpc.add_OwnServiceServicer_to_server(self._own_service, server)
        experiments = ExperimentService(self.registry, self.dispatcher, self.journal)
        experiment_pb2_grpc.add_ExperimentServiceServicer_to_server(experiments, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            [*_services(), health.SERVICE_NAME, reflection.SERVICE_NAME], server
        )
        self.address = bind(self._config, "listen", server, self._config.listen)
        return server

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self.dispatcher.tick()
            self._own_service.tick()
            self._streams.look_again()

    async def _write_metrics(self, fleet: str) -> None:
        while True:
            embedded_metrics.write(fleet, self.dispatcher.overview.gauges())
            await asyncio.sleep(embedded_metrics.EVERY_S)


def _check_gateways(config: MasterConfig) -> None:
    unknown = [name for name in config.gateways if name not in GATEWAYS]
    if unknown:
        allowed = ", ".join(GATEWAYS) or "none"
        raise GatewayError(f"gateway names {unknown[0]!r}; allowed: {allowed}")


def _services() -> list[str]:
    """The names of what is served, beside health and reflection."""
    return [
        worker_pb2.DESCRIPTOR.services_by_name["WorkerService"].full_name,
        own_pb2.DESCRIPTOR.services_by_name["OwnService"].full_name,
        experiment_pb2.DESCRIPTOR.services_by_name["ExperimentService"].full_name,
    ]


def _read_on(
    loop: asyncio.AbstractEventLoop, read: Callable[[], Iterable[GaugeMetricFamily]]
) -> list[GaugeMetricFamily]:
    """From the metrics' thread: have the loop read, which changes meanwhile what there is to be read."""

    async def read_all() -> list[GaugeMetricFamily]:
        return list(read())

    return asyncio.run_coroutine_threadsafe(read_all(), loop).result(_GAUGES_S)
