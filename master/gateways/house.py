"""What a gateway gets of the master that it is part of, and what it can fail with."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, TypeAlias

import grpc.aio

from master.access import Role
from master.config import MasterConfig
from master.experiments.registry import Registry
from master.journal.journal import Journal
from master.work.dispatcher import Dispatcher


class GatewayError(Exception):
    """A gateway cannot be opened; the sentence says why, and what is allowed."""


class House(NamedTuple):
    """The master as a gateway sees it.

    Attributes:
        address: where the gateway is to serve, host:port.
        config: the master's settings.
        environment: the process's variables, for the settings that a protocol knows from its own server.
        registry: the experiments.
        dispatcher: the workers of germline.v1.
        journal: what is acknowledged is in there.
        clock: seconds in which this master was awake.
        guard: makes an interceptor that refuses callers who do not show what the master asks for; it is given
            what says of a method who may call it, None for everybody.
        door: an interceptor that refuses calls while this master may not be the owner of its store.
        bind: has a server listen on an address with the master's certificate, if it has one; gives the
            address with its port. Raises AddressError.
    """

    address: str
    config: MasterConfig
    environment: Mapping[str, str]
    registry: Registry
    dispatcher: Dispatcher
    journal: Journal
    clock: Callable[[], float]
    guard: Callable[[Callable[[str], Role | None]], grpc.aio.ServerInterceptor]
    door: grpc.aio.ServerInterceptor
    bind: Callable[[grpc.aio.Server, str], str]


Start: TypeAlias = Callable[[House, contextlib.AsyncExitStack], Awaitable[str]]
"""Serves until the stack is unwound; gives the address, with its port. Raises GatewayError."""
