"""A node: one model behind a port of its own, which answers Setup, Call and Health.Check."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc

from germline.models.paths import SERVICE
from germline.peers.model_runner_pb2 import CallRequest, CallResponse, SetupRequest, SetupResponse
from worker.plugins import described
from worker.serving.calling import CallError, Code, bound, call, read_arguments, refused, status
from worker.serving.door import Door
from worker.serving.one_thread import OneThread, Result

logger = logging.getLogger(__name__)

SETUP_S = 30.0
"""How long a model's own constructor may take."""
STUCK_S = 10.0
"""A call that takes longer is a trouble that clients who come are spared."""
MAX_RENEWALS = 3
_GRACE_S = 5.0
_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.so_reuseport", 0),  # a port in use is an error, not a second node
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_time_ms", 30_000),  # a machine that is gone takes no call's place for ever
    ("grpc.keepalive_timeout_ms", 20_000),
)
_MAX_CALLS = 1_000  # at a time; they wait for each other
MAX_WAITING_BYTES = 256 << 20
"""Of calls that wait for each other; a single one may be as large as a message."""

Context: TypeAlias = grpc.aio.ServicerContext[object, object]


class NodeError(Exception):
    """A model that cannot be served; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What callers have to show, and how what is said is encrypted.

    Attributes:
        token: callers show it as `authorization: Bearer TOKEN`; empty where none is asked for.
        signed: says of a model, and of a call's metadata, why the call is refused: empty if it is not. None
            where calls need not be signed.
        tls: certificate chain and private key, in PEM; None for no encryption.
    """

    token: str = ""
    tls: tuple[bytes, bytes] | None = None
    signed: Callable[[str, Mapping[str, str | bytes]], str] | None = None

    def lets_in(self, authorization: str) -> bool:
        """Whether this header shows the token."""
        shown, wanted = authorization.encode(errors="replace"), f"Bearer {self.token}".encode()
        return not self.token or hmac.compare_digest(shown, wanted)

    def why_not(self, model_id: str, metadata: Mapping[str, str | bytes]) -> str:
        """Why a call of a model is refused, in words; empty if it is not."""
        if not self.lets_in(str(metadata.get("authorization", ""))):
            return "a token is needed: authorization: Bearer TOKEN"
        return self.signed(model_id, metadata) if self.signed else ""


