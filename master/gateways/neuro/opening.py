"""Opens the neuro gateway: its settings, its experiment, its port."""

from __future__ import annotations

import contextlib

import grpc.aio

from germline.peers import neuro_pb2_grpc
from master.access import Role
from master.errors import MasterError
from master.gateways.house import GatewayError, House
from master.gateways.neuro.config import NeuroConfig, is_plain
from master.gateways.neuro.neuro_service import NeuroService
from master.wire.interceptors import ErrorInterceptor, MessageInterceptor

_MOST_BYTES = 1 << 20
_GRACE_S = 1.0
_OPTIONS = (
    ("grpc.max_receive_message_length", _MOST_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 30_000),  # a machine that is gone leaves nothing behind
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


async def start(house: House, stack: contextlib.AsyncExitStack) -> str:
    """Serve workers of cshenton/neuroevolution until the stack is unwound; give the address.

    Raises:
        GatewayError: the settings do not hold, or do not fit the experiment; or the port is taken.
    """
    service = NeuroService(house.registry, house.journal, NeuroConfig.of(house.environment))
    try:
        experiment = service.find_experiment()
    except MasterError as error:
        raise GatewayError(f"the neuro gateway cannot be opened: {error}") from None
    await house.journal.durable((experiment.number,))
    plain = is_plain(house.config, house.address)
    access = [] if plain else [house.guard(lambda _: Role.WORKER)]
    interceptors = [ErrorInterceptor(), *access, MessageInterceptor(lambda _: _MOST_BYTES), house.door]
    server = grpc.aio.server(interceptors=interceptors, options=_OPTIONS)
    neuro_pb2_grpc.add_NeuroServicer_to_server(service, server)
    address = _bind_plain(server, house.address) if plain else house.bind(server, house.address)
    await server.start()
    stack.push_async_callback(server.stop, _GRACE_S)
    return address


def _bind_plain(server: grpc.aio.Server, address: str) -> str:
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise GatewayError(f"gateway neuro cannot be served on {address}: {error}") from None
    if port == 0:
        raise GatewayError(f"gateway neuro cannot be served on {address}")
    return f"{address.rpartition(':')[0]}:{port}"
