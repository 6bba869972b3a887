"""Opens the evochi gateway: its settings, its experiment, its port."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import grpc.aio

from germline.peers import evochi_pb2_grpc
from master.access import Role
from master.errors import MasterError
from master.gateways.evochi.config import EvochiConfig
from master.gateways.evochi.evochi_service import EvochiService
from master.gateways.evochi.sessions import Sessions
from master.gateways.house import GatewayError, House
from master.wire.interceptors import (
    CallerInterceptor,
    ErrorInterceptor,
    MessageInterceptor,
)

_MOST_BYTES = 512 << 20  # of a state on its way here
_SERVICE = "/evochi.v1.EvochiService/"
_SUBSCRIBE = f"{_SERVICE}Subscribe"
_WITH_A_STATE = (f"{_SERVICE}FinishInitialization", f"{_SERVICE}FinishShareState")
_FEW_BYTES, _BYTES_A_MEMBER = 1_024, 40  # of its reward, alone in a slice, with all numbers as long as can be
_TICK_S = 1.0
_GRACE_S = 1.0


async def start(house: House, stack: contextlib.AsyncExitStack) -> str:
    """Serve clients of evochi until the stack is unwound; give the address.

    Raises:
        GatewayError: the settings do not hold, or do not fit the experiment.
    """
    config = EvochiConfig.of(house.environment)
    sessions = Sessions(house.registry, config, house.clock)
    try:
        experiment, _ = sessions.find_experiment()
    except MasterError as error:
        raise GatewayError(f"the evochi gateway cannot be opened: {error}") from None
    await house.journal.durable((experiment.number,))
    server = _server(house, config, sessions)
    address = house.bind(server, house.address)
    await server.start()
    stack.push_async_callback(server.stop, _GRACE_S)
    stack.callback(sessions.end_all)
    ticking = asyncio.create_task(_tick(sessions))
    stack.callback(ticking.cancel)
    return address


def _server(house: House, config: EvochiConfig, sessions: Sessions) -> grpc.aio.Server:
    half_ms = int(config.worker_timeout_s * 500)
    options = (
        ("grpc.max_receive_message_length", _MOST_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", half_ms),
        ("grpc.keepalive_timeout_ms", half_ms),
        ("grpc.http2.ping_timeout_ms", half_ms),  # those that measure a line stand in the way of others
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    )
    small = _FEW_BYTES + _BYTES_A_MEMBER * config.evochi_population_size
    interceptors = [
        ErrorInterceptor(),
        house.guard(_role_for),
        CallerInterceptor(lambda call: _check_caller(sessions, call)),
        MessageInterceptor(lambda method: _MOST_BYTES if method in _WITH_A_STATE else small),
        house.door,
    ]
    server = grpc.aio.server(interceptors=interceptors, options=options)
    evochi_pb2_grpc.add_EvochiServiceServicer_to_server(EvochiService(sessions, house.journal), server)
    return server


def _role_for(method: str) -> Role | None:
    """Whoever comes shows what the master asks for; then the token that it was given stands for that."""
    return Role.WORKER if method == _SUBSCRIBE else None


def _check_caller(sessions: Sessions, call: grpc.HandlerCallDetails) -> None:
    """Only a worker that is here may say anything but that it comes. Raises NotAllowedError."""
    if call.method.startswith(_SERVICE) and call.method != _SUBSCRIBE:
        sessions.of_call(call.invocation_metadata)


async def _tick(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        sessions.tick()