class Node:
    """Serves one model while it is open.

    Attributes:
        model_id: who is served.
        deployment_id: this time that it is; another one after it was renewed.
        port: where; 0 until it is open.
    """

    def __init__(
        self,
        model_id: str,
        build: Callable[[], object],
        kind: Callable[..., object] | None = None,
        protection: Protection | None = None,
    ) -> None:
        """Prepare a node.

        Args:
            model_id: who is served.
            build: makes the policy; takes a while.
            kind: a class of the user's own, called with the policy and with what clients give to Setup; None
                serves the policy itself.
            protection: what callers have to show.
        """
        self.model_id, self.deployment_id, self.port = model_id, deployment(model_id), 0
        self._build, self._kind = build, kind
        self._protection = protection or Protection()
        self._thread = OneThread(model_id)
        self._model: object = None
        self._policy: object = None
        self._is_set_up = False
        self._held_bytes = 0
        self._renewals = itertools.count(1)
        self._server: grpc.aio.Server | None = None

    is_dead = False
    """It lives as long as this process."""

    @property
    def trouble(self) -> str:
        """Why it should not be announced now, in words; empty if it may be."""
        busy_s = self._thread.busy_s
        return f"a call has been running for {busy_s:.0f} s" if busy_s > STUCK_S else ""

    @property
    def waiting(self) -> int:
        """Calls that wait for the one that runs."""
        return self._thread.waiting

    async def open(self, host: str, port: int = 0) -> None:
        """Build the model and serve it. Raises NodeError; whoever calls again then may have another try."""
        try:
            await self._do(self._make)
        except Exception as error:
            self._thread.close()
            raise NodeError(f"{self.model_id} cannot be served: {described(error)}") from error
        self._server = self._make_server()
        self.port = self._bind(host, port)
        await self._server.start()

    async def close(self) -> None:
        """Take no more calls, finish those that run, and end."""
        if self._server is not None:
            await self._server.stop(_GRACE_S)
        self._thread.close()

    async def renew(self) -> bool:
        """Start a model that hangs over, in a thread of its own; false if it did so too often."""
        if next(self._renewals) > MAX_RENEWALS:
            return False
        self._thread = OneThread(self.model_id)
        self._model, self._is_set_up = None, False
        try:
            await self._do(self._make)
        except Exception as error:
            logger.warning("%s cannot be started over: %s", self.model_id, described(error))
            return False
        self.deployment_id = deployment(self.model_id)
        return True

    def _make(self) -> None:
        """Build the policy, and the model where its class asks for nothing else."""
        self._policy = self._build()
        if self._kind is None:
            self._model = self._policy
            return
        try:
            arguments = bound(self._kind, read_arguments([], [])._replace(positional=[self._policy]), "")
        except CallError:
            return  # it waits for the arguments of a Setup
        self._model = self._kind(*arguments.args, **arguments.kwargs)

    def _set_up(self, request: SetupRequest) -> None:
        """Make the model with a client's arguments. Raises CallError."""
        given = read_arguments(request.instance_arguments, request.instance_kw_arguments)
        if self._kind is None:
            if given.positional or given.named:
                logger.warning("%s: a policy takes no arguments; those of Setup are left out", self.model_id)
            return
        if self._model is not None and not (given.positional or given.named):
            return
        arguments = bound(self._kind, given._replace(positional=[self._policy, *given.positional]), "Setup")
        self._model = self._kind(*arguments.args, **arguments.kwargs)

    # What clients call

    async def _on_setup(self, request: SetupRequest, context: Context) -> SetupResponse:
        try:
            sentence = await self._setup(request)
        except CallError as error:
            code = error.code if error.code is Code.BAD_IMPLEMENTATION else Code.SETUP_FAILED
            return SetupResponse(status=status(code, str(error)))
        except TimeoutError:
            sentence = f"the constructor takes more than {SETUP_S:g} s"
            return SetupResponse(status=status(Code.SETUP_FAILED, sentence))
        except Exception as error:
            return SetupResponse(status=status(Code.SETUP_FAILED, described(error)))
        return SetupResponse(status=status(Code.SUCCESS, sentence))

    async def _setup(self, request: SetupRequest) -> str:
        """Set the model up, or say that it is; whatever the client calls its class. Raises CallError."""
        if self._is_set_up:
            return "the model is set up already"
        async with asyncio.timeout(SETUP_S):
            await self._do(lambda: self._set_up(request))
        self._is_set_up = True
        return ""

    async def _on_call(self, request: CallRequest, context: Context) -> CallResponse:
        model = self._model
        if model is None:
            sentence = "the model waits for a Setup with the arguments of its class"
            return refused(CallError(Code.FAILED_PRECONDITION, sentence))
        size = request.ByteSize()
        if self._held_bytes and self._held_bytes + size > MAX_WAITING_BYTES:
            sentence = f"calls of {self._held_bytes:,} bytes wait; allowed: up to {MAX_WAITING_BYTES:,}"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)
        self._held_bytes += size
        try:
            return await self._do(lambda: call(model, request))
        except Exception as error:
            logger.exception("%s: a call failed in germline itself", self.model_id)
            return refused(CallError(Code.UNKNOWN, described(error)))
        finally:
            self._held_bytes -= size

    async def _do(self, work: Callable[[], Result]) -> Result:
        """Have the model's thread do something; a caller that gives up takes it back if it has not begun."""
        done: Future[Result] = self._thread.submit(work)
        return await asyncio.wrap_future(done)

    # The server

    def _make_server(self) -> grpc.aio.Server:
        door = Door(lambda metadata: self._protection.why_not(self.model_id, metadata))
        server = grpc.aio.server(interceptors=[door], options=_OPTIONS, maximum_concurrent_rpcs=_MAX_CALLS)
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Setup": grpc.unary_unary_rpc_method_handler(
                self._on_setup, SetupRequest.FromString, SetupResponse.SerializeToString
            ),
            "Call": grpc.unary_unary_rpc_method_handler(
                self._on_call, CallRequest.FromString, CallResponse.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
        return server

    def _bind(self, host: str, port: int) -> int:
        assert self._server is not None  # noqa: S101 - it was made
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._protection.tls is None:
                found = self._server.add_insecure_port(address)
            else:
                chain, key = self._protection.tls
                found = self._server.add_secure_port(address, grpc.ssl_server_credentials([(key, chain)]))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise NodeError(f"{self.model_id} cannot be served on {address}: {reason}") from None
        return found


def deployment(model_id: str) -> str:
    """What this time that a model is served is called."""
    return f"{model_id}_{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"
